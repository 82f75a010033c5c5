/** The TLS side of an `mqtts` listener: reads the PEM files and proves that they can be used before they are. */
import { readFile } from 'node:fs/promises'
import { createSecureContext, type TlsOptions } from 'node:tls'
import { createError, reasonOf } from '../errors.ts'
import { parseCertificates } from '../pem/certificates.ts'
import { parseRevocations } from '../pem/revocations.ts'
import type { TlsExpiry } from './expiry-watch.ts'

/** How a listener speaks TLS; paths name PEM files. */
export interface ListenerTls {
  /** The certificate and its intermediates. */
  readonly cert: string
  readonly key: string
  /** The CA certificates that client certificates are checked against; needed where clients are asked for one. */
  readonly ca?: string
  /** The revocation lists that they are checked against, too: one for every authority in a client's chain. */
  readonly crl?: string
  /** `none`: not asked for; `optional`: one that is given has to be valid; `required`. */
  readonly clientCertificate: 'none' | 'optional' | 'required'
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
}

/** What the files say. */
export interface LoadedTls {
  readonly options: TlsOptions
  readonly expiry: TlsExpiry
}

/** The files of a listener. */
export function filesOf ({ cert, key, ca, crl }: ListenerTls): string[] {
  return [cert, key, ca, crl].filter((file) => file !== undefined)
}

/**
 * Reads the files and checks them.
 * @param listener names the listener in the error
 * @param handshakeTimeoutMs from the connection to the end of the handshake
 * @throws MBS_ERR_LISTENER_TLS for files that are missing, no PEM, or do not belong together
 */
export async function loadTlsOptions (
  tls: ListenerTls, listener: string, handshakeTimeoutMs: number
): Promise<LoadedTls> {
  try {
    const [cert, key, ca, crl] = await Promise.all([
      readPem(tls.cert), readPem(tls.key), readPem(tls.ca), readPem(tls.crl)
    ])
    const chain = parse(tls.cert, cert, parseCertificates)
    // OpenSSL takes a file without any certificate for an empty list of CAs.
    if (ca !== undefined) parse(tls.ca, ca, parseCertificates)
    const revocations = crl === undefined ? undefined : parse(tls.crl, crl, parseRevocations)
    const asked = tls.clientCertificate !== 'none'
    // Without a CA of its own, Node would trust every public one: anybody's certificate would do.
    if (asked && ca === undefined) throw new Error('client certificates are asked for, and tls.ca is missing')
    const material = {
      cert,
      key,
      ...(ca !== undefined && { ca }),
      ...(revocations !== undefined && { crl: revocations.map(({ pem }) => pem) }),
      minVersion: tls.minVersion
    }
    createSecureContext(material)
    return {
      options: {
        ...material,
        requestCert: asked,
        rejectUnauthorized: tls.clientCertificate === 'required',
        handshakeTimeout: handshakeTimeoutMs
      },
      expiry: {
        certificate: Math.min(...chain.map(({ validTo }) => Date.parse(validTo))),
        crl: earliest((revocations ?? []).map(({ nextUpdate }) => nextUpdate))
      }
    }
  } catch (error) {
    throw createError('MBS_ERR_LISTENER_TLS', { listener, reason: reasonOf(error) }, error)
  }
}

async function readPem<F extends string | undefined> (file: F): Promise<F extends string ? string : string | undefined>
async function readPem (file: string | undefined): Promise<string | undefined> {
  return file === undefined ? undefined : await readFile(file, 'utf8')
}

/** What is wrong with a file is told with its name. */
function parse<T> (file: string | undefined, text: string, read: (text: string) => T): T {
  try {
    return read(text)
  } catch (error) {
    throw new Error(`${file}: ${reasonOf(error)}`, { cause: error })
  }
}

function earliest (times: ReadonlyArray<number | undefined>): number | undefined {
  const known = times.filter((time) => time !== undefined)
  return known.length === 0 ? undefined : Math.min(...known)
}
