/**
 * Looks at a configuration without running it: what loading finds wrong, and the files that it names. Reads files and
 * nothing else: opens no port, asks no sink.
 */
import type { X509Certificate } from 'node:crypto'
import { parseJwks, parsePublicKey } from '../access/token-keys.ts'
import { createError, reasonOf, type MbsError } from '../errors.ts'
import { parseSchema, Schemas } from '../mapping/schema.ts'
import { parseRevocations, withoutList } from '../pem/revocations.ts'
import { parseHeaderValue } from '../sink/secret-text.ts'
import { describeListener } from './addresses.ts'
import { checkCa, checkPair, tryFile, type ToError } from './check-files.ts'
import { checkRedisFiles } from './check-redis.ts'
import { checkSinkFiles } from './check-sinks.ts'
import { examineConfig, type ExaminedConfig, type LoadedConfig, type LoadOptions } from './load.ts'
import { readPermissions } from './permissions-file.ts'
import { formatPath, redactUrl, Report, type Path } from './problem.ts'
import type { Config, ListenerConfig } from './schema.ts'
import { parseUsers, toUsersError } from './users-file.ts'

/**
 * All mistakes of a configuration and of the certificate files that it names, as a value. Files are looked at only
 * when the configuration itself has no mistakes.
 * @param now milliseconds since the epoch, for the validity of certificates
 * @throws MBS_ERR_CONFIG_FILE, MBS_ERR_CONFIG_SYNTAX
 */
export function checkConfig (options: LoadOptions = {}, now: number = Date.now()): ExaminedConfig {
  const examined = examineConfig(options)
  const { loaded } = examined
  if (loaded === undefined) return examined

  const report = new Report(loaded.originOf)
  for (const warning of examined.warnings) report.warn(warning)
  checkFiles(loaded, report, now)
  const { problems, warnings } = report
  return problems.length > 0 ? { problems, warnings } : { problems, warnings, loaded: { ...loaded, warnings } }
}

function checkFiles ({ config }: LoadedConfig, report: Report, now: number): void {
  for (const [at, listener] of config.listeners.entries()) {
    if (listener.tls !== undefined) checkTlsFiles(['listeners', at, 'tls'], listener, listener.tls, report, now)
  }
  const { users } = config.access
  if (users !== undefined) {
    tryFile(['access', 'users'], users, 'a user file', report, (error) => toUsersError(users, error), (text) => parseUsers(text, users))
  }
  checkPermissionsFile(config, report)
  checkSinkFiles(['sink'], config.sink, report, now)
  const { deadLetterSink } = config.delivery
  if (deadLetterSink !== undefined) checkSinkFiles(['delivery', 'deadLetterSink'], deadLetterSink, report, now)
  for (const [at, named] of config.sinks.entries()) {
    checkSinkFiles(['sinks', at], named, report, now)
    const letters = named.delivery?.deadLetterSink
    if (letters !== undefined) checkSinkFiles(['sinks', at, 'delivery', 'deadLetterSink'], letters, report, now)
  }
  checkTokenFiles(config.access, report)
  checkRedisFiles(config, report, now)
  checkTracingFiles(config.tracing, report)
  checkSchemaFiles(config, report)
}

function checkTracingFiles ({ headers }: Config['tracing'], report: Report): void {
  const toError = (error: unknown) => createError('MBS_ERR_TRACING_HEADERS', { reason: reasonOf(error) }, error)
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === 'string') continue
    tryFile(['tracing', 'headers', name, 'file'], value.file, 'a file with one line of visible ASCII', report, toError, parseHeaderValue)
  }
}

function checkSchemaFiles ({ events }: Config, report: Report): void {
  const schemas = new Schemas()
  for (const [index, { schema }] of events.rules.entries()) {
    if (schema?.file === undefined) continue
    const { file } = schema
    const toError = (error: unknown) => createError('MBS_ERR_MAPPING_SCHEMA', { file, reason: reasonOf(error) }, error)
    const read = (text: string) => parseSchema(text, schemas)
    tryFile(['events', 'rules', index, 'schema', 'file'], file, 'a file with a JSON Schema', report, toError, read)
  }
}

function checkPermissionsFile (config: Config, report: Report): void {
  try {
    readPermissions(config)
  } catch (error) {
    report.add(['access', 'permissionsFile'], {
      found: JSON.stringify(config.access.permissionsFile), allowed: 'a YAML file with permissions', error: error as MbsError
    })
  }
}

function checkTlsFiles (
  path: Path, listener: ListenerConfig, files: NonNullable<ListenerConfig['tls']>, report: Report, now: number
): void {
  const name = describeListener(listener)
  const tlsError = (error: unknown) =>
    createError('MBS_ERR_LISTENER_TLS', { listener: name, reason: reasonOf(error) }, error)

  const authorities = checkCa([...path, 'ca'], files.ca, report, tlsError)
  checkCrl([...path, 'crl'], files.crl, authorities ?? [], report, tlsError, now)
  checkPair(path, files, report, tlsError, now)
}

function checkCrl (
  path: Path, file: string | undefined, authorities: readonly X509Certificate[], report: Report, toError: ToError,
  now: number
): void {
  if (file === undefined) return
  const lists = tryFile(path, file, 'a PEM file with revocation lists (X509 CRL)', report, toError, parseRevocations)
  if (lists === undefined) return
  const crl = formatPath(path)
  for (const { subject } of withoutList(authorities, lists)) {
    report.warn(`${crl} has no list of the CA ${subject.replaceAll('\n', ', ')}: no client certificate of it is accepted`)
  }
  const expired = lists.flatMap(({ nextUpdate }) => nextUpdate !== undefined && nextUpdate < now ? [nextUpdate] : [])
  for (const at of expired) {
    report.warn(`${crl} expired at ${new Date(at).toISOString()}: no client certificate is accepted until it is replaced`)
  }
}

function checkTokenFiles ({ jwt, http }: Config['access'], report: Report): void {
  const keysError = (source: string) => (error: unknown) =>
    createError('MBS_ERR_ACCESS_KEYS', { source, reason: reasonOf(error) }, error)
  if (jwt?.publicKey !== undefined) {
    const path = ['access', 'jwt', 'publicKey']
    const read = (text: string) => parsePublicKey(text, jwt.algorithms)
    tryFile(path, jwt.publicKey, 'a PEM file with a public key', report, keysError(jwt.publicKey), read)
  }
  if (jwt?.jwks?.includes('://') === false) {
    const path = ['access', 'jwt', 'jwks']
    const read = (text: string) => parseJwks(text, jwt.algorithms)
    tryFile(path, jwt.jwks, 'a JWK Set with public keys', report, keysError(jwt.jwks), read)
  }
  if (http?.tokenFile !== undefined) {
    const hookError = (error: unknown) =>
      createError('MBS_ERR_ACCESS_HOOK', { url: redactUrl(http.url), reason: reasonOf(error) }, error)
    tryFile(['access', 'http', 'tokenFile'], http.tokenFile, 'a file with one token', report, hookError, (text) => {
      if (!/^[\x21-\x7e]+$/.test(text.trim())) throw new Error('it holds no token: one line of visible ASCII')
    })
  }
}
