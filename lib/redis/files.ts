/**
 * The files that the section `redis` names, read for a connection: passwords and certificates. What is wrong with one
 * is found here, before it is used, and told with its path; never what is in it.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import type { RedisOptions } from 'ioredis'
import { createError, reasonOf } from '../errors.ts'
import type { RedisSettings } from './link.ts'
import { parsePassword } from './node.ts'

/** User and password. @throws MBS_ERR_REDIS_FILE */
export async function credentialsOf ({ username, passwordFile }: RedisSettings): Promise<RedisOptions> {
  if (passwordFile === undefined) return {}
  return { password: await secretIn(passwordFile), ...(username !== undefined && { username }) }
}

/** The password in a file. @throws MBS_ERR_REDIS_FILE */
export async function secretIn (file: string): Promise<string> {
  return await contentOf(file, parsePassword)
}

/** What TLS needs; nothing without it. @throws MBS_ERR_REDIS_FILE */
export async function tlsOf ({ url, tls }: RedisSettings): Promise<RedisOptions> {
  if (tls === undefined && url?.startsWith('rediss:') !== true) return {}
  const { ca, cert, key, servername } = tls ?? {}
  // OpenSSL takes a text without certificates for none at all, and ioredis does not try again after what it throws.
  const authorities = ca === undefined ? undefined : await contentOf(ca, certificateIn)
  const certificate = cert === undefined ? undefined : await contentOf(cert, certificateIn)
  const secret = key === undefined ? undefined : await contentOf(key, (text) => keyIn(text, certificate))
  return {
    tls: {
      ...(authorities !== undefined && { ca: authorities }),
      ...(certificate !== undefined && { cert: certificate }),
      ...(secret !== undefined && { key: secret }),
      ...(servername !== undefined && { servername })
    }
  }
}

function certificateIn (text: string): string {
  new X509Certificate(text) // eslint-disable-line no-new -- it validates
  return text
}

/** The key of this certificate. */
function keyIn (text: string, cert: string | undefined): string {
  createPrivateKey(text)
  createSecureContext({ key: text, ...(cert !== undefined && { cert }) })
  return text
}

async function contentOf (file: string, read: (text: string) => string): Promise<string> {
  try {
    return read(await readFile(file, 'utf8'))
  } catch (error) {
    throw createError('MBS_ERR_REDIS_FILE', { reason: `${file}: ${reasonOf(error)}` }, error)
  }
}
