import { test } from 'tap'
import { loadConfig } from '../../../lib/config/load.ts'
import { mistakesIn } from '../../support/config-files.ts'

const load = (settings: object) => loadConfig({ env: {}, settings })
const codes = (settings: object) =>
  [...mistakesIn({ settings }).values()].map(({ path, error }) => error === undefined ? path : `${path} ${error.code}`)

test('a listener has the port of its protocol unless another is given', async (t) => {
  const tls = { cert: 'a', key: 'b' }
  const { config } = load({ listeners: [{}, { protocol: 'mqtts', tls }, { protocol: 'mqtts', port: 0, tls }] })
  t.strictSame(config.listeners.map(({ port }) => port), [1883, 8883, 0])
})

test('loopback lets everyone in by itself; beyond it takes anonymous: true at that very listener', async (t) => {
  t.equal(load({ listeners: [{ host: 'localhost' }] }).config.listeners[0]?.anonymous, true)
  t.equal(load({ listeners: [{ host: '0.0.0.0', anonymous: true }] }).config.listeners[0]?.anonymous, true)
  for (const host of ['0.0.0.0', '::', '10.1.2.3', 'gateway.local']) {
    const mistakes = mistakesIn({ settings: { listeners: [{ anonymous: true }, { host, port: 1884 }] } })
    t.strictSame([...mistakes.keys()], ['listeners[1].anonymous'], host)
    const { error } = mistakes.get('listeners[1].anonymous')!
    t.equal(error?.code, 'MBS_ERR_CONFIG_ANONYMOUS')
    t.match(error?.message, `listeners[1] on ${host} is reachable`)
  }
})

test('a listener that lets nobody in is refused', async (t) => {
  t.strictSame(codes({ listeners: [{ anonymous: false }] }), ['listeners[0].anonymous'])
  t.strictSame(codes({ listeners: [{ host: '0.0.0.0', anonymous: false }] }), ['listeners[0].anonymous MBS_ERR_CONFIG_ANONYMOUS'])
})

test('with credentials that it takes, a listener needs no anonymous, and lets nobody in without them', async (t) => {
  const users = 'users.yaml'
  const tls = { cert: 'a', key: 'b' }
  for (const access of [{ users }, { users, certificates: {} }]) {
    const { config } = load({ access, listeners: [{ anonymous: false }, { host: '0.0.0.0', protocol: 'mqtts', tls }] })
    t.strictSame(config.listeners.map(({ anonymous }) => anonymous), [false, false])
  }
  t.equal(load({ access: { users } }).config.listeners[0]?.anonymous, true, 'on loopback it is still the default')
})

test('certificates let in where the listener asks for them, and count for nothing elsewhere', async (t) => {
  const access = { certificates: {} }
  const tls = { cert: 'a', key: 'b', ca: 'c' }
  const listener = { host: '0.0.0.0', protocol: 'mqtts' }
  for (const clientCertificate of ['optional', 'required']) {
    const { config } = load({ access, listeners: [{ ...listener, tls: { ...tls, clientCertificate } }] })
    t.equal(config.listeners[0]?.anonymous, false)
  }
  t.strictSame(codes({ access, listeners: [{ ...listener, tls: { cert: 'a', key: 'b' } }] }), ['listeners[0].anonymous MBS_ERR_CONFIG_ANONYMOUS'])
  t.strictSame(codes({ access, listeners: [{ anonymous: false }] }), ['listeners[0].anonymous'])
  t.match(load({ access }).warnings, [/access\.certificates has no effect/])
})

test('passwords over plain TCP beyond loopback are warned about, with the listener', async (t) => {
  const access = { users: 'users.yaml' }
  const tls = { cert: 'a', key: 'b' }
  const listeners = [{}, { host: '0.0.0.0', port: 1884 }, { host: '0.0.0.0', protocol: 'mqtts', tls }]
  const warnings = load({ access, listeners }).warnings.filter((warning) => warning.includes('unencrypted'))
  t.equal(warnings.length, 1)
  t.match(warnings, [/^listeners\[1\] on 0\.0\.0\.0 takes passwords unencrypted/])
})

