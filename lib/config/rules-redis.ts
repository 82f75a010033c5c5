/** The rules about Redis; see rules.ts. */
import { parseNode } from '../redis/node.ts'
import { describeFound, type Path, type Report } from './problem.ts'
import type { DraftConfig } from './schema.ts'
import { REDIS_NODE, REDIS_URL } from './schema-redis.ts'

type Redis = NonNullable<DraftConfig['redis']>

export function checkRedis (config: DraftConfig, report: Report): void {
  if (!report.sound(['redis'], ['outbox', 'store'], ['broker', 'sessions'])) return
  const { redis, outbox, broker } = config
  const user = outbox.store === 'redis' ? 'outbox.store' : broker.sessions === 'redis' ? 'broker.sessions' : undefined
  if (redis === undefined) {
    if (user !== undefined) {
      const allowed = `a section with url, sentinel or cluster, because ${user} is redis`
      report.add(['redis'], { found: 'nothing', allowed })
    }
    return
  }
  if (user === undefined) report.warn('redis has no effect while neither outbox.store nor broker.sessions is redis')
  checkPlace(redis, report)
  checkTls(redis, report)
  checkOutbox(config, redis, report)
  checkSessions(config, redis, report)
}

function checkPlace ({ url, sentinel, cluster }: Redis, report: Report): void {
  const given = Object.entries({ url, sentinel, cluster }).flatMap(([key, value]) => value === undefined ? [] : key)
  if (given.length !== 1) {
    report.add(['redis'], { found: given.length === 0 ? 'none of them' : given.join(' and '), allowed: 'exactly one of url, sentinel, cluster' })
  }
  if (url !== undefined) {
    const hint = urlMistake(url)
    if (hint !== undefined) report.add(['redis', 'url'], { found: 'a text that is none', allowed: REDIS_URL, hint })
  }
  for (const key of ['sentinel', 'cluster'] as const) {
    for (const [at, node] of ({ sentinel, cluster }[key]?.nodes ?? []).entries()) {
      if (parseNode(node) !== undefined) continue
      report.add(['redis', key, 'nodes', at], { found: describeFound(node), allowed: REDIS_NODE })
    }
  }
}

/** Never repeats the URL: there may be a password in it. */
function urlMistake (text: string): string | undefined {
  if (!URL.canParse(text)) return 'it is no URL'
  const url = new URL(text)
  if (url.host === '') return 'it has no host'
  if (url.protocol !== 'redis:' && url.protocol !== 'rediss:') return 'its scheme is neither redis nor rediss'
  if (url.username !== '' || url.password !== '') return 'user and password belong in redis.username and redis.passwordFile'
  if (url.search !== '' || url.hash !== '' || !/^\/?\d{0,5}$/.test(url.pathname)) return 'behind the host there is more than the number of a database'
  return undefined
}

function checkTls ({ url, tls, sentinel, username, passwordFile }: Redis, report: Report): void {
  const at: Path = ['redis', 'tls']
  if (url?.startsWith('redis:') === true && tls !== undefined) {
    report.add(at, { found: 'a section', allowed: 'nothing, because redis.url is redis://', hint: 'did you mean rediss://?' })
  }
  if (tls !== undefined && (tls.cert === undefined) !== (tls.key === undefined)) {
    report.add([...at, tls.cert === undefined ? 'cert' : 'key'], { found: 'nothing', allowed: 'a path: cert and key belong together' })
  }
  if (username !== undefined && passwordFile === undefined) {
    report.add(['redis', 'passwordFile'], { found: 'nothing', allowed: 'a path, because redis.username is set' })
  }
  if (sentinel?.username !== undefined && sentinel.passwordFile === undefined) {
    report.add(['redis', 'sentinel', 'passwordFile'], { found: 'nothing', allowed: 'a path, because redis.sentinel.username is set' })
  }
}

/** Several requests of CONNECT wait one after the other; a device should hear of the first that fails. */
function checkSessions ({ broker, limits }: DraftConfig, redis: Redis, report: Report): void {
  if (broker.sessions !== 'redis' || !report.sound(['limits', 'connectTimeout'], ['redis', 'timeout'])) return
  if (limits.connectTimeout <= redis.timeout) {
    report.add(['redis', 'timeout'], { found: `${redis.timeout} ms`, allowed: 'less than limits.connectTimeout' })
  }
}

function checkOutbox ({ outbox, events, limits }: DraftConfig, redis: Redis, report: Report): void {
  if (outbox.store !== 'redis') return
  if (report.sound(['events', 'extensions']) && events.extensions.sequence) {
    report.add(['events', 'extensions', 'sequence'], {
      found: 'true',
      allowed: 'false, because outbox.store is redis',
      hint: 'several programs store the events of one source there, and none of them can number them all'
    })
  }
  if (report.sound(['limits', 'publishTimeout'], ['redis', 'timeout']) && limits.publishTimeout <= redis.timeout) {
    report.add(['redis', 'timeout'], { found: `${redis.timeout} ms`, allowed: 'less than limits.publishTimeout' })
  }
}
