/** Keys made at run time, tokens signed with them by jose, and tokens that nobody would sign. */
import { generateKeyPairSync, type JsonWebKey, type KeyObject } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import { SignJWT, type JWTPayload } from 'jose'
import type { Credentials } from '../../lib/message.ts'

export interface KeyPair {
  readonly publicKey: KeyObject
  readonly privateKey: KeyObject
}

export const rsaKeys = (modulusLength = 2048): KeyPair => generateKeyPairSync('rsa', { modulusLength })
export const ecKeys = (namedCurve = 'P-256'): KeyPair => generateKeyPairSync('ec', { namedCurve })
export const edKeys = (): KeyPair => generateKeyPairSync('ed25519')

/** What a JWK Set says of a key. */
export function jwkOf ({ publicKey }: KeyPair, more: JsonWebKey = {}): JsonWebKey {
  return { ...publicKey.export({ format: 'jwk' }), ...more }
}

export function pemOf ({ publicKey }: KeyPair): string {
  return publicKey.export({ format: 'pem', type: 'spki' }) as string
}

/** Seconds since the epoch, so much from now. */
export const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds

/** Claims of a good token. */
export const goodClaims = () => ({ sub: 'device-1', aud: 'mqtt', iss: 'https://issuer.example/', exp: inSeconds(600) })

/** A token signed as its header says. */
export async function sign (
  { privateKey }: { readonly privateKey: KeyObject | Uint8Array },
  header: { alg: string, [name: string]: unknown },
  claims: JWTPayload = goodClaims()
): Promise<string> {
  return await new SignJWT(claims).setProtectedHeader(header).sign(privateKey)
}

/** Three parts of anything. */
export function forge (header: unknown, claims: unknown = goodClaims(), signature: string | Buffer = ''): string {
  const part = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
  return `${part(header)}.${part(claims)}.${Buffer.from(signature).toString('base64url')}`
}

/** What a device shows of itself. */
export function credentials (given: Partial<Credentials> & { readonly token?: string } = {}): Credentials {
  const { token, ...rest } = given
  return {
    clientId: 'client-1',
    address: '127.0.0.1',
    listener: 'mqtts 127.0.0.1:8883',
    secure: true,
    anonymous: false,
    ...(token !== undefined && { password: Buffer.from(token) }),
    ...rest
  }
}

/** A signal that is never aborted, and that any number may listen to at a time. */
export const never = new AbortController().signal
setMaxListeners(0, never)
