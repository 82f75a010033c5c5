/** The TLS side of an `mqtts` listener: reads the PEM files and proves at start that they can be used. */
import { X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext, type TlsOptions } from 'node:tls'
import { createError, reasonOf } from '../errors.ts'

/** How a listener speaks TLS; paths name PEM files. */
export interface ListenerTls {
  /** The certificate and its intermediates. */
  readonly cert: string
  readonly key: string
  /** The CA certificates that client certificates are checked against; needed where clients are asked for one. */
  readonly ca?: string
  /** `none`: not asked for; `optional`: one that is given has to be valid; `required`. */
  readonly clientCertificate: 'none' | 'optional' | 'required'
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/**
 * Reads the files and checks them.
 * @param listener names the listener in the error
 * @param handshakeTimeoutMs from the connection to the end of the handshake
 * @throws MBS_ERR_LISTENER_TLS for files that are missing, no PEM, or do not belong together
 */
export async function loadTlsOptions (
  tls: ListenerTls, listener: string, handshakeTimeoutMs: number
): Promise<TlsOptions> {
  try {
    const [cert, key, ca] = await Promise.all([
      readPem(tls.cert), readPem(tls.key), tls.ca === undefined ? undefined : readPem(tls.ca)
    ])
    if (ca !== undefined) parseCertificates(ca, tls.ca as string)
    const asked = tls.clientCertificate !== 'none'
    // Without a CA of its own, Node would trust every public one: anybody's certificate would do.
    if (asked && ca === undefined) throw new Error('client certificates are asked for, and tls.ca is missing')
    const material = { cert, key, ...(ca !== undefined && { ca }), minVersion: tls.minVersion }
    createSecureContext(material)
    return {
      ...material,
      requestCert: asked,
      rejectUnauthorized: tls.clientCertificate === 'required',
      handshakeTimeout: handshakeTimeoutMs
    }
  } catch (error) {
    throw createError('MBS_ERR_LISTENER_TLS', { listener, reason: reasonOf(error) }, error)
  }
}

async function readPem (file: string): Promise<string> {
  return await readFile(file, 'utf8')
}

/** OpenSSL takes a file without any certificate for an empty list of CAs. */
function parseCertificates (pem: string, file: string): X509Certificate[] {
  const certificates = pem.match(PEM_CERTIFICATE)
  if (certificates === null) throw new Error(`${file} holds no PEM certificate`)
  return certificates.map((certificate) => new X509Certificate(certificate))
}
