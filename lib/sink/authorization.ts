/**
 * The header Authorization: where its value comes from. Beneath credentials.ts. Invariants: nothing in here throws once
 * its files were read; a file that cannot be used leaves in force what was; no secret is in an outcome.
 */
import type { Telemetry } from '../telemetry/telemetry.ts'
import { ClientCredentials, type OAuth2Settings } from './client-credentials.ts'
import { parseBearerToken, parsePassword, readSecret } from './secret-text.ts'
import type { Outcome } from './sink.ts'

/** Exactly one of them. */
export interface AuthSettings {
  readonly bearer?: { readonly file: string }
  readonly basic?: { readonly username: string, readonly passwordFile: string }
  readonly oauth2?: OAuth2Settings
}

export interface Authorization {
  /** The files that it needs. */
  readonly files: readonly string[]
  /**
   * Reads the files.
   * @throws MBS_ERR_SINK_CREDENTIALS; then what was in force stays
   */
  reload (): Promise<void>
  /** The value to send, at once where it is known; or the outcome of an attempt that cannot have one. Never rejects. */
  value (): string | Promise<string | Outcome>
  /** The sink answered 401 to this value: the next one should be a new one, if there is any. */
  refused (value: string): void
  /** Gives up what is under way. Idempotent. */
  close (): void
}

export interface AuthorizationOptions {
  /** The name of the sink. */
  readonly sink: string
  readonly auth: AuthSettings
  /** For a request to a token endpoint, at most. */
  readonly timeoutMs: number
  readonly telemetry: Telemetry
}

/** Undefined: none is sent. */
export function createAuthorization (options: AuthorizationOptions): Authorization | undefined {
  const { sink, auth, timeoutMs, telemetry } = options
  const { bearer, basic, oauth2 } = auth
  if (bearer !== undefined) {
    return new FileAuthorization(bearer.file, async () => `Bearer ${await readSecret(bearer.file, parseBearerToken)}`)
  }
  if (basic !== undefined) {
    return new FileAuthorization(basic.passwordFile, async () => {
      const password = await readSecret(basic.passwordFile, parsePassword)
      return `Basic ${Buffer.from(`${basic.username}:${password}`).toString('base64')}`
    })
  }
  return oauth2 === undefined ? undefined : new ClientCredentials({ sink, settings: oauth2, timeoutMs, telemetry })
}

/** What is sent is in a file. */
class FileAuthorization implements Authorization {
  readonly files: readonly string[]
  readonly #read: () => Promise<string>
  #value = ''

  constructor (file: string, read: () => Promise<string>) {
    this.files = [file]
    this.#read = read
  }

  async reload (): Promise<void> {
    this.#value = await this.#read()
  }

  value (): string {
    return this.#value
  }

  /** The file is read again, by credentials.ts. */
  refused (): void {}

  close (): void {}
}
