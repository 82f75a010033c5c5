/**
 * What an https sink is trusted by, and what it is shown: the certificate authorities that node trusts and those that
 * are configured beside them, and a client certificate. Node's own option `ca` would replace the roots. The context is
 * made once: to parse some 150 certificates again costs milliseconds at every connection.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import tls, { type SecureContext } from 'node:tls'
import { createError, reasonOf } from '../errors.ts'

const CERTIFICATE = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[\s\S]*?-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g

/** A certificate, with its intermediates, and its key: paths, or their PEM texts. */
export interface ClientCertificate {
  readonly cert: string
  readonly key: string
}

/**
 * Reads the files of a client certificate.
 * @returns their texts, which can be used
 * @throws MBS_ERR_SINK_TLS
 */
export async function readClientCertificate (files: ClientCertificate): Promise<ClientCertificate> {
  try {
    const [cert, key] = await Promise.all([readFile(files.cert, 'utf8'), readFile(files.key, 'utf8')])
    // A context takes an empty text for none at all.
    new X509Certificate(cert) // eslint-disable-line no-new -- it validates
    createPrivateKey(key)
    tls.createSecureContext({ cert, key })
    return { cert, key }
  } catch (error) {
    throw createError('MBS_ERR_SINK_TLS', { reason: reasonOf(error) }, error)
  }
}

/**
 * @param ca texts with one or more PEM certificates each; none: what node trusts by itself
 * @param client the texts of the client certificate
 * @throws MBS_ERR_SINK_CA
 */
export function createTrust (ca: readonly string[], client?: ClientCertificate): SecureContext | undefined {
  if (ca.length === 0) return client === undefined ? undefined : tls.createSecureContext({ ...client })
  try {
    const added = ca.flatMap(certificatesIn)
    for (const certificate of added) new X509Certificate(certificate) // eslint-disable-line no-new -- it validates
    return tls.createSecureContext({ ca: [...trustedByNode(), ...added], ...client })
  } catch (error) {
    throw createError('MBS_ERR_SINK_CA', { reason: reasonOf(error) }, error)
  }
}

/** The PEM certificates in a text, one or more. @throws Error where there is none */
export function certificatesIn (text: string): string[] {
  const certificates = text.match(CERTIFICATE)
  if (certificates === null) throw new Error('there is no PEM certificate in it')
  return certificates
}

/** From Node 22.15 on with NODE_EXTRA_CA_CERTS and, where node is told so, the system's; before, the built-in roots. */
function trustedByNode (): readonly string[] {
  const { getCACertificates } = tls as { getCACertificates?: (type: 'default') => string[] }
  return getCACertificates === undefined ? tls.rootCertificates : getCACertificates('default')
}
