/**
 * Asks a service of the user's who a device is: one POST for its credentials, and the answer remembered for a while.
 * Invariant: it fails closed. Whatever is not clearly a yes lets nobody in, and what is not clearly a no is not taken
 * for one: the device may try again. A password is sent to that service and kept nowhere, nor is anything it can be
 * told from outside of this process.
 */
import { isUtf8 } from 'node:buffer'
import { createHmac, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createError, reasonOf } from '../errors.ts'
import type { Credentials } from '../message.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { fetchBounded, type FetchFailure } from '../bounded-fetch.ts'
import { isUsername } from './claims.ts'
import { ExpiringCache } from './expiring-cache.ts'
import { readHookAnswer, type HookAnswer } from './hook-answer.ts'
import type { MethodResult } from './method.ts'
import type { ReloadableMethod } from './reloadable.ts'
import { Slots } from './slots.ts'

/** Most bytes of an answer. */
export const MAX_ANSWER_BYTES = 64 * 1024

/** Most answers remembered: so many that let in, and so many that do not. */
const MAX_REMEMBERED = 10_000

/** Most devices that wait until they can be asked about, for each request at a time. */
const WAITING_PER_SLOT = 64

/** Why the hook told nothing; a label of a metric, so the list is closed. */
export type HookFailure = Exclude<FetchFailure, 'aborted'> | 'answer' | 'busy'

/** The device went away meanwhile, which says nothing of the hook. */
const GIVEN_UP: HookAnswer = { kind: 'invalid', reason: 'the device is gone' }

export interface HttpHookOptions {
  readonly url: string
  /** A file with a bearer token that is sent along. */
  readonly tokenFile?: string
  /** From the question to the last byte of the answer, waiting for a free request included. */
  readonly timeoutMs: number
  /** Requests at a time. */
  readonly concurrency: number
  /** How long an answer that lets in is good for; 0: it is always asked again. */
  readonly cacheMs: number
  /** The same for an answer that does not. */
  readonly cacheDeniedMs: number
  readonly telemetry: Telemetry
  /** Milliseconds since the epoch. */
  readonly now?: () => number
  /** Milliseconds of a clock that is never set back. */
  readonly monotonic?: () => number
}

/** The method that asks a service; devices that show neither name, password nor certificate are skipped. */
export function createHttpMethod (options: HttpHookOptions): ReloadableMethod {
  return new HttpHook(options)
}

class HttpHook implements ReloadableMethod {
  readonly method = 'http'
  readonly files: readonly string[]
  readonly #options: HttpHookOptions
  readonly #now: () => number
  readonly #monotonic: () => number
  /** The URL without its query, for logs. */
  readonly #destination: string
  readonly #slots: Slots
  readonly #allowed: ExpiringCache<MethodResult>
  readonly #others: ExpiringCache<MethodResult>
  /** Makes what is remembered useless to anyone who sees the memory of another process. */
  readonly #digestKey = randomBytes(32)
  #headers: Readonly<Record<string, string>> | undefined = undefined

  constructor (options: HttpHookOptions) {
    const { url, tokenFile, concurrency, cacheMs, cacheDeniedMs } = options
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#monotonic = options.monotonic ?? (() => performance.now())
    const { origin, pathname } = new URL(url)
    this.#destination = origin + pathname
    this.files = tokenFile === undefined ? [] : [tokenFile]
    this.#slots = new Slots(concurrency, concurrency * WAITING_PER_SLOT)
    this.#allowed = new ExpiringCache(cacheMs, MAX_REMEMBERED, this.#monotonic)
    this.#others = new ExpiringCache(cacheDeniedMs, MAX_REMEMBERED, this.#monotonic)
  }