test('the settings of access fit together', async (t) => {
  t.strictSame(codes({ access: { clientId: '{username}*' } }), ['access.clientId'])
  t.strictSame(codes({ access: { clientId: '{clientid}' } }), ['access.clientId'])
  t.strictSame(codes({ access: { clientId: '{username}/*' } }), [])
  t.strictSame(codes({ access: { certificates: { identity: 'san' } } }), ['access.certificates.san'])
  t.strictSame(codes({ access: { certificates: { identity: 'san', san: 'IP' } } }), ['access.certificates.san'])
  t.match(load({ access: { certificates: { san: 'URI' } } }).warnings[0], /access\.certificates\.san has no effect/)
  t.strictSame(codes({ access: { attempts: { backoff: 'PT2M' } } }), ['access.attempts.backoff'])
})

test('a client certificate does not stand for consent to let everyone in', async (t) => {
  const tls = { cert: 'a', key: 'b', ca: 'c', clientCertificate: 'required' }
  t.strictSame(codes({ listeners: [{ protocol: 'mqtts', host: '0.0.0.0', tls }] }), ['listeners[0].anonymous MBS_ERR_CONFIG_ANONYMOUS'])
})

test('mqtts needs TLS, mqtt has none, and checked client certificates need a CA', async (t) => {
  const tls = { cert: 'a', key: 'b' }
  t.strictSame(codes({ listeners: [{ protocol: 'mqtts' }] }), ['listeners[0].tls'])
  t.strictSame(codes({ listeners: [{ tls }] }), ['listeners[0].tls'])
  t.strictSame(codes({ listeners: [{ protocol: 'mqtts', tls: { cert: 'a' } }] }), ['listeners[0].tls.key'])
  for (const clientCertificate of ['optional', 'required']) {
    t.strictSame(codes({ listeners: [{ protocol: 'mqtts', tls: { ...tls, clientCertificate } }] }), ['listeners[0].tls.ca'])
  }
  const { warnings } = load({ listeners: [{ protocol: 'mqtts', tls: { ...tls, ca: 'c', crl: 'd' } }] })
  t.match(warnings, [/listeners\[0\]\.tls\.ca has no effect/, /listeners\[0\]\.tls\.crl has no effect/])
})

test('ws and wss have ports of their own, a path, and no browser unless its origin is written', async (t) => {
  const tls = { cert: 'a', key: 'b' }
  const origins = ['https://app.example.com', 'http://localhost:3000', 'null', '*']
  const { config } = load({
    listeners: [{ protocol: 'ws' }, { protocol: 'wss', tls }, { protocol: 'ws', port: 0, path: '/', origins }, {}]
  })
  t.match(config.listeners, [
    { port: 8083, path: '/mqtt', origins: [] }, { port: 8884, path: '/mqtt', origins: [] }, { path: '/', origins },
    { path: undefined, origins: undefined }
  ])
  t.strictSame(codes({ listeners: [{ protocol: 'wss' }] }), ['listeners[0].tls'])
  t.strictSame(codes({ listeners: [{ protocol: 'ws', tls }] }), ['listeners[0].tls'])
  t.strictSame(codes({ listeners: [{ path: '/mqtt', origins: [] }] }), ['listeners[0].path', 'listeners[0].origins'])
  for (const path of ['mqtt', '', '/a?b', '/a#b', '/a b']) {
    t.strictSame(codes({ listeners: [{ protocol: 'ws', path }] }), ['listeners[0].path'], path)
  }
  for (const origin of ['app.example.com', 'https://app.example.com/', 'https://App.example.com', 'https://', 'https://a.b/c']) {
    t.strictSame(codes({ listeners: [{ protocol: 'ws', origins: [origin] }] }), ['listeners[0].origins[0]'], origin)
  }
})

