/** The rules about sinks: where they are, what they are told about who sends; see rules.ts. */
import { createError, reasonOf } from '../errors.ts'
import { compileFilter } from '../mapping/filter.ts'
import { parseCertificates } from '../pem/certificates.ts'
import { isSecretHeader } from '../sink/secret-text.ts'
import { describeFound, formatPath, redactUrl, type Path, type Report } from './problem.ts'
import type { DraftConfig } from './schema.ts'
import { SINK_URL } from './schema-sink.ts'
import { formatDuration } from './units.ts'
import { httpUrlMistake, isPlainText } from './urls.ts'

type Sink = DraftConfig['sink'] | DraftConfig['sinks'][number]

/** What every target over HTTP can have. */
type Target = Pick<Sink, 'url' | 'ca' | 'headers' | 'auth' | 'tls'>

/** What only says how something is sent over HTTP. */
const HTTP_ONLY = ['url', 'auth', 'tls'] as const

/** Headers that HTTP itself needs, or that say what the body is: the program sets them, or they may not be sent. */
export const OWNED_HEADERS = new Set([
  'host', 'connection', 'proxy-connection', 'keep-alive', 'upgrade', 'te', 'trailer', 'transfer-encoding', 'expect',
  'content-type', 'content-length', 'content-encoding'
])

/** What kind each sink is, where it does not say so. */
export function completeSinks ({ sink, sinks }: DraftConfig, report: Report): void {
  const some = report.sound(['sinks']) && Array.isArray(sinks) ? sinks.length > 0 : false
  if (report.sound(['sink', 'kind'], ['sink', 'url'])) {
    sink.kind ??= sink.url !== undefined ? 'http' : some ? 'none' : 'display'
  }
  if (!some) return
  for (const [at, one] of sinks.entries()) {
    if (report.sound(['sinks', at, 'kind'])) one.kind ??= 'http'
  }
}

export function checkSinks ({ sink, sinks, delivery }: DraftConfig, report: Report): void {
  checkSink(['sink'], sink, report)
  if (Array.isArray(sinks)) checkNamedSinks(sinks, delivery, report)
  if (report.sound(['sink'], ['sinks']) && sink.kind === 'none' && sinks.length === 0) {
    report.add(['sink', 'kind'], { found: 'none', allowed: 'http or display, because there are no sinks: nobody would get an event' })
  }
  const path: Path = ['delivery', 'deadLetterSink']
  if (delivery?.deadLetterSink !== undefined && report.sound([...path, 'url'])) checkTarget(path, delivery.deadLetterSink, report)
}

function checkNamedSinks (sinks: DraftConfig['sinks'], delivery: DraftConfig['delivery'], report: Report): void {
  const seen = new Map<string, number>()
  for (const [at, sink] of sinks.entries()) {
    const path: Path = ['sinks', at]
    if (!report.sound(path)) continue
    const other = seen.get(sink.name)
    if (other !== undefined) {
      report.add([...path, 'name'], { found: describeFound(sink.name), allowed: `a name that sinks[${other}] does not have` })
    }
    seen.set(sink.name, seen.get(sink.name) ?? at)
    checkSink(path, sink, report)
    if (sink.kind === 'http' && sink.url === undefined) {
      report.add([...path, 'url'], { found: 'nothing', allowed: SINK_URL })
    }
    const own = sink.delivery
    if (own?.deadLetterSink !== undefined) checkTarget([...path, 'delivery', 'deadLetterSink'], own.deadLetterSink, report)
    const { backoffDelay, backoffMax } = { ...delivery, ...own }
    if (report.sound(['delivery']) && own !== undefined && backoffDelay > backoffMax) {
      const key = own.backoffDelay === undefined ? 'backoffMax' : 'backoffDelay'
      report.add([...path, 'delivery', key], {
        found: formatDuration(key === 'backoffMax' ? backoffMax : backoffDelay),
        allowed: `a backoffDelay (${formatDuration(backoffDelay)}) of at most backoffMax (${formatDuration(backoffMax)})`
      })
    }
  }
}

function checkFilter (path: Path, filter: unknown, report: Report): void {
  if (filter === undefined || !report.sound(path)) return
  const compiled = compileFilter(filter, '')
  if (typeof compiled === 'function') return
  report.add(path, {
    found: JSON.stringify(filter),
    allowed: 'filters: exact, prefix, suffix, all, any, not, greaterThan, lessThan',
    hint: `${compiled.path === '' ? '' : `${compiled.path}: `}${compiled.reason}`
  })
}