  async reload (): Promise<void> {
    const { tokenFile } = this.#options
    const token = tokenFile === undefined ? undefined : await this.#readToken(tokenFile)
    this.#headers = {
      'content-type': 'application/json',
      accept: 'application/json',
      ...(token !== undefined && { authorization: `Bearer ${token}` })
    }
    this.#allowed.clear()
    this.#others.clear()
  }

  async authenticate (credentials: Credentials, signal: AbortSignal): Promise<MethodResult> {
    const { username, password, certificate } = credentials
    if (username === undefined && password === undefined && certificate === undefined) return { kind: 'skipped' }
    if (this.#headers === undefined) return { kind: 'unavailable', reason: 'hook' }

    // The same question has the same answer, and another one never does: the digest is of all that is asked.
    const question = questionOf(credentials)
    const digest = createHmac('sha256', this.#digestKey).update(question).digest('base64')
    const remembered = this.#allowed.get(digest) ?? this.#others.get(digest)
    if (remembered !== undefined && !this.#isOver(remembered)) return remembered

    const answer = await this.#ask(question, username, this.#headers, signal)
    const result = this.#resultOf(answer, username)
    if (result.kind === 'accepted') this.#allowed.set(digest, result)
    else if (result.kind !== 'unavailable') this.#others.set(digest, result)
    return result
  }

  #isOver (result: MethodResult): boolean {
    return result.kind === 'accepted' && result.expiresAt !== undefined && result.expiresAt <= this.#now()
  }

  async #ask (
    body: string, given: string | undefined, headers: Readonly<Record<string, string>>, signal: AbortSignal
  ): Promise<HookAnswer> {
    const { url, timeoutMs } = this.#options
    const since = this.#monotonic()
    if (!await this.#slots.take(timeoutMs, signal)) {
      return signal.aborted ? GIVEN_UP : this.#failed('busy', 'too many devices wait to be asked about')
    }
    try {
      const leftMs = Math.max(1, timeoutMs - (this.#monotonic() - since))
      const bounds = { timeoutMs: leftMs, maxBytes: MAX_ANSWER_BYTES }
      const outcome = await fetchBounded(url, { method: 'POST', headers, body }, bounds, signal)
      if (outcome.kind === 'failed') {
        return outcome.why === 'aborted' ? GIVEN_UP : this.#failed(outcome.why, outcome.reason)
      }
      const answer = readHookAnswer(outcome.status, outcome.body)
      if (answer.kind === 'invalid') return this.#failed('answer', answer.reason)
      if (answer.kind === 'allow' && (answer.username ?? given) === undefined) {
        return this.#failed('answer', 'it lets a device in that gave no username, and says none')
      }
      this.#options.telemetry.hookAnswered(answer.kind)
      return answer
    } finally {
      this.#slots.release()
    }
  }

  #failed (why: HookFailure, reason: string): HookAnswer {
    const error = createError('MBS_ERR_ACCESS_HOOK', { url: this.#destination, reason })
    this.#options.telemetry.hookFailed(error, why)
    return { kind: 'invalid', reason }
  }

  #resultOf (answer: HookAnswer, given: string | undefined): MethodResult {
    switch (answer.kind) {
      case 'ignore': return { kind: 'skipped' }
      case 'deny': return { kind: 'refused', reason: 'denied' }
      case 'invalid': return { kind: 'unavailable', reason: 'hook' }
      case 'allow': {
        const { claims, expiresInMs } = answer
        const username = answer.username ?? given
        if (!isUsername(username)) return { kind: 'refused', reason: 'denied' }
        return {
          kind: 'accepted',
          username,
          ...(claims !== undefined && { claims }),
          ...(expiresInMs !== undefined && { expiresAt: this.#now() + expiresInMs })
        }
      }
    }
  }

  async #readToken (file: string): Promise<string> {
    try {
      const token = (await readFile(file, 'utf8')).trim()
      // fetch would repeat it in its error.
      if (!/^[\x21-\x7e]{1,8192}$/.test(token)) throw new Error('it holds no token: one line of visible ASCII, at most 8192 bytes')
      return token
    } catch (error) {
      throw createError('MBS_ERR_ACCESS_HOOK', { url: this.#destination, reason: `${file}: ${reasonOf(error)}` }, error)
    }
  }
}

/** What is asked, as JSON. A password that is not UTF-8 has a field of its own, so that it cannot be taken for text. */
function questionOf ({ clientId, username, password, certificate, address, listener }: Credentials): string {
  return JSON.stringify({
    clientId,
    username,
    ...(password !== undefined && (isUtf8(password)
      ? { password: password.toString('utf8') }
      : { passwordBase64: password.toString('base64') })),
    certificate: certificate === undefined
      ? undefined
      : { cn: certificate.cn, fingerprint: certificate.fingerprint, sans: certificate.sans },
    address,
    listener
  })
}
