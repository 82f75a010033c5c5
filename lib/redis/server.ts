/**
 * What the servers say of themselves: their version, and how much of what they have taken they still have after a
 * crash. Read at the start, for errors and warnings; a user who may not read the settings gets a warning of its own.
 */
import { Cluster, type Redis } from 'ioredis'
import { createError } from '../errors.ts'
import type { RedisClient } from './link.ts'

/** What a server may lose of what it has acknowledged when its machine fails. */
export type Durability =
  /** Nothing: each write is on disk before it is answered. */
  | 'always'
  /** About a second. */
  | 'everysec'
  /** What the system had not written yet: half a minute and more. */
  | 'os'
  /** Everything since the last snapshot, or everything. */
  | 'none'
  /** Its settings may not be read. */
  | 'unknown'

export interface ServerFacts {
  readonly version: string
  readonly durability: Durability
  readonly maxmemory: number
  readonly replicas: number
}

/** The primaries of a Cluster, or the one server. */
export function primariesOf (client: RedisClient): Redis[] {
  return client instanceof Cluster ? client.nodes('master') : [client]
}

/**
 * Asks every primary; the worst answer counts.
 * @throws MBS_ERR_REDIS_VERSION, MBS_ERR_REDIS_EVICTION; what ioredis rejects with
 */
export async function readServerFacts (client: RedisClient, address: string): Promise<ServerFacts> {
  const all = await Promise.all(primariesOf(client).map((primary) => factsOf(primary, address)))
  const worst = ORDER.find((durability) => all.some((facts) => facts.durability === durability)) ?? 'unknown'
  return {
    version: all[0]?.version ?? '',
    durability: worst,
    maxmemory: Math.min(...all.map(({ maxmemory }) => maxmemory)),
    replicas: Math.min(...all.map(({ replicas }) => replicas))
  }
}

const ORDER: readonly Durability[] = ['none', 'os', 'everysec', 'unknown', 'always']

async function factsOf (primary: Redis, address: string): Promise<ServerFacts> {
  const info = fieldsOf(await primary.info('server') + await primary.info('replication'))
  const version = info['redis_version'] ?? 'unknown'
  const [major = 0, minor = 0] = version.split('.').map(Number)
  if (!(major > 6 || (major === 6 && minor >= 2))) throw createError('MBS_ERR_REDIS_VERSION', { address, version })
  const settings = await settingsOf(primary)
  const policy = settings['maxmemory-policy'] ?? 'noeviction'
  const maxmemory = Number(settings['maxmemory'] ?? 0)
  if (maxmemory > 0 && policy.startsWith('allkeys')) throw createError('MBS_ERR_REDIS_EVICTION', { address, policy })
  return { version, durability: durabilityOf(settings), maxmemory, replicas: Number(info['connected_slaves'] ?? 0) }
}

function durabilityOf ({ appendonly, appendfsync }: Settings): Durability {
  if (appendonly === undefined) return 'unknown'
  if (appendonly !== 'yes') return 'none'
  if (appendfsync === 'always' || appendfsync === 'everysec') return appendfsync
  return 'os'
}

type Settings = Readonly<Record<string, string | undefined>>

/** None where they may not be read: providers hide CONFIG, and ACLs forbid it. */
async function settingsOf (primary: Redis): Promise<Settings> {
  try {
    const settings: Record<string, string | undefined> = {}
    for (const name of ['appendonly', 'appendfsync', 'maxmemory', 'maxmemory-policy']) {
      const [key, value] = await primary.config('GET', name) as string[]
      if (key !== undefined) settings[key] = value
    }
    return settings
  } catch (error) {
    if (error instanceof Error && /^(?:ERR unknown command|NOPERM)/i.test(error.message)) return {}
    throw error
  }
}

/** The lines of INFO. */
function fieldsOf (text: string): Settings {
  const pairs = text.split('\r\n').map((line) => line.split(':', 2) as [string, string | undefined])
  return Object.fromEntries(pairs)
}