/** Holds the settings of one sink against each other. @param path where they stand */
export function checkSink (path: Path, sink: Sink, report: Report): void {
  if (report.sound([...path, 'url'], [...path, 'ca'])) checkTarget(path, sink, report)
  checkFilter([...path, 'filter'], sink.filter, report)
  if (report.sound([...path, 'caText']) && sink.caText !== undefined) {
    try {
      parseCertificates(sink.caText)
    } catch (error) {
      report.add([...path, 'caText'], {
        found: describeFound(sink.caText),
        allowed: 'PEM certificates',
        error: createError('MBS_ERR_SINK_CA', { reason: reasonOf(error) }, error)
      })
    }
  }
  if (!report.sound(path) || sink.kind !== 'display') return
  const without = HTTP_ONLY.filter((key) => sink[key] !== undefined).map(String)
  if (Object.keys(sink.headers).length > 0) without.push('headers')
  for (const key of without) {
    report.warn(`${formatPath([...path, key])} has no effect while ${formatPath([...path, 'kind'])} is display`)
  }
}

function checkTarget (path: Path, target: Target, report: Report): void {
  checkUrl([...path, 'url'], target.url, report)
  if (report.sound([...path, 'headers'])) checkHeaders(path, target, report)
  if (report.sound([...path, 'auth'])) checkAuth([...path, 'auth'], target.auth, report)
  const { url } = target
  if (url === undefined || !report.sound([...path, 'url'])) return
  if (new URL(url).protocol === 'http:') {
    for (const key of ['ca', 'tls'] as const) {
      if (target[key] !== undefined) report.warn(`${formatPath([...path, key])} has no effect while the URL is http://`)
    }
  }
  if (isPlainText(url) && report.sound([...path, 'headers'], [...path, 'auth'])) warnOfSecrets(path, target, report)
}

function checkUrl (path: Path, url: string | undefined, report: Report): void {
  const reason = url === undefined ? undefined : httpUrlMistake(url)
  if (url === undefined || reason === undefined) return
  report.add(path, {
    found: describeFound(url), allowed: SINK_URL, error: createError('MBS_ERR_SINK_URL', { url: redactUrl(url), reason })
  })
}

function checkHeaders (path: Path, { headers, auth }: Target, report: Report): void {
  const seen = new Map<string, string>()
  for (const name of Object.keys(headers)) {
    const lower = name.toLowerCase()
    const other = seen.get(lower)
    const reason = other !== undefined
      ? `it stands there as ${other} already`
      : OWNED_HEADERS.has(lower)
        ? 'HTTP itself needs it'
        : lower.startsWith('ce-')
          ? 'it would be an attribute of the event: see events.rules and events.overrides'
          : lower === 'authorization' && auth !== undefined ? 'auth sets it' : undefined
    seen.set(lower, name)
    if (reason === undefined) continue
    report.add([...path, 'headers', name], {
      found: `the header ${name}`, allowed: 'headers that neither HTTP nor CloudEvents use themselves, each once', hint: reason
    })
  }
}

function checkAuth (path: Path, auth: Target['auth'], report: Report): void {
  if (auth === undefined) return
  const kinds = Object.keys(auth)
  if (kinds.length !== 1) {
    return report.add(path, {
      found: kinds.length === 0 ? 'none of them' : kinds.join(' and '), allowed: 'exactly one of bearer, basic and oauth2'
    })
  }
  const tokenUrl = auth.oauth2?.tokenUrl
  if (tokenUrl === undefined) return
  const at = [...path, 'oauth2', 'tokenUrl']
  checkUrl(at, tokenUrl, report)
  if (report.sound(at) && isPlainText(tokenUrl)) {
    report.warn(`${formatPath(at)} is http:// and not on loopback: the client secret travels to it in the clear`)
  }
}

function warnOfSecrets (path: Path, { headers, auth }: Target, report: Report): void {
  const secrets = Object.entries(headers)
    .filter(([name, value]) => typeof value === 'object' || isSecretHeader(name))
    .map(([name]) => [...path, 'headers', name])
  if (auth !== undefined) secrets.unshift([...path, 'auth'])
  if (secrets.length === 0) return
  report.warn(`${secrets.map(formatPath).join(', ')}: ${formatPath([...path, 'url'])} is http:// and not on loopback, ` +
    'so that secrets travel to it in the clear')
}
