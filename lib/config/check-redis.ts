/** What `check` looks at in the files of the section `redis`: passwords, certificates and keys. */
import { createError, reasonOf } from '../errors.ts'
import { parsePassword } from '../redis/node.ts'
import { checkCa, checkPair, tryFile } from './check-files.ts'
import type { Path, Report } from './problem.ts'
import type { Config } from './schema.ts'

/** @param now milliseconds since the epoch, for the validity of certificates */
export function checkRedisFiles ({ redis, outbox, broker }: Config, report: Report, now: number): void {
  if (redis === undefined || (outbox.store !== 'redis' && broker.sessions !== 'redis')) return
  const { sentinel, tls, passwordFile } = redis
  checkPassword(['redis', 'passwordFile'], passwordFile, report)
  checkPassword(['redis', 'sentinel', 'passwordFile'], sentinel?.passwordFile, report)
  if (tls === undefined) return
  const path = ['redis', 'tls']
  checkCa([...path, 'ca'], tls.ca, report, toError)
  const { cert, key } = tls
  // The rules see to it that there are both or none.
  if (cert !== undefined && key !== undefined) checkPair(path, { cert, key }, report, toError, now)
}

function checkPassword (path: Path, file: string | undefined, report: Report): void {
  if (file !== undefined) tryFile(path, file, 'a file with one password', report, toError, parsePassword)
}

const toError = (error: unknown) => createError('MBS_ERR_REDIS_FILE', { reason: reasonOf(error) }, error)
