/**
 * Where to ask a program on this machine for its health. Without a configuration file it is found out with no look at
 * the schema, which would take a probe longer to load than to ask; a test holds it against what loadConfig says.
 */
import process from 'node:process'
import type { Environment } from './environment.ts'

/** Where an HTTP server listens, as http.host and http.port say it. */
export interface HttpAddress {
  readonly host: string
  readonly port: number | string
}

const DEFAULTS: HttpAddress = { host: '127.0.0.1', port: 8080 }

/** Addresses that stand for all of a machine, and one of them that can be asked. */
const ANY: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }

/**
 * The URL to ask, without a path: at this address, else at the one that the environment and the defaults give.
 * @param env the environment; that of the process unless given
 */
export function probeAddress (address?: HttpAddress, env: Environment = process.env): string {
  const { host, port } = address ?? { host: valueOf(env, 'MBS_HTTP_HOST', DEFAULTS.host), port: valueOf(env, 'MBS_HTTP_PORT', DEFAULTS.port) }
  const asked = ANY[host] ?? host
  return `http://${asked.includes(':') ? `[${asked}]` : asked}:${port}`
}

/** An empty variable is one that is not set, as everywhere. */
function valueOf<T> (env: Environment, name: string, otherwise: T): string | T {
  const text = env[name]?.trim()
  return text === undefined || text === '' ? otherwise : text
}
