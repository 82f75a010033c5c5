/**
 * The certificate of a device, as the other stages know it. Node gives the subject alternative names as one text, in
 * which what could be mistaken for more of them stands in quotes: it is taken apart here, and here alone.
 */
import type { Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { PeerCertificate } from '../message.ts'

/** The certificate that a device proved in TLS; undefined where it has none, or one that was not found valid. */
export function peerCertificateOf (socket: Socket): PeerCertificate | undefined {
  if (!(socket instanceof TLSSocket) || !socket.authorized) return undefined
  const certificate = socket.getPeerX509Certificate()
  if (certificate === undefined) return undefined
  // The types say that a name stands there once; with several, it is a list, and nobody knows which one counts.
  const cn = (socket.getPeerCertificate().subject as { CN?: unknown } | undefined)?.CN
  return Object.freeze({
    ...(typeof cn === 'string' && { cn }),
    sans: Object.freeze(parseSubjectAltNames(certificate.subjectAltName ?? '')),
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase()
  })
}

/** One name: its type up to the first colon, and its value, plain or as a JSON text, up to the next comma. */
const ALT_NAME = /^([^:,"]+):(?:("(?:[^"\\]|\\.)*")|([^,"]*))(?:, |$)/

/** Takes the text of Node apart. What is not understood, and what follows it, is left out. Pure. */
export function parseSubjectAltNames (text: string): Array<{ readonly type: string, readonly value: string }> {
  const names: Array<{ type: string, value: string }> = []
  let rest = text
  while (rest !== '') {
    const match = ALT_NAME.exec(rest)
    if (match === null) break
    const [whole, type = '', quoted, plain = ''] = match
    names.push({ type, value: quoted === undefined ? plain : JSON.parse(quoted) as string })
    rest = rest.slice(whole.length)
  }
  return names
}