test('a Unix socket stands in the place of host and port, and counts as loopback', async (t) => {
  const socket = '/run/mqtt.sock'
  const { config } = load({ listeners: [{ socket }, { protocol: 'ws', socket: '/run/ws.sock', socketMode: '0660' }] })
  t.match(config.listeners, [
    { host: undefined, port: undefined, socket, anonymous: true }, { path: '/mqtt', socketMode: '0660', anonymous: true }
  ])
  t.strictSame(codes({ listeners: [{ socket, host: '127.0.0.1', port: 1883 }] }), ['listeners[0].host', 'listeners[0].port'])
  t.strictSame(codes({ listeners: [{ socket, proxyProtocol: { trusted: ['::1'] } }] }), ['listeners[0].proxyProtocol'])
  t.strictSame(codes({ listeners: [{ protocol: 'mqtts', socket, tls: { cert: 'a', key: 'b' } }] }), ['listeners[0].socket'])
  t.strictSame(codes({ listeners: [{ socketMode: '0660' }] }), ['listeners[0].socketMode'])
  t.strictSame(codes({ listeners: [{ socket, socketMode: '999' }] }), ['listeners[0].socketMode'])
  t.strictSame(codes({ listeners: [{ socket }, { socket: '/run/other.sock' }, { socket }] }), ['listeners[2].socket'])
  t.strictSame(codes({ listeners: [{ socket: 'a'.repeat(108) }] }), ['listeners[0].socket'])
})

test('those who are trusted with the PROXY protocol are addresses and networks', async (t) => {
  const trusted = (...networks: string[]) =>
    codes({ listeners: [{ anonymous: true, proxyProtocol: { trusted: networks } }] })
  t.strictSame(trusted('10.0.0.0/8', '192.0.2.1', '::1', '2001:db8::/32', '0.0.0.0/0', '::/128'), [])
  for (const network of ['10.0.0.0/33', '::/129', '10.0.0', '10.0.0.0/', '10.0.0.0/8/8', 'balancer', '300.0.0.1', '::1%lo']) {
    t.strictSame(trusted('::1', network), ['listeners[0].proxyProtocol.trusted[1]'], network)
  }
  t.strictSame(trusted(), ['listeners[0].proxyProtocol.trusted'])
  t.strictSame(codes({ listeners: [{ anonymous: true, proxyProtocol: {} }] }), ['listeners[0].proxyProtocol.trusted'])
})

test('loopback behind a load balancer is reachable from everywhere: it lets nobody in by itself', async (t) => {
  const proxyProtocol = { trusted: ['127.0.0.1'] }
  t.strictSame(codes({ listeners: [{ proxyProtocol }] }), ['listeners[0].anonymous MBS_ERR_CONFIG_ANONYMOUS'])
  t.strictSame(codes({ listeners: [{ proxyProtocol, anonymous: true }] }), [])
})

test('several mistakes of one listener are told together', async (t) => {
  t.strictSame(codes({ listeners: [{ protocol: 'mqtts', host: '0.0.0.0', prot: 1 }] }).sort(),
    ['listeners[0].anonymous MBS_ERR_CONFIG_ANONYMOUS', 'listeners[0].prot', 'listeners[0].tls'])
})

test('no two servers listen on one host and port', async (t) => {
  t.strictSame(codes({ listeners: [{}, { port: 1883 }] }), ['listeners[1].port'])
  t.strictSame(codes({ listeners: [{ port: 8080 }] }), ['http.port'])
  t.strictSame(codes({ listeners: [{ host: '0.0.0.0', anonymous: true, port: 8080 }] }), ['http.port'])
  t.strictSame(codes({ listeners: [{ port: 0 }, { port: 0 }], http: { port: 0 } }), [])
})

test('each family of addresses has its ports, but for the HTTP server', async (t) => {
  const open = (host: string, port = 1883) => ({ host, port, anonymous: true })
  t.strictSame(codes({ listeners: [open('0.0.0.0'), open('::')] }), [])
  t.strictSame(codes({ listeners: [open('::'), open('127.0.0.1')] }), [])
  t.strictSame(codes({ listeners: [open('127.0.0.1'), open('::1')] }), [])
  t.strictSame(codes({ listeners: [open('::'), open('::1')] }), ['listeners[1].port'])
  t.strictSame(codes({ listeners: [open('::', 8080)] }), ['http.port'])
})

