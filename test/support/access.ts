/** Access as the program puts it together, over users that the test makes; hashes that cost little. */
import { Access } from '../../lib/access/access.ts'
import { hashPassword } from '../../lib/access/password.ts'
import { parsePasswordHash, type HashCost, type PasswordHash } from '../../lib/access/password-hash.ts'
import type { User } from '../../lib/access/users.ts'
import { loadConfig } from '../../lib/config/load.ts'
import type { Credentials } from '../../lib/message.ts'
import type { Telemetry } from '../../lib/telemetry/telemetry.ts'
import { createTestTelemetry } from './log-lines.ts'

export const cheapCost: HashCost = { ln: 10, r: 8, p: 1 }

/** Nobody gives up. */
export const noSignal = new AbortController().signal

/** A user with this password. */
export async function userWith (
  name: string, password: string, more: Partial<User> = {}, cost = cheapCost
): Promise<User> {
  return { name, password: parsePasswordHash(await hashPassword(password, cost)) as PasswordHash, ...more }
}

export function shown (fields: Partial<Credentials> = {}): Credentials {
  return { clientId: 'device', address: '10.0.0.1', listener: 'mqtt://0.0.0.0:1883', secure: false, anonymous: false, ...fields }
}

export const secret = (username: string, password: string): Pick<Credentials, 'username' | 'password'> =>
  ({ username, password: Buffer.from(password) })

export interface TestAccessOptions {
  /** The section `access` of the configuration, as a file has it. */
  settings?: object
  users?: readonly User[]
  timeoutMs?: number
  telemetry?: Telemetry
}

/** Makes it; `users` can be replaced, and are in force after `reload`. */
export async function createAccess (options: TestAccessOptions = {}) {
  const { telemetry, lines } = createTestTelemetry()
  const file = { users: options.users ?? [] }
  const settings = { ...(options.users !== undefined && { users: 'users.yaml' }), ...options.settings }
  const access = new Access({
    settings: loadConfig({ env: {}, settings: { access: settings } }).config.access,
    readUsers: async () => file.users,
    timeoutMs: options.timeoutMs ?? 10_000,
    telemetry: options.telemetry ?? telemetry
  })
  const reload = async () => { for (const item of access.files()) await item.reload() }
  await reload()
  /** Who shows this; the code of the error where it is refused. */
  const whoIs = async (fields: Partial<Credentials>) => {
    const outcome = await access.authenticate(shown(fields), new AbortController().signal)
    return outcome.kind === 'accepted' ? outcome.identity : outcome.error.code
  }
  return { access, reload, file, telemetry, lines, whoIs }
}
