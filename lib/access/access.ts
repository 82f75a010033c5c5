/**
 * Access as one part: builds from the settings what says who a device is. The methods stand here in the order in which
 * they are asked: a certificate first, because it was proven before anything was said.
 */
import { availableParallelism } from 'node:os'
import type { Config } from '../config/schema.ts'
import type { Credentials } from '../message.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { Attempts } from './attempts.ts'
import { Authenticator, type Authentication } from './authenticator.ts'
import { CertificateMethod } from './certificate.ts'
import { parseClientIdPattern, type ClientIdPattern } from './client-id-pattern.ts'
import { HashSlots } from './hash-slots.ts'
import type { AuthenticationMethod } from './method.ts'
import { PasswordMethod } from './password-method.ts'
import { Users, type ReadUsers } from './users.ts'

/** Passwords that may wait to be checked; the last of them waits some seconds. */
const MAX_WAITING = 128

/** Matches the empty client identifier alone, which no session has. */
const NOBODY: ClientIdPattern = { parts: [''], open: false }

export interface AccessOptions {
  readonly settings: Config['access']
  /** Reads the user file, where there is one. */
  readonly readUsers: ReadUsers
  /** Longest time in which it has to be told who a device is. */
  readonly timeoutMs: number
  readonly telemetry: Telemetry
}

export class Access {
  readonly #options: AccessOptions
  readonly #users: Users | undefined
  readonly #clientId: ClientIdPattern | undefined
  readonly #authenticator: Authenticator

  constructor (options: AccessOptions) {
    const { settings, readUsers, timeoutMs, telemetry } = options
    this.#options = options
    this.#users = settings.users === undefined ? undefined : new Users(readUsers)
    const pattern = settings.clientId === undefined ? undefined : parseClientIdPattern(settings.clientId)
    // A pattern that is none is refused with the configuration; should one come here, it lets nobody in.
    this.#clientId = typeof pattern === 'string' ? NOBODY : pattern
    const { perUser, perAddress, backoff, backoffMax } = settings.attempts
    this.#authenticator = new Authenticator({
      methods: this.#methods(),
      attempts: new Attempts({ perUser, perAddress, backoffMs: backoff, backoffMaxMs: backoffMax }),
      clientIdsOf: (username, method) =>
        (method === 'password' ? this.#users?.find(username)?.clientId : undefined) ?? this.#clientId,
      timeoutMs,
      telemetry
    })
  }

  /**
   * Reads the user file, at the start and whenever it may have changed. Sessions that are open stay open.
   * @throws MBS_ERR_ACCESS_USERS; then everything is as before
   */
  async reload (): Promise<void> {
    const users = this.#users
    if (users === undefined) return
    await users.reload()
    this.#options.telemetry.usersLoaded({ file: this.#options.settings.users ?? '', users: users.size })
  }

  /** Says who shows these credentials; see `Authenticator`. */
  async authenticate (credentials: Credentials, signal: AbortSignal): Promise<Authentication> {
    return await this.#authenticator.authenticate(credentials, signal)
  }

  #methods (): AuthenticationMethod[] {
    const { certificates } = this.#options.settings
    const methods: AuthenticationMethod[] = []
    if (certificates !== undefined) methods.push(new CertificateMethod(certificates))
    // The pool of threads that hash also syncs the outbox, and a processor has to be left for everything else.
    const slots = new HashSlots({ concurrency: availableParallelism() > 2 ? 2 : 1, waiting: MAX_WAITING })
    if (this.#users !== undefined) methods.push(new PasswordMethod({ users: this.#users, slots }))
    return methods
  }
}