test('the bounds fit together', async (t) => {
  t.strictSame(codes({ limits: { packetBytes: '1MiB' }, outbox: { maxBytes: '1MiB' } }), ['limits.packetBytes'])
  t.strictSame(codes({ limits: { packetBytes: '2MiB', inflightBytes: '1MiB' } }), ['limits.inflightBytes'])
  t.strictSame(codes({ limits: { packetBytes: '2MiB', inflightBytes: '2MiB' } }), [])
  t.strictSame(codes({ limits: { publishTimeout: 'PT30S' } }), ['limits.publishTimeout'], 'not longer than holdTimeout')
  t.strictSame(codes({ limits: { publishTimeout: 'PT30.001S' } }), [])
  t.strictSame(codes({ delivery: { backoffDelay: 'PT31S' } }), ['delivery.backoffDelay'])
  t.strictSame(codes({ delivery: { backoffDelay: 'PT30S' } }), [])
  t.strictSame(codes({ outbox: { holdTimeout: 'x' }, limits: { publishTimeout: 'PT1S' } }), ['outbox.holdTimeout'],
    'what has a mistake already is not compared')
})

test('the sink is http as soon as a URL is known, and display when nothing is', async (t) => {
  t.equal(load({}).config.sink.kind, 'display')
  t.equal(load({ sink: { url: 'http://host/' } }).config.sink.kind, 'http')
  t.match(load({ sink: { kind: 'http' } }).config.sink, { kind: 'http', url: undefined }, 'it spools')
  const { config, warnings } = load({ sink: { kind: 'display', url: 'http://host/' } })
  t.equal(config.sink.kind, 'display')
  t.match(warnings, [/sink\.url has no effect/])
})

test('a sink URL is absolute, http or https, and without credentials and fragment', async (t) => {
  for (const url of ['/path', 'host', 'ftp://host/', 'http://', 'http://user:secret@host/', 'http://user@host/', 'http://host/#a']) {
    t.strictSame(codes({ sink: { url } }), ['sink.url MBS_ERR_SINK_URL'], url)
    t.strictSame(codes({ delivery: { deadLetterSink: { url } } }), ['delivery.deadLetterSink.url MBS_ERR_SINK_URL'], url)
  }
  t.notMatch([...mistakesIn({ settings: { sink: { url: 'http://user:secret@host/' } } }).values()], /secret/)
  for (const url of ['http://host', 'https://host:8443/a/b?c=d', 'http://[::1]:80/']) t.strictSame(codes({ sink: { url } }), [], url)
})

test('a CA file is warned about where no TLS is spoken', async (t) => {
  t.match(load({ sink: { url: 'http://host/', ca: 'a' } }).warnings, [/^sink\.ca has no effect/])
  const deadLetterSink = { url: 'http://host/', ca: 'a' }
  t.match(load({ delivery: { deadLetterSink } }).warnings, [/^delivery\.deadLetterSink\.ca has no effect/])
  t.strictSame(load({ sink: { url: 'https://host/', ca: 'a' } }).warnings, [])
})

test('CA text has to be PEM certificates', async (t) => {
  t.strictSame(codes({ sink: { caText: 'nonsense' } }), ['sink.caText MBS_ERR_SINK_CA'])
  const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----'
  const { error } = mistakesIn({ settings: { sink: { caText: broken } } }).get('sink.caText')!
  t.match(error?.message, /certificate 1 of 1 cannot be read/)
})

test('extensions have legal names that are not attributes, and texts as values', async (t) => {
  const extensions = (value: object) => codes({ events: { overrides: { extensions: value } } })
  t.strictSame(extensions({ site: 'a', a1: 'b', [`x${'y'.repeat(19)}`]: 'c' }), [])
  for (const name of ['Site', 'a-b', '', 'y'.repeat(21), 'id', 'source', 'specversion', 'type', 'time', 'subject', 'data', 'dataschema', 'datacontenttype']) {
    t.strictSame(extensions({ [name]: 'a' }), [`events.overrides.extensions.${name}`], name)
  }
  for (const value of [1, '', 'a\u0000b', 'a\u0085b', null, {}]) {
    t.strictSame(extensions({ site: value }), ['events.overrides.extensions.site'], JSON.stringify(value))
  }
})

test('an id of who sent an event needs its kind', async (t) => {
  const extensions = (value: object) => codes({ events: { extensions: value } })
  t.strictSame(extensions({ authid: true }), ['events.extensions.authid'])
  t.strictSame(extensions({ authid: true, authtype: true }), [])
  t.strictSame(extensions({ authtype: true }), [])
  t.strictSame(extensions({ authid: true, authtype: 'yes' }), ['events.extensions.authtype'], 'not judged by a mistake')
})

