/**
 * Access as one part: builds from the settings what says who a device is. The methods stand here in the order in which
 * they are asked: a certificate first, because it was proven before anything was said; then what can be told by
 * itself, a token by its form and a user by the file; the HTTP hook gets what is left.
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
import type { ReloadableMethod } from './reloadable.ts'
import { createTokenMethods } from './token-methods.ts'
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

/** Something that was read from files and can be read again. */
export interface AccessFiles {
  readonly kind: 'users' | 'jwks' | 'hook'
  readonly what: string
  readonly files: readonly string[]
  /** @throws MBS_ERR_ACCESS_*; then everything is as before */
  readonly reload: () => Promise<void>
}

export class Access {
  readonly #options: AccessOptions
  readonly #users: Users | undefined
  readonly #tokens: readonly ReloadableMethod[]
  readonly #clientId: ClientIdPattern | undefined
  readonly #authenticator: Authenticator

  constructor (options: AccessOptions) {
    const { settings, readUsers, timeoutMs, telemetry } = options
    this.#options = options
    this.#users = settings.users === undefined ? undefined : new Users(readUsers)
    this.#tokens = createTokenMethods(settings, telemetry)
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

  /** What is read at the start, and again whenever it may have changed. Sessions that are open stay open. */
  files (): readonly AccessFiles[] {
    const files: AccessFiles[] = this.#tokens.map((method) => ({
      kind: method.method === 'jwt' ? 'jwks' : 'hook',
      what: method.method === 'jwt' ? 'keys of tokens' : 'token of the authentication hook',
      files: method.files,
      reload: async () => { await method.reload() }
    }))
    const users = this.#users
    const file = this.#options.settings.users
    if (users === undefined || file === undefined) return files
    const reload = async (): Promise<void> => {
      await users.reload()
      this.#options.telemetry.usersLoaded({ file, users: users.size })
    }
    return [...files, { kind: 'users', what: 'user file', files: [file], reload }]
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
    const jwt = this.#tokens.filter(({ method }) => method === 'jwt')
    const hook = this.#tokens.filter(({ method }) => method === 'http')
    methods.push(...jwt)
    if (this.#users !== undefined) {
      methods.push(new PasswordMethod({ users: this.#users, slots, leavesUnknown: hook.length > 0 }))
    }
    return [...methods, ...hook]
  }
}
