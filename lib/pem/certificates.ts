/** PEM certificates as text. */
import { X509Certificate } from 'node:crypto'

const CERTIFICATE = /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----[^-]*-----END (?:TRUSTED |X509 )?CERTIFICATE-----/g

/** The certificates of a PEM text, at least one. @throws Error, saying what is wrong with it */
export function parseCertificates (pem: string): X509Certificate[] {
  const blocks = pem.match(CERTIFICATE) ?? []
  if (blocks.length === 0) throw new Error('there is no PEM certificate in it')
  return blocks.map((block, at) => {
    try {
      return new X509Certificate(block)
    } catch (error) {
      throw new Error(`certificate ${at + 1} of ${blocks.length} cannot be read`, { cause: error })
    }
  })
}