test('a time to live is a duration within bounds', async (t) => {
  const expiry = (value: unknown) => codes({ events: { rules: [{ topic: 'a', expiry: value }] } })
  t.strictSame(load({ events: { rules: [{ topic: 'a', expiry: 'PT1H' }] } }).config.events.rules[0]?.expiry, 3_600_000)
  t.strictSame(expiry('P3660D'), [])
  for (const value of ['PT0S', 'P3661D', '1h', 60]) t.strictSame(expiry(value), ['events.rules[0].expiry'], String(value))
})

test('a permission names someone, and its patterns are filters with placeholders that there are', async (t) => {
  const permissions = (...given: object[]) => codes({ access: { permissions: given } })
  t.strictSame(permissions(), [], 'an empty list allows nothing, and is one')
  t.strictSame(load({ access: { permissions: [{ who: '*' }] } }).config.access.permissions,
    [{ who: '*', claims: {}, publish: [], subscribe: [], deny: { publish: [], subscribe: [] } }])
  for (const pattern of ['#', '+', 'a', 'a/#', '/a//+/b/', '{clientid}', 'x-{username}-y/#', '{cert.cn}/{claim.site}', '{claim.https://a.b/c}/+', '$aws/things/{clientid}/shadow/#', '$iothub/twin/#']) {
    const lists = { publish: [pattern], subscribe: [pattern] }
    t.strictSame(permissions({ who: '*', ...lists, deny: lists }), [], pattern)
  }
  for (const pattern of ['', 'a#', '#/a', 'a+', '+a/b', 'a/#/b', '$SYS/#', '$share/a/b', '$aws', '$AWS/x', '{client}', '{clientid', 'clientid}', '{}', '{claim.}', '{{clientid}}', 'a\0b', 5]) {
    t.strictSame(permissions({ who: '*', publish: [pattern] }), ['access.permissions[0].publish[0]'], String(pattern))
    t.strictSame(permissions({ who: '*', deny: { subscribe: [pattern] } }), ['access.permissions[0].deny.subscribe[0]'], String(pattern))
  }
  t.strictSame(permissions({ publish: ['a'] }), ['access.permissions[0].who'])
  for (const who of ['', [], [5], {}, 5]) t.equal(permissions({ who }).length, 1, JSON.stringify(who))
  t.strictSame(permissions({ who: ['ada', '*'], claims: { role: 'operator' } }), [])
  t.strictSame(permissions({ who: '*', claims: { role: 5 } }), ['access.permissions[0].claims.role'])
  t.strictSame(permissions({ who: '*', denied: {} }), ['access.permissions[0].denied'])
  t.strictSame(codes({ access: { permissions: null } }), ['access.permissions'], 'nothing written below it is no list')
})

test('permissions can be set by the environment, as a whole and one by one', async (t) => {
  const { config } = loadConfig({
    env: {
      MBS_ACCESS_PERMISSIONS: '[{ who: "*", publish: [a] }, { who: ada }]',
      MBS_ACCESS_PERMISSIONS_1_WHO: '[ada, bob]',
      MBS_ACCESS_PERMISSIONS_1_DENY_PUBLISH: '[a/b]'
    }
  })
  t.match(config.access.permissions, [{ who: '*', publish: ['a'] }, { who: ['ada', 'bob'], deny: { publish: ['a/b'] } }])
})

test('a listener beyond loopback without permissions is warned about', async (t) => {
  const listeners = [{}, { host: '0.0.0.0', port: 1884, anonymous: true }]
  t.match(load({ listeners }).warnings, [/listeners\[1\] on 0\.0\.0\.0 may publish and subscribe to everything: access\.permissions/])
  t.match(load({ listeners, access: { permissions: [] } }).warnings, [/empty list: nobody may/])
  t.strictSame(load({ listeners, access: { permissionsFile: 'a' } }).warnings, [])
  t.strictSame(codes({ access: { permissions: [], permissionsFile: 'a' } }), ['access.permissionsFile'])
  t.strictSame(load({}).warnings, [])
})

