/**
 * Client certificates: the listener has held one against its CA already; here it becomes a name. Who has none is left
 * to the next method; whose certificate has no such name is refused.
 */
import type { Credentials, PeerCertificate } from '../message.ts'
import type { AuthenticationMethod, Guess, MethodResult } from './method.ts'

export interface CertificateNaming {
  /** Where the name stands: common name, subject alternative name, or fingerprint (SHA-256, 64 hex digits). */
  readonly identity: 'cn' | 'san' | 'fingerprint'
  /** The type of the subject alternative name; the first one of it counts. */
  readonly san?: 'URI' | 'DNS' | 'email'
}

export class CertificateMethod implements AuthenticationMethod {
  readonly method = 'certificate'
  readonly #naming: CertificateNaming

  constructor (naming: CertificateNaming) {
    this.#naming = naming
  }

  guessOf ({ certificate }: Credentials): Guess | undefined {
    return certificate === undefined ? undefined : 'nothing'
  }

  async authenticate ({ certificate }: Credentials): Promise<MethodResult> {
    if (certificate === undefined) return { kind: 'skipped' }
    const username = nameIn(certificate, this.#naming)
    if (username === undefined || username === '') return { kind: 'refused', reason: 'certificate' }
    return { kind: 'accepted', username }
  }
}

/** The name that a certificate gives its owner; undefined: none of this kind. Pure. */
export function nameIn (certificate: PeerCertificate, { identity, san }: CertificateNaming): string | undefined {
  switch (identity) {
    case 'cn': return certificate.cn
    case 'san': return certificate.sans.find(({ type }) => type === san)?.value
    case 'fingerprint': return certificate.fingerprint
  }
}
