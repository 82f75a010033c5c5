/**
 * How many connections there may be: over all listeners together, and from one address. Listeners share one; each
 * connection takes its places before anything is read from it and gives them back when its socket has closed.
 *
 * The two are taken apart: behind a proxy the address is known only when the proxy has named it.
 */
import { addressKey } from '../address-key.ts'

export class ConnectionLimit {
  readonly max: number
  readonly maxPerAddress: number
  #open = 0
  readonly #byAddress = new Map<string, number>()

  /**
   * @param max connections at a time
   * @param maxPerAddress from one IPv4 address or one /64 of IPv6; 0: as many as there are
   */
  constructor (max: number, maxPerAddress = 0) {
    this.max = max
    this.maxPerAddress = maxPerAddress
  }

  /** Connections that hold a place. */
  get open (): number {
    return this.#open
  }

  /** Addresses that have a connection: what is remembered of them. */
  get addresses (): number {
    return this.#byAddress.size
  }

  /** Takes a place; false where none is left. */
  take (): boolean {
    if (this.#open >= this.max) return false
    this.#open++
    return true
  }

  /** Gives a place back. */
  release (): void {
    this.#open--
  }

  /** Takes a place for a connection from an address; false where the address has none left. */
  takeAddress (address: string): boolean {
    if (this.maxPerAddress === 0) return true
    const key = addressKey(address)
    const open = this.#byAddress.get(key) ?? 0
    if (open >= this.maxPerAddress) return false
    this.#byAddress.set(key, open + 1)
    return true
  }

  /** Gives back what `takeAddress` gave. */
  releaseAddress (address: string): void {
    if (this.maxPerAddress === 0) return
    const key = addressKey(address)
    const open = this.#byAddress.get(key) ?? 0
    if (open > 1) this.#byAddress.set(key, open - 1)
    else this.#byAddress.delete(key)
  }
}
