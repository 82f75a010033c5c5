/**
 * What an https sink is trusted by: the certificate authorities that node trusts, and those that are configured beside
 * them. Node's own option `ca` would replace the roots. The context is made once: to parse some 150 certificates again
 * costs milliseconds at every connection.
 */
import { X509Certificate } from 'node:crypto'
import tls, { type SecureContext } from 'node:tls'
import { createError, reasonOf } from '../errors.ts'

const CERTIFICATE = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[\s\S]*?-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g

/**
 * @param ca texts with one or more PEM certificates each; none: what node trusts by itself
 * @throws MBS_ERR_SINK_CA
 */
export function createTrust (ca: readonly string[]): SecureContext | undefined {
  if (ca.length === 0) return undefined
  const added = ca.flatMap((text) => {
    const certificates = text.match(CERTIFICATE)
    if (certificates === null) throw createError('MBS_ERR_SINK_CA', { reason: 'there is no PEM certificate in it' })
    return certificates
  })
  try {
    for (const certificate of added) new X509Certificate(certificate) // eslint-disable-line no-new -- it validates
    return tls.createSecureContext({ ca: [...trustedByNode(), ...added] })
  } catch (error) {
    throw createError('MBS_ERR_SINK_CA', { reason: reasonOf(error) }, error)
  }
}

/** From Node 22.15 on with NODE_EXTRA_CA_CERTS and, where node is told so, the system's; before, the built-in roots. */
function trustedByNode (): readonly string[] {
  const { getCACertificates } = tls as { getCACertificates?: (type: 'default') => string[] }
  return getCACertificates === undefined ? tls.rootCertificates : getCACertificates('default')
}
