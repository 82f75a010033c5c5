/**
 * What `check` looks at in files of any kind: whether they can be read, and whether certificates and keys fit together.
 * Reads files and nothing else. Never repeats what is in one.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'
import type { MbsError } from '../errors.ts'
import { parseCertificates } from '../pem/certificates.ts'
import { formatPath, type Path, type Report } from './problem.ts'

/** Makes the error that a mistake in a file is explained by. */
export type ToError = (error: unknown) => MbsError

/** What `read` makes of a file; a mistake is noted where it throws. */
export function tryFile<T> (
  path: Path, file: string, allowed: string, report: Report, toError: ToError, read: (text: string) => T
): T | undefined {
  try {
    return read(readFileSync(file, 'utf8'))
  } catch (error) {
    report.add(path, { found: JSON.stringify(file), allowed, error: toError(error) })
    return undefined
  }
}

/** The certificates of a CA file. */
export function checkCa (
  path: Path, file: string | undefined, report: Report, toError: ToError
): X509Certificate[] | undefined {
  return file === undefined ? undefined : tryFile(path, file, 'a PEM file with certificates', report, toError, parseCertificates)
}

/**
 * A certificate and its private key.
 * @param path of the section with `cert` and `key`
 * @param now milliseconds since the epoch
 */
export function checkPair (
  path: Path, files: { readonly cert: string, readonly key: string }, report: Report, toError: ToError, now: number
): void {
  const cert = tryFile([...path, 'cert'], files.cert, 'a PEM file with a certificate', report, toError, (text) => {
    parseCertificates(text)
    return new X509Certificate(text)
  })
  const unencrypted = 'a PEM file with an unencrypted private key'
  const key = tryFile([...path, 'key'], files.key, unencrypted, report, toError, createPrivateKey)
  if (cert === undefined || key === undefined) return

  tryFile([...path, 'key'], files.key, 'the private key of tls.cert', report, toError, (text) => {
    if (!cert.checkPrivateKey(key)) throw new Error('key and certificate do not belong together')
    // What is left is what OpenSSL alone knows, such as a key that is too short for it.
    createSecureContext({ cert: readFileSync(files.cert), key: text })
  })
  const certificate = formatPath([...path, 'cert'])
  if (Date.parse(cert.validTo) < now) report.warn(`${certificate} expired at ${cert.validTo}`)
  if (Date.parse(cert.validFrom) > now) report.warn(`${certificate} is not valid before ${cert.validFrom}`)
}
