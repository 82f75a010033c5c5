/**
 * Who is this: the methods are asked in turn until one knows. Whoever shows nothing that any of them takes is anonymous
 * where the listener allows it. What was proven may be bound to client identifiers.
 *
 * Invariants: never rejects; settles within `timeoutMs` or when the signal is aborted, whatever a method does; nothing
 * that is secret leaves it. What passes by itself has no CONNACK, so that the device comes back.
 */
import { createError, type MbsError } from '../errors.ts'
import type { AuthMethod, Credentials, Identity } from '../message.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { Attempt, Attempts } from './attempts.ts'
import { matchesClientId, type ClientIdPattern } from './client-id-pattern.ts'
import type { AuthenticationMethod, Guess, MethodResult, RefusalReason } from './method.ts'

/** Longest user name, in UTF-16 code units. It goes into logs, permissions and requests. */
const MAX_USERNAME = 1024

export type Authentication =
  | { readonly kind: 'accepted', readonly identity: Identity }
  | { readonly kind: 'refused', readonly error: MbsError }

/** Why someone was not let in; a label of a metric. */
export type Refusal = RefusalReason | 'client-id' | 'attempts' | 'unavailable'

export interface AuthenticatorOptions {
  /** In the order in which they are asked. */
  readonly methods: readonly AuthenticationMethod[]
  readonly attempts: Attempts
  /** The client identifiers that a user may take; undefined: any. */
  readonly clientIdsOf: (username: string, method: AuthMethod) => ClientIdPattern | undefined
  readonly timeoutMs: number
  readonly telemetry: Telemetry
}

/** What the methods found, or why they were not asked to the end. */
type Finding =
  | { readonly kind: 'accepted', readonly method: AuthMethod, readonly result: MethodResult & { kind: 'accepted' } }
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'refused', readonly reason: Refusal, readonly why?: string }

export class Authenticator {
  readonly #options: AuthenticatorOptions

  constructor (options: AuthenticatorOptions) {
    this.#options = options
  }

  /**
   * Says who shows these credentials. The error of a refusal is MBS_ERR_ACCESS_CREDENTIALS, _DENIED or _CLIENT_ID,
   * which a CONNACK tells, or MBS_ERR_ACCESS_ATTEMPTS or _UNAVAILABLE, which pass; telemetry has been told.
   * @param signal aborted when nobody waits for the answer any more
   */
  async authenticate (credentials: Credentials, signal: AbortSignal): Promise<Authentication> {
    const finding = await this.#find(credentials, signal)
    const outcome = finding.kind === 'refused' ? finding : this.#identify(finding, credentials)
    if (outcome.kind === 'accepted') {
      this.#options.telemetry.authenticated(outcome.identity.method)
      return outcome
    }
    const error = errorOf(outcome.reason, outcome.why)
    const { listener, address, clientId, username } = credentials
    this.#options.telemetry.authenticationRefused(error, outcome.reason, {
      listener,
      address,
      clientId,
      // A name that nobody has may be a password in the wrong field.
      ...(outcome.reason === 'wrong-password' && username !== undefined && { username })
    })
    return { kind: 'refused', error }
  }

  async #find (credentials: Credentials, signal: AbortSignal): Promise<Finding> {
    const { username = '', address } = credentials
    const controller = new AbortController()
    const abort = (): void => { controller.abort() }
    let tooMany = false
    let attempt: Attempt | undefined
    const guess = this.#guessOf(credentials)
    if (guess !== 'nothing') {
      const dismiss = (): void => {
        tooMany = true
        abort()
      }
      attempt = this.#options.attempts.begin(address, username, dismiss, guess === 'password')
      if (attempt === undefined) return { kind: 'refused', reason: 'attempts' }
    }
    if (signal.aborted) abort()
    signal.addEventListener('abort', abort)
    const timer = setTimeout(abort, this.#options.timeoutMs)
    const aborted = new Promise<Finding>((resolve) => {
      const settle = (): void => {
        resolve(tooMany
          ? { kind: 'refused', reason: 'attempts' }
          : { kind: 'refused', reason: 'unavailable', why: 'it took too long, or the device has gone' })
      }
      if (controller.signal.aborted) settle()
      else controller.signal.addEventListener('abort', settle)
    })
    const finding = await Promise.race([this.#ask(credentials, controller.signal), aborted])
    clearTimeout(timer)
    signal.removeEventListener('abort', abort)
    settleAttempt(attempt, finding, username)
    return finding
  }

  /** Only what can be guessed is counted, and against a user only where it is the name that is shown. */
  #guessOf (credentials: Credentials): Guess | 'password' {
    for (const method of this.#options.methods) {
      const guess = method.guessOf?.(credentials)
      if (guess !== undefined) return guess
    }
    const { username, password } = credentials
    return username === undefined && password === undefined ? 'nothing' : 'password'
  }

  async #ask (credentials: Credentials, signal: AbortSignal): Promise<Finding> {
    if (!isUsable(credentials.username)) return { kind: 'refused', reason: 'unknown-user' }
    for (const method of this.#options.methods) {
      const result = await this.#askOne(method, credentials, signal)
      switch (result.kind) {
        case 'skipped': continue
        case 'accepted': return { kind: 'accepted', method: method.method, result }
        case 'refused': return result
        case 'unavailable': return { kind: 'refused', reason: 'unavailable', why: result.reason }
      }
    }
    const { username, password, anonymous } = credentials
    const shown = username !== undefined || password !== undefined
    // Where nobody asks for secrets, one that is shown says nothing; else it is wrong, and not nothing.
    if (anonymous && !(shown && this.#options.methods.some(({ method }) => method !== 'certificate'))) {
      return { kind: 'anonymous' }
    }
    return { kind: 'refused', reason: shown ? 'unknown-user' : 'missing' }
  }

  async #askOne (method: AuthenticationMethod, credentials: Credentials, signal: AbortSignal): Promise<MethodResult> {
    try {
      return await method.authenticate(credentials, signal)
    } catch (error) {
      this.#options.telemetry.unexpected(error, `authentication by ${method.method}`)
      return { kind: 'unavailable', reason: `authentication by ${method.method} failed` }
    }
  }

  #identify (
    finding: Finding & { kind: 'accepted' | 'anonymous' }, { clientId, certificate }: Credentials
  ): { kind: 'accepted', identity: Identity } | (Finding & { kind: 'refused' }) {
    const shown = certificate === undefined ? { clientId } : { clientId, certificate }
    if (finding.kind === 'anonymous') return { kind: 'accepted', identity: Object.freeze({ ...shown, method: 'anonymous' }) }
    const { method, result: { username, claims, expiresAt } } = finding
    if (username === '' || !isUsable(username)) return { kind: 'refused', reason: 'denied', why: 'its name cannot be used' }
    if (expiresAt !== undefined && expiresAt <= Date.now()) return { kind: 'refused', reason: 'token-expired' }
    const pattern = this.#options.clientIdsOf(username, method)
    if (pattern !== undefined && !matchesClientId(pattern, clientId, username)) return { kind: 'refused', reason: 'client-id' }
    return {
      kind: 'accepted',
      identity: Object.freeze({
        ...shown,
        method,
        username,
        ...(claims !== undefined && { claims }),
        ...(expiresAt !== undefined && { expiresAt })
      })
    }
  }
}

