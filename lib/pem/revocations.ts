/**
 * PEM revocation lists (CRLs) as text. Node hands them to OpenSSL and tells nothing of them, and of a text with several
 * OpenSSL takes the first alone: here they are taken apart, each with what an operator has to know of it.
 */
import type { X509Certificate } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { DER_INTEGER, DER_SEQUENCE, readDer, timeOf, type DerElement } from './der.ts'

/** One revocation list. */
export interface RevocationList {
  readonly pem: string
  /** The name of the authority whose certificates it revokes, in DER. */
  readonly issuer: Buffer
  /** When it expires, in milliseconds since the epoch: from then on OpenSSL trusts nobody of this authority. */
  readonly nextUpdate: number | undefined
}

const LIST = /-----BEGIN X509 CRL-----([^-]*)-----END X509 CRL-----/g

/** The revocation lists of a PEM text, at least one. @throws Error, saying what is wrong with it */
export function parseRevocations (pem: string): RevocationList[] {
  const blocks = [...pem.matchAll(LIST)]
  if (blocks.length === 0) throw new Error('there is no PEM revocation list (X509 CRL) in it')
  return blocks.map(([block, base64 = ''], at) => {
    try {
      createSecureContext({ crl: block })
      return { pem: block, ...fieldsOf(Buffer.from(base64, 'base64')) }
    } catch (error) {
      throw new Error(`revocation list ${at + 1} of ${blocks.length} cannot be read`, { cause: error })
    }
  })
}

/** The authorities of which there is no list: with a list of any other one in force, nobody of theirs gets in. */
export function withoutList (
  authorities: readonly X509Certificate[], lists: readonly RevocationList[]
): X509Certificate[] {
  return authorities.filter(({ raw }) => !lists.some(({ issuer }) => issuer.equals(subjectOf(raw))))
}

/** [RFC 5280 5.1]: version (optional), algorithm, issuer, thisUpdate, nextUpdate (optional), … */
function fieldsOf (der: Buffer): { issuer: Buffer, nextUpdate: number | undefined } {
  const [first, second, ...others] = insideOf(insideOf(der)[0])
  const [issuer, , nextUpdate] = first?.tag === DER_INTEGER ? others : [second, ...others]
  if (issuer?.tag !== DER_SEQUENCE) throw new Error('it names no issuer')
  return { issuer: issuer.bytes, nextUpdate: nextUpdate === undefined ? undefined : timeOf(nextUpdate) }
}

/** [RFC 5280 4.1]: version (optional, [0]), serial number, algorithm, issuer, validity, subject, … */
function subjectOf (der: Buffer): Buffer {
  const fields = insideOf(insideOf(der)[0])
  return fields[fields[0]?.tag === DER_INTEGER ? 4 : 5]?.bytes ?? Buffer.alloc(0)
}

function insideOf (of: Buffer | DerElement | undefined): DerElement[] {
  const element = Buffer.isBuffer(of) ? readDer(of)[0] : of
  if (element?.tag !== DER_SEQUENCE) throw new Error('it is of another form')
  return readDer(element.content)
}
