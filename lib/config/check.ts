/**
 * Looks at a configuration without running it: what loading finds wrong, and the files that it names. Reads files and
 * nothing else: opens no port, asks no sink.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import { createError, reasonOf, type MbsError } from '../errors.ts'
import { describeListener } from './addresses.ts'
import { examineConfig, type ExaminedConfig, type LoadedConfig, type LoadOptions } from './load.ts'
import { parseCertificates } from './pem.ts'
import { formatPath, Report, type Path } from './problem.ts'
import type { ListenerConfig } from './schema.ts'

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

/** Makes the error that a mistake in a file is explained by. */
type ToError = (error: unknown) => MbsError

function checkFiles ({ config }: LoadedConfig, report: Report, now: number): void {
  for (const [at, listener] of config.listeners.entries()) {
    if (listener.tls !== undefined) checkTlsFiles(['listeners', at, 'tls'], listener, listener.tls, report, now)
  }
  const sinkCa = (error: unknown) => createError('MBS_ERR_SINK_CA', { reason: reasonOf(error) }, error)
  checkCa(['sink', 'ca'], config.sink.ca, report, sinkCa)
  checkCa(['delivery', 'deadLetterSink', 'ca'], config.delivery.deadLetterSink?.ca, report, sinkCa)
}

function checkTlsFiles (
  path: Path, listener: ListenerConfig, files: NonNullable<ListenerConfig['tls']>, report: Report, now: number
): void {
  const name = describeListener(listener)
  const tlsError = (error: unknown) =>
    createError('MBS_ERR_LISTENER_TLS', { listener: name, reason: reasonOf(error) }, error)

  checkCa([...path, 'ca'], files.ca, report, tlsError)
  const cert = tryFile([...path, 'cert'], files.cert, 'a PEM file with a certificate', report, tlsError, (text) => {
    parseCertificates(text)
    return new X509Certificate(text)
  })
  const unencrypted = 'a PEM file with an unencrypted private key'
  const key = tryFile([...path, 'key'], files.key, unencrypted, report, tlsError, createPrivateKey)
  if (cert === undefined || key === undefined) return

  tryFile([...path, 'key'], files.key, 'the private key of tls.cert', report, tlsError, (text) => {
    if (!cert.checkPrivateKey(key)) throw new Error('key and certificate do not belong together')
    // What is left is what OpenSSL alone knows, such as a key that is too short for it.
    createSecureContext({ cert: readFileSync(files.cert), key: text })
  })
  const certificate = formatPath([...path, 'cert'])
  if (Date.parse(cert.validTo) < now) report.warn(`${certificate} expired at ${cert.validTo}`)
  if (Date.parse(cert.validFrom) > now) report.warn(`${certificate} is not valid before ${cert.validFrom}`)
}

function checkCa (path: Path, file: string | undefined, report: Report, toError: ToError): void {
  if (file !== undefined) tryFile(path, file, 'a PEM file with certificates', report, toError, parseCertificates)
}

/** What `read` makes of a file; a mistake is noted where it throws. */
function tryFile<T> (
  path: Path, file: string, allowed: string, report: Report, toError: ToError, read: (text: string) => T
): T | undefined {
  try {
    return read(readFileSync(file, 'utf8'))
  } catch (error) {
    report.add(path, { found: JSON.stringify(file), allowed, error: toError(error) })
    return undefined
  }
}
