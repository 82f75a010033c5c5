/**
 * Where the keys of tokens come from: a file, or a JWK Set at a URL. Invariant: what was read last and could be used
 * stays in force until something better is there; the keys of a URL at most for `maxAgeMs`. However many tokens with
 * unknown keys arrive, a URL is asked at most once in its cooldown.
 */
import { readFile } from 'node:fs/promises'
import { createError, reasonOf } from '../errors.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { fetchBounded } from '../bounded-fetch.ts'
import { parseJwks, type KeySet } from './token-keys.ts'
import type { KeyObject } from 'node:crypto'

/** Most bytes of a JWK Set, in a file or from a URL. */
export const MAX_JWKS_BYTES = 512 * 1024

/** What a source knows of the key of a token. */
export type KeyLookup =
  /** One or more; the token has to be good for one of them. */
  | { readonly kind: 'found', readonly keys: readonly KeyObject[] }
  | { readonly kind: 'unknown' }
  /** There are no keys in force, or the one that is missing could not be asked for. */
  | { readonly kind: 'unavailable' }

export interface KeySource {
  readonly files: readonly string[]
  /** Never throws; settles when the signal is aborted. */
  find (kid: string | undefined, algorithm: string, signal: AbortSignal): Promise<KeyLookup>
  /** @throws MBS_ERR_ACCESS_KEYS where a file cannot be used */
  reload (): Promise<void>
}

/** Keys in a file, which is read at `reload`. */
export class FileKeys implements KeySource {
  readonly files: readonly string[]
  readonly #file: string
  readonly #parse: (text: string) => KeySet
  readonly #telemetry: Telemetry
  #keys: KeySet | undefined = undefined

  /** @param parse throws where the text cannot be used */
  constructor (file: string, parse: (text: string) => KeySet, telemetry: Telemetry) {
    this.#file = file
    this.files = [file]
    this.#parse = parse
    this.#telemetry = telemetry
  }

  async find (kid: string | undefined, algorithm: string): Promise<KeyLookup> {
    if (this.#keys === undefined) return { kind: 'unavailable' }
    const keys = this.#keys.candidates(kid, algorithm)
    return keys.length === 0 ? { kind: 'unknown' } : { kind: 'found', keys }
  }

  async reload (): Promise<void> {
    try {
      const bytes = await readFile(this.#file)
      if (bytes.length > MAX_JWKS_BYTES) throw new Error(`it is larger than ${MAX_JWKS_BYTES} bytes`)
      this.#keys = this.#parse(bytes.toString('utf8'))
    } catch (error) {
      throw createError('MBS_ERR_ACCESS_KEYS', { source: this.#file, reason: reasonOf(error) }, error)
    }
    this.#telemetry.tokenKeysLoaded({ source: this.#file, keys: this.#keys.size })
  }
}

export interface RemoteKeysOptions {
  readonly url: string
  readonly algorithms: readonly string[]
  /** For one request, from its beginning to the end of the answer. */
  readonly timeoutMs: number
  /** Age at which the keys are asked for again. */
  readonly refreshMs: number
  /** Shortest time from the end of one request to the beginning of the next. */
  readonly cooldownMs: number
  /** Age at which keys are in force no longer. */
  readonly maxAgeMs: number
  readonly telemetry: Telemetry
  /** Milliseconds of a clock that is never set back. */
  readonly monotonic?: () => number
}

/** Keys at a URL, asked for when they are needed. */
export class RemoteKeys implements KeySource {
  readonly files: readonly string[] = []
  readonly #options: RemoteKeysOptions
  readonly #monotonic: () => number
  /** The URL without its query, for logs. */
  readonly #source: string
  #keys: KeySet | undefined = undefined
  #fetchedAt = 0
  #triedAt = -Infinity
  #lastFailed = true
  #fetching: Promise<void> | undefined = undefined

  constructor (options: RemoteKeysOptions) {
    this.#options = options
    this.#monotonic = options.monotonic ?? (() => performance.now())
    const { origin, pathname } = new URL(options.url)
    this.#source = origin + pathname
  }

  async find (kid: string | undefined, algorithm: string, signal: AbortSignal): Promise<KeyLookup> {
    if (this.#ageMs() >= this.#options.refreshMs) await this.#refresh(signal)
    const known = this.#lookUp(kid, algorithm)
    if (known.kind === 'found') return known
    await this.#refresh(signal)
    return this.#lookUp(kid, algorithm)
  }

  /** Asks at once, whatever the cooldown says. That the URL cannot be reached is told, and no error. */
  async reload (): Promise<void> {
    await this.#fetching
    await this.#fetch()
  }

  #lookUp (kid: string | undefined, algorithm: string): KeyLookup {
    if (this.#keys === undefined || this.#ageMs() >= this.#options.maxAgeMs) return { kind: 'unavailable' }
    const keys = this.#keys.candidates(kid, algorithm)
    if (keys.length > 0) return { kind: 'found', keys }
    // Where the URL does not answer, nobody knows whether the key is a new one.
    return { kind: this.#lastFailed ? 'unavailable' : 'unknown' }
  }

  #ageMs (): number {
    return this.#keys === undefined ? Infinity : this.#monotonic() - this.#fetchedAt
  }

  /** Everyone who waits for keys waits for the same request. */
  async #refresh (signal: AbortSignal): Promise<void> {
    if (this.#fetching === undefined && this.#monotonic() - this.#triedAt < this.#options.cooldownMs) return
    await settledOrAborted(this.#fetch(), signal)
  }

  #fetch (): Promise<void> {
    this.#fetching ??= this.#fetchOnce().finally(() => {
      this.#triedAt = this.#monotonic()
      this.#fetching = undefined
    })
    return this.#fetching
  }

  async #fetchOnce (): Promise<void> {
    const { url, timeoutMs, algorithms, telemetry } = this.#options
    try {
      const headers = { accept: 'application/jwk-set+json, application/json' }
      const outcome = await fetchBounded(url, { method: 'GET', headers }, { timeoutMs, maxBytes: MAX_JWKS_BYTES })
      if (outcome.kind === 'failed') throw new Error(outcome.reason)
      if (outcome.status !== 200) throw new Error(`the answer has the status ${outcome.status}`)
      this.#keys = parseJwks(outcome.body.toString('utf8'), algorithms)
      this.#fetchedAt = this.#monotonic()
      this.#lastFailed = false
      telemetry.tokenKeysLoaded({ source: this.#source, keys: this.#keys.size })
    } catch (error) {
      this.#lastFailed = true
      const inForce = this.#ageMs() < this.#options.maxAgeMs
      const failure = createError('MBS_ERR_ACCESS_KEYS', { source: this.#source, reason: reasonOf(error) }, error)
      telemetry.tokenKeysFailed(failure, { inForce })
    }
  }
}

/** Settles when the promise does, which never rejects, or when the signal is aborted. */
async function settledOrAborted (promise: Promise<void>, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  let onAbort = () => {}
  const aborted = new Promise<void>((resolve) => { onAbort = resolve })
  signal.addEventListener('abort', onAbort, { once: true })
  await Promise.race([promise, aborted])
  signal.removeEventListener('abort', onAbort)
}
