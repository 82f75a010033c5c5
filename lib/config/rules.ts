/**
 * What no single setting can tell: rules over several settings, and values that depend on others. They see values that
 * the schema has completed and converted; a rule looks only at what had no mistake so far (`report.sound`).
 */
import { parseClientIdPattern } from '../access/client-id-pattern.ts'
import { createError } from '../errors.ts'
import { isLocalListener, isNetwork, sameEndpoint, separateFamilies } from './addresses.ts'
import { describeFound, formatPath, type Path, type Report } from './problem.ts'
import { checkEventRules, checkExtensions } from './rules-events.ts'
import { checkRedis } from './rules-redis.ts'
import { checkSinks, completeSinks } from './rules-sinks.ts'
import { checkTokens, warnOfPermissions } from './rules-tokens.ts'
import { checkTracing, completeTracing } from './rules-tracing.ts'
import type { DraftConfig } from './schema.ts'
import { formatDuration, formatSize } from './units.ts'

/** Sets what depends on other settings, then holds the rules against all. */
export function applyRules (config: DraftConfig, report: Report): void {
  for (const [path, listener] of listenersOf(config)) {
    checkTransport(path, listener, report)
    completeListener(path, listener, report)
    checkAnonymous(path, listener, config, report)
    checkTls(path, listener, report)
  }
  checkAccess(config, report)
  completeSinks(config, report)
  completeTracing(config, report)

  checkEndpoints(config, report)
  checkLimits(config, report)
  checkPermissions(config, report)
  checkSinks(config, report)
  checkTokens(config, report)
  checkEventRules(config, report)
  checkExtensions(config, report)
  checkTracing(config, report)
  checkRedis(config, report)
  if (report.sound(['outbox', 'store']) && config.outbox.store === 'memory') {
    report.warn('outbox.store is memory: what was acknowledged and not yet delivered is lost when the program ends')
  }
}

type Listener = DraftConfig['listeners'][number]

const PORTS = { mqtt: 1883, mqtts: 8883, ws: 8083, wss: 8884 } as const

/** The listeners that are sections; what is in them may still have mistakes. */
function listenersOf (config: DraftConfig): [Path, Listener][] {
  if (!Array.isArray(config.listeners)) return []
  return [...config.listeners.entries()]
    .filter(([, listener]) => typeof listener === 'object' && listener !== null && !Array.isArray(listener))
    .map(([at, listener]) => [['listeners', at], listener])
}

function completeListener (path: Path, listener: Listener, report: Report): void {
  const { protocol, socket } = listener
  if (socket === undefined && report.sound([...path, 'socket'])) {
    listener.host ??= '127.0.0.1'
    if (report.sound([...path, 'protocol'])) listener.port ??= PORTS[protocol]
  }
  if (report.sound([...path, 'protocol']) && isWebSocket(protocol)) {
    listener.path ??= '/mqtt'
    listener.origins ??= []
  }
  if (report.sound(...reachOf(path)) && isLocalListener(listener)) listener.anonymous ??= true
}

/** The settings that decide who can reach a listener. */
function reachOf (path: Path): Path[] {
  return ['host', 'socket', 'proxyProtocol'].map((key) => [...path, key])
}

function isWebSocket (protocol: Listener['protocol']): boolean {
  return protocol === 'ws' || protocol === 'wss'
}

function isSecure (protocol: Listener['protocol']): boolean {
  return protocol === 'mqtts' || protocol === 'wss'
}

/** What belongs to one kind of listener is a mistake at another one: it could only be ignored. */
function checkTransport (path: Path, listener: Listener, report: Report): void {
  const { protocol, socket, proxyProtocol } = listener
  const unwanted = (key: keyof Listener, because: string) => {
    if (listener[key] === undefined || !report.sound([...path, key])) return
    report.add([...path, key], { found: describeFound(listener[key]), allowed: `nothing, because ${because}` })
  }
  if (report.sound([...path, 'protocol'])) {
    if (!isWebSocket(protocol)) for (const key of ['path', 'origins'] as const) unwanted(key, `the protocol is ${protocol}`)
    if (isSecure(protocol)) unwanted('socket', `the protocol is ${protocol}: a Unix socket needs no TLS`)
  }
  if (socket === undefined) unwanted('socketMode', 'there is no socket')
  else for (const key of ['host', 'port', 'proxyProtocol'] as const) unwanted(key, 'socket is given')

  if (proxyProtocol === undefined || !report.sound([...path, 'proxyProtocol'])) return
  for (const [at, network] of proxyProtocol.trusted.entries()) {
    if (isNetwork(network)) continue
    report.add([...path, 'proxyProtocol', 'trusted', at], {
      found: describeFound(network), allowed: 'an IP address, or a network such as 10.0.0.0/8'
    })
  }
}