/** Wrong credentials count; what says nothing of them does not, and a name that was shown and not proven neither. */
function settleAttempt (attempt: Attempt | undefined, finding: Finding, shown: string): void {
  if (attempt === undefined) return
  if (finding.kind === 'accepted' && finding.result.username === shown) attempt.succeeded()
  else if (finding.kind === 'refused' && GUESSES.has(finding.reason)) attempt.failed()
  else attempt.abandoned()
}

const GUESSES: ReadonlySet<Refusal> = new Set(['unknown-user', 'wrong-password', 'token-invalid', 'denied'])

/** False for a name that no user can have: too long, with control characters, or with bytes that were no UTF-8. */
function isUsable (username: string | undefined): boolean {
  // eslint-disable-next-line no-control-regex
  return username === undefined || (username.length <= MAX_USERNAME && !/[\u0000-\u001f\u007f\ufffd]/.test(username))
}

function errorOf (refusal: Refusal, why: string | undefined): MbsError {
  switch (refusal) {
    case 'unknown-user':
    case 'wrong-password':
      // One sentence for both: it must not say which names there are.
      return createError('MBS_ERR_ACCESS_CREDENTIALS', { reason: 'the user name or the password is wrong' })
    case 'token-invalid': return createError('MBS_ERR_ACCESS_CREDENTIALS', { reason: 'the token is not valid' })
    case 'token-expired': return createError('MBS_ERR_ACCESS_CREDENTIALS', { reason: 'the token has expired' })
    case 'certificate': return createError('MBS_ERR_ACCESS_DENIED', { reason: 'its certificate does not have the name that access.certificates asks for' })
    case 'denied': return createError('MBS_ERR_ACCESS_DENIED', { reason: why ?? 'whoever was asked does not let it in' })
    case 'missing': return createError('MBS_ERR_ACCESS_DENIED', { reason: 'it showed no credentials' })
    case 'client-id': return createError('MBS_ERR_ACCESS_CLIENT_ID')
    case 'attempts': return createError('MBS_ERR_ACCESS_ATTEMPTS')
    case 'unavailable': return createError('MBS_ERR_ACCESS_UNAVAILABLE', { reason: why ?? 'a method did not answer' })
  }
}
