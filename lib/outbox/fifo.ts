/** A queue that takes from the front in constant time. */
export class Fifo<T> {
  #items: T[] = []
  #front = 0

  get size (): number {
    return this.#items.length - this.#front
  }

  push (item: T): void {
    this.#items.push(item)
  }

  peek (): T | undefined {
    return this.#items[this.#front]
  }

  shift (): T | undefined {
    const item = this.#items[this.#front]
    if (item === undefined) return undefined
    this.#front++
    if (this.#front === this.#items.length) {
      this.#items = []
      this.#front = 0
    } else if (this.#front >= 4096 && this.#front * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#front)
      this.#front = 0
    }
    return item
  }

  * [Symbol.iterator] (): Generator<T> {
    for (let index = this.#front; index < this.#items.length; index++) yield this.#items[index] as T
  }
}