/** Where a client may show a certificate. */
const ASKS: readonly string[] = ['optional', 'required']

/** What can be shown at a listener to get in, as `access` says. */
function credentialsAt ({ tls }: Listener, { access }: DraftConfig): { secrets: boolean, certificates: boolean } {
  return {
    secrets: access.users !== undefined || access.jwt !== undefined || access.http !== undefined,
    certificates: access.certificates !== undefined && tls !== undefined && ASKS.includes(tls.clientCertificate)
  }
}

/**
 * Closed by default: beyond loopback, letting everyone in takes a word at that very listener. One that lets nobody in
 * is a mistake anywhere.
 */
function checkAnonymous (path: Path, listener: Listener, config: DraftConfig, report: Report): void {
  if (!report.sound(...reachOf(path), [...path, 'anonymous'], ['access'])) return
  const { protocol, anonymous } = listener
  const local = isLocalListener(listener)
  const where = listener.socket ?? listener.host
  const { secrets, certificates } = credentialsAt(listener, config)
  listener.anonymous ??= false
  if (secrets && !isSecure(protocol) && !local) {
    const better = isWebSocket(protocol) ? 'wss' : 'mqtts'
    report.warn(`${formatPath(path)} on ${where} takes passwords unencrypted, for everyone on the way to read: use ${better}`)
  }
  if (listener.anonymous || secrets || certificates) return
  const found = describeFound(anonymous)
  const hint = config.access.certificates === undefined
    ? undefined
    : 'access.certificates is set, but this listener asks for none: give it tls.ca and tls.clientCertificate'
  if (local) {
    return report.add([...path, 'anonymous'], { found, allowed: 'true', hint: hint ?? 'there are no credentials in `access` that it takes: nobody could connect' })
  }
  const error = createError('MBS_ERR_CONFIG_ANONYMOUS', { listener: `${formatPath(path)} on ${where}` })
  const allowed = 'true, or credentials in `access`, or a host on loopback'
  report.add([...path, 'anonymous'], { found, allowed, error, ...(hint !== undefined && { hint }) })
}

function checkAccess ({ access, listeners }: DraftConfig, report: Report): void {
  if (report.sound(['access', 'clientId']) && access.clientId !== undefined) {
    const pattern = parseClientIdPattern(access.clientId)
    if (typeof pattern === 'string') {
      report.add(['access', 'clientId'], { found: describeFound(access.clientId), allowed: 'a text with {username}, and * at its end only', hint: pattern })
    }
  }
  if (!report.sound(['access', 'certificates'], ['listeners']) || access.certificates === undefined) return
  const { identity, san } = access.certificates
  if (identity === 'san' && san === undefined) {
    report.add(['access', 'certificates', 'san'], { found: 'nothing', allowed: 'URI, DNS, email, because identity is san' })
  } else if (identity !== 'san' && san !== undefined) {
    report.warn(`access.certificates.san has no effect while identity is ${identity}`)
  }
  if (listeners.every(({ tls }) => tls === undefined || tls.clientCertificate === 'none')) {
    report.warn('access.certificates has no effect: no listener has tls.clientCertificate')
  }
}

function checkTls (path: Path, { protocol, tls }: Listener, report: Report): void {
  if (!report.sound([...path, 'protocol'], [...path, 'tls'])) return
  if (isSecure(protocol) && tls === undefined) {
    report.add([...path, 'tls'], { found: 'nothing', allowed: `a section with cert and key, because the protocol is ${protocol}` })
  } else if (!isSecure(protocol) && tls !== undefined) {
    const hint = `did you mean protocol: ${protocol === 'ws' ? 'wss' : 'mqtts'}?`
    report.add([...path, 'tls'], { found: 'a section', allowed: `nothing, because the protocol is ${protocol}`, hint })
  } else if (tls !== undefined && tls.clientCertificate !== 'none' && tls.ca === undefined) {
    report.add([...path, 'tls', 'ca'], { found: 'nothing', allowed: `a path, because clientCertificate is ${tls.clientCertificate}` })
  } else if (tls?.clientCertificate === 'none') {
    for (const key of ['ca', 'crl'] as const) {
      if (tls[key] !== undefined) report.warn(`${formatPath([...path, 'tls', key])} has no effect while clientCertificate is none`)
    }
  }
}

