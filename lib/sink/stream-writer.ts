/**
 * Writes texts to a stream that a person or a pipe reads, never faster than it takes them. A stream that breaks (a
 * closed pipe) takes nothing any more and costs nothing: who displays events must not stop because nobody looks.
 */
import type { Writable } from 'node:stream'

export class StreamWriter {
  readonly #stream: Writable
  #broken = false
  #drained: Promise<void> | undefined

  constructor (stream: Writable) {
    this.#stream = stream
    this.#broken = stream.destroyed
    const broken = () => { this.#broken = true }
    stream.on('error', broken)
    stream.on('close', broken)
  }

  /**
   * Writes a text in one piece.
   * @returns when there is room for the next one, or at once where nobody reads any more
   */
  async write (text: string): Promise<void> {
    while (this.#stream.writableNeedDrain && !this.#broken) await this.#drain()
    if (this.#broken) return
    if (!this.#stream.write(text)) await this.#drain()
  }

  /** One set of listeners, however many wait. */
  #drain (): Promise<void> {
    const stream = this.#stream
    this.#drained ??= new Promise<void>((resolve) => {
      const done = () => {
        stream.off('drain', done).off('error', done).off('close', done)
        this.#drained = undefined
        resolve()
      }
      stream.on('drain', done).on('error', done).on('close', done)
    })
    return this.#drained
  }
}
