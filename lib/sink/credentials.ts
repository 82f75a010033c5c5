/**
 * What an HTTP sink is told about who sends: headers and the header Authorization, and what follows from a 401. Between
 * the HTTP sink and whatever they are made of. Invariant: before the files were read, there is nothing to send.
 */
import type { Telemetry } from '../telemetry/telemetry.ts'
import { createAuthorization, type Authorization, type AuthSettings } from './authorization.ts'
import { RequestHeaders, type HeaderSettings } from './request-headers.ts'
import type { Outcome, SinkFiles } from './sink.ts'

/** After a 401, files are read again at most so often, however many events are answered like this. */
const REREAD_MS = 5000

const ABORTED: Outcome = { kind: 'aborted' }

export interface CredentialsOptions {
  /** The name of the sink. */
  readonly sink: string
  /** The sink's URL as it may be shown. */
  readonly destination: string
  /** The program's own headers, in lower case; the settings may replace them. */
  readonly own: Readonly<Record<string, string>>
  readonly headers: HeaderSettings
  readonly auth: AuthSettings
  /** For a request to a token endpoint, at most. */
  readonly timeoutMs: number
  readonly telemetry: Telemetry
}

export class Credentials {
  readonly files: readonly SinkFiles[]
  readonly #options: CredentialsOptions
  readonly #headers: RequestHeaders
  readonly #authorization: Authorization | undefined
  /** Those of `files` that were never read. */
  readonly #unread: Set<SinkFiles>
  #rereadAt = -Infinity

  constructor (options: CredentialsOptions) {
    this.#options = options
    this.#headers = new RequestHeaders(options.own, options.headers)
    this.#authorization = createAuthorization(options)
    this.files = [
      this.#group('sink-headers', 'header files', this.#headers),
      this.#group('sink-auth', 'credentials', this.#authorization)
    ].filter((group) => group !== undefined)
    this.#unread = new Set(this.files)
  }

  /** Names and values in turn; undefined as long as there are files that were not read. */
  get headers (): readonly string[] | undefined {
    return this.#unread.size > 0 ? undefined : this.#headers.list
  }

  /** Undefined: there is no such header; an outcome: what becomes of an attempt that should have one. Never rejects. */
  authorization (signal: AbortSignal): undefined | string | Promise<string | Outcome> {
    const value = this.#authorization?.value()
    return value === undefined || typeof value === 'string' ? value : unlessAborted(value, signal)
  }

  /**
   * A 401 that may be of the credentials is marked as such, and whatever they are made of is renewed, now and then: it
   * may have been replaced, or have expired.
   * @param authorization what was sent
   */
  judge (outcome: Outcome, authorization: string | undefined): Outcome {
    if (outcome.kind !== 'answer' || outcome.status !== 401) return outcome
    if (authorization === undefined && !this.#headers.hasCredentials) return outcome
    const { telemetry, sink, destination } = this.#options
    telemetry.sinkUnauthorized(sink, { destination })
    if (authorization !== undefined) this.#authorization?.refused(authorization)
    this.#reread()
    return { ...outcome, unauthorized: true }
  }

  /** Gives up what is under way. Idempotent. */
  close (): void {
    this.#authorization?.close()
  }

  #reread (): void {
    const now = performance.now()
    if (now - this.#rereadAt < REREAD_MS) return
    this.#rereadAt = now
    // One that cannot be read leaves in force what was, and whoever watches it tells.
    for (const { reload } of this.files) reload().catch(() => {})
  }

  #group (
    kind: SinkFiles['kind'], what: string, from: Pick<Authorization, 'files' | 'reload'> | undefined
  ): SinkFiles | undefined {
    if (from === undefined || from.files.length === 0) return undefined
    const group: SinkFiles = {
      kind,
      what: `${what} of the sink ${this.#options.sink}`,
      files: from.files,
      reload: async () => {
        await from.reload()
        this.#unread.delete(group)
      }
    }
    return group
  }
}

/** What the promise resolves with, which never rejects; the outcome `aborted` where the signal is aborted before. */
async function unlessAborted (promise: Promise<string | Outcome>, signal: AbortSignal): Promise<string | Outcome> {
  let onAbort = () => {}
  const aborted = new Promise<Outcome>((resolve) => { onAbort = () => { resolve(ABORTED) } })
  signal.addEventListener('abort', onAbort, { once: true })
  const first = await Promise.race([promise, aborted])
  signal.removeEventListener('abort', onAbort)
  return first
}