/** No two servers on one host and port, the HTTP server included. */
function checkEndpoints (config: DraftConfig, report: Report): void {
  const servers = [...listenersOf(config), [['http'], config.http] as const]
    .filter(([path]) => report.sound([...path, 'host'], [...path, 'port'], [...path, 'socket'], [...path, 'protocol']))
    .flatMap(([path, { host, port }]) => host === undefined || port === undefined ? [] : [{ path, host, port }])
  for (const [at, server] of servers.entries()) {
    // Listeners leave each other's family alone; the HTTP server knows nothing of them.
    const other = servers.slice(0, at).find((earlier) => sameEndpoint(earlier, server) &&
      (server.path[0] === 'http' || !separateFamilies(earlier, server)))
    if (other === undefined) continue
    report.add([...server.path, 'port'], {
      found: `${server.host}:${server.port}`, allowed: `a host and port that ${formatPath(other.path)} does not take`
    })
  }
  const sockets = listenersOf(config).filter(([path]) => report.sound([...path, 'socket']))
  for (const [at, [path, { socket }]] of sockets.entries()) {
    const other = sockets.slice(0, at).find(([, earlier]) => socket !== undefined && earlier.socket === socket)
    if (other === undefined) continue
    report.add([...path, 'socket'], {
      found: describeFound(socket), allowed: `a path that ${formatPath(other[0])} does not take`
    })
  }
}

function checkLimits ({ limits, outbox, delivery, access }: DraftConfig, report: Report): void {
  if (report.sound(['limits', 'packetBytes'], ['outbox', 'maxBytes']) && limits.packetBytes >= outbox.maxBytes) {
    report.add(['limits', 'packetBytes'], {
      found: formatSize(limits.packetBytes), allowed: `less than outbox.maxBytes (${formatSize(outbox.maxBytes)})`
    })
  }
  if (report.sound(['limits', 'packetBytes'], ['limits', 'inflightBytes']) && limits.packetBytes > limits.inflightBytes) {
    report.add(['limits', 'inflightBytes'], {
      found: formatSize(limits.inflightBytes), allowed: `at least limits.packetBytes (${formatSize(limits.packetBytes)})`
    })
  }
  if (report.sound(['limits', 'publishTimeout'], ['outbox', 'holdTimeout']) && limits.publishTimeout <= outbox.holdTimeout) {
    report.add(['limits', 'publishTimeout'], {
      found: formatDuration(limits.publishTimeout), allowed: `longer than outbox.holdTimeout (${formatDuration(outbox.holdTimeout)})`
    })
  }
  if (report.sound(['access', 'attempts']) && access.attempts.backoff > access.attempts.backoffMax) {
    report.add(['access', 'attempts', 'backoff'], {
      found: formatDuration(access.attempts.backoff), allowed: `at most access.attempts.backoffMax (${formatDuration(access.attempts.backoffMax)})`
    })
  }
  if (report.sound(['delivery', 'backoffDelay'], ['delivery', 'backoffMax']) && delivery.backoffDelay > delivery.backoffMax) {
    report.add(['delivery', 'backoffDelay'], {
      found: formatDuration(delivery.backoffDelay), allowed: `at most delivery.backoffMax (${formatDuration(delivery.backoffMax)})`
    })
  }
}

/** Nobody means this for long: whoever is let in may then do everything. */
function checkPermissions (config: DraftConfig, report: Report): void {
  const { permissions, permissionsFile } = config.access
  if (!report.sound(['access'], ['listeners'])) return
  if (permissions !== undefined && permissionsFile !== undefined) {
    report.add(['access', 'permissionsFile'], { found: describeFound(permissionsFile), allowed: 'nothing beside access.permissions' })
  }
  if (permissions !== undefined) warnOfPermissions(config, permissions, report)
  if (permissions !== undefined || permissionsFile !== undefined) return
  const open = listenersOf(config).filter(([, listener]) => !isLocalListener(listener))
    .map(([path, { socket, host }]) => `${formatPath(path)} on ${socket ?? host}`)
  if (open.length === 0) return
  report.warn(`every client of ${open.join(', ')} may publish and subscribe to everything: access.permissions is not set`)
}
