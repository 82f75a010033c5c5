/** What `check` looks at in the files that a sink names: CAs, its client certificate, headers, credentials. */
import { createError, reasonOf } from '../errors.ts'
import { parseBearerToken, parseClientSecret, parseHeaderValue, parsePassword } from '../sink/secret-text.ts'
import { checkCa, checkPair, tryFile } from './check-files.ts'
import type { Path, Report } from './problem.ts'
import type { Config } from './schema.ts'

type Target = Pick<Config['sink'], 'ca' | 'headers' | 'auth' | 'tls'>

/**
 * Looks at the files of one sink.
 * @param path where its settings stand
 * @param now milliseconds since the epoch
 */
export function checkSinkFiles (path: Path, { ca, headers, auth, tls }: Target, report: Report, now: number): void {
  checkCa([...path, 'ca'], ca, report, (error) => createError('MBS_ERR_SINK_CA', { reason: reasonOf(error) }, error))
  if (tls !== undefined) {
    const tlsError = (error: unknown) => createError('MBS_ERR_SINK_TLS', { reason: reasonOf(error) }, error)
    checkPair([...path, 'tls'], tls, report, tlsError, now)
  }
  const secret = (at: Path, file: string | undefined, allowed: string, read: (text: string) => string) => {
    if (file === undefined) return
    const toError = (error: unknown) => createError('MBS_ERR_SINK_CREDENTIALS', { reason: reasonOf(error) }, error)
    tryFile([...path, ...at], file, allowed, report, toError, read)
  }
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === 'object') secret(['headers', name, 'file'], value.file, 'a file with one line of visible ASCII', parseHeaderValue)
  }
  secret(['auth', 'bearer', 'file'], auth?.bearer?.file, 'a file with one token', parseBearerToken)
  secret(['auth', 'basic', 'passwordFile'], auth?.basic?.passwordFile, 'a file with one password', parsePassword)
  const { clientSecretFile } = auth?.oauth2 ?? {}
  secret(['auth', 'oauth2', 'clientSecretFile'], clientSecretFile, 'a file with one client secret', parseClientSecret)
}