test('permissions that no session can have are warned about', async (t) => {
  const warnings = (rule: object, access: object = {}, listener: object = {}) =>
    load({ listeners: [{ ...listener }], access: { permissions: [{ who: '*', publish: ['a'] }, { who: '*', ...rule }], ...access } }).warnings
  for (const rule of [{ claims: { role: 'x' }, publish: ['a'] }, { deny: { subscribe: ['a/{claim.site}'] } }]) {
    t.match(warnings(rule), [/permissions\[1\] asks for claims, which no session has: neither access\.jwt nor/])
    t.strictSame(warnings(rule, { http: { url: 'https://a.example/' } }), [])
  }
  t.match(warnings({ publish: ['a/{cert.cn}'] }), [/permissions\[1\] asks for the name in a certificate/])
  const tls = { cert: 'c', key: 'k', ca: 'a', clientCertificate: 'optional' }
  t.strictSame(warnings({ publish: ['a/{cert.cn}'] }, {}, { protocol: 'mqtts', tls }), [])
})

test('life-cycle events are there when they are asked for, in a file or by the environment', async (t) => {
  const all = ['connected', 'disconnected', 'subscribed', 'unsubscribed']
  t.equal(load({}).config.events.lifecycle, undefined)
  t.strictSame(load({ events: { lifecycle: {} } }).config.events.lifecycle, { events: all })
  const source = '/d/{clientid}'
  t.strictSame(load({ events: { lifecycle: { events: ['connected'], source } } }).config.events.lifecycle, { events: ['connected'], source })
  const env = { MBS_EVENTS_LIFECYCLE_SOURCE: source }
  t.strictSame(loadConfig({ env }).config.events.lifecycle, { events: all, source })
})

test('mistakes in events.lifecycle are told with their place', async (t) => {
  const mistakes = (lifecycle: object) => mistakesIn({ settings: { events: { lifecycle } } })
  for (const events of [[], ['connected', 'connected'], 'connected']) {
    t.match(mistakes({ events }).get('events.lifecycle.events'), { allowed: /^a list of connected, disconnected/ }, JSON.stringify(events))
  }
  t.match(mistakes({ events: ['conected'] }).get('events.lifecycle.events[0]'), { hint: 'did you mean connected?' })
  t.match(mistakes({ evnts: [] }).get('events.lifecycle.evnts'), { hint: 'did you mean events.lifecycle.events?' })
  for (const [source, hint] of [
    ['/a/{topic}', /^\{topic\} is no placeholder here/], ['/a b', /no URI/], ['/a/{clientid', /brace/], ['{payload.a}', /is no placeholder here/]
  ] as const) t.match(mistakes({ source }).get('events.lifecycle.source'), { hint }, source)
  // Rules are told of as well.
  t.strictSame(codes({ events: { rules: [{ topic: 'a/{b' }], lifecycle: { source: '{qos}' } } }), ['events.lifecycle.source', 'events.rules[0].topic'])
})

test('a listener whose clients cannot show what access asks for is told what is missing', async (t) => {
  const mistakes = mistakesIn({
    settings: { listeners: [{ protocol: 'mqtts', host: '0.0.0.0', tls: { cert: 'c', key: 'k' } }], access: { certificates: {} } }
  })
  t.match(mistakes.get('listeners[0].anonymous'), { hint: /tls\.ca and tls\.clientCertificate/ })
})

test('a memory outbox is warned about: it forgets', async (t) => {
  t.match(load({ outbox: { store: 'memory' } }).warnings, [/outbox\.store is memory/])
})

test('whatever is given in the place of a section, the answer is a mistake and no crash', async (t) => {
  for (const key of ['name', 'dataDir', 'listeners', 'access', 'limits', 'outbox', 'sink', 'delivery', 'events', 'http', 'log']) {
    for (const value of [5, true, [], [5], [null], ['a'], [[]]]) {
      const paths = [...mistakesIn({ settings: { [key]: value } }).keys()]
      t.ok(paths.length > 0 && paths.every((path) => path.startsWith(key)), `${key}: ${JSON.stringify(value)} -> ${paths.join()}`)
    }
  }
})
