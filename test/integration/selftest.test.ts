/** The self-test against brokers that work, and against servers that lie. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type Test } from 'tap'
import { createSource, selfTest, type MbsError, type SelfTestOptions, type SelfTestStep } from '../../lib/index.ts'
import { startHttpSink } from '../support/http-sink.ts'
import { honestUntil, startLiar } from '../support/mqtt-liar.ts'
import { freePort } from '../support/process.ts'

/** What a test waits for at most when nothing is to come. */
const SHORT_MS = 400

/** Runs it, with generous time unless told. @returns the steps that were done, and the error that ended it */
async function run (options: Partial<SelfTestOptions> & { url: string }) {
  const steps: SelfTestStep[] = []
  const since = performance.now()
  const error = await selfTest({ timeoutMs: 20_000, ...options }, (step) => { steps.push(step) })
    .then(() => undefined, (error: unknown) => error as MbsError)
  return { steps, names: steps.map(({ name }) => name).join(' '), error, tookMs: performance.now() - since }
}

async function start (t: Test, settings: object) {
  const source = createSource({
    settings: { dataDir: `${t.testdir()}/data`, listeners: [{ port: 0 }], http: { port: 0 }, log: { level: 'silent' }, ...settings }, env: {}
  })
  t.teardown(() => source.close())
  await source.start()
  return { source, url: `mqtt://${source.addresses.listeners[0]!.address}`, http: `http://${source.addresses.http}` }
}

test('a broker with a sink: each step is told, and the sink has the event', async (t) => {
  const sink = await startHttpSink(t)
  const { url, http } = await start(t, { sink: { url: sink.url } })
  const { names, steps, error } = await run({ url, http })
  t.equal(error, undefined)
  t.equal(names, 'ready connect subscribe publish receive event')
  t.equal(steps.at(-1)!.detail, 'default took it')
  t.ok(steps.every(({ durationMs }) => durationMs > 0))
  const [event] = sink.events()
  t.match(event!.subject, /^devices\/selftest-[0-9a-f]{12}\/selftest$/)
  t.match(sink.requests[0]!.body.toString(), /^\{"selftest":"[0-9a-f]{32}"\}$/)
})

test('life-cycle events are not taken for the event that was published', async (t) => {
  const sink = await startHttpSink(t)
  sink.answer = (request) => request.header('ce-type')!.endsWith('publish') ? { status: 503 } : { status: 202 }
  const { url, http } = await start(t, { sink: { url: sink.url }, events: { lifecycle: { events: ['connected', 'subscribed'] } } })
  const { names, error } = await run({ url, http, timeoutMs: 1500 })
  t.equal(names, 'ready connect subscribe publish receive')
  t.match(error, { code: 'MBS_ERR_SELFTEST_EVENT', message: /default is (up|down), 1 event\(s\) wait for it, [1-9]\d* attempt\(s\) failed\.$/ })
})

test('without a sink the event waits in the outbox, which is no failure', async (t) => {
  const { url, http } = await start(t, { sink: { kind: 'http' } })
  const { steps, error } = await run({ url, http })
  t.equal(error, undefined)
  t.equal(steps.at(-1)!.detail, 'it waits in the outbox: default has no address yet')
})

test('without --http it ends with the message', async (t) => {
  const { url } = await start(t, { sink: { kind: 'http' } })
  t.match(await run({ url, topic: 'probe/{clientid}', clientId: 'p1' }), { names: 'connect subscribe publish receive', error: undefined })
})

test('a sink that refuses the event is a failure', async (t) => {
  const sink = await startHttpSink(t)
  sink.answer = { status: 400 }
  const { url, http } = await start(t, { sink: { url: sink.url } })
  t.match((await run({ url, http })).error, { code: 'MBS_ERR_SELFTEST_EVENT', message: /default refused it, and it became a dead letter/ })
})

test('a rule that makes no event of the topic is told', async (t) => {
  const { url, http } = await start(t, { sink: { kind: 'http' }, events: { rules: [{ topic: 'devices/#', drop: true }] } })
  const { steps, error } = await run({ url, http })
  t.equal(error, undefined)
  t.match(steps.at(-1)!.detail, /^no event/)
})

test('permissions that are bound to the client identifier let the default topic through; others are told plainly', async (t) => {
  const permissions = [
    { who: '*', publish: ['devices/{clientid}/#'], subscribe: ['devices/{clientid}/#', 'commands/{clientid}/#'] }
  ]
  const { url } = await start(t, { access: { permissions }, sink: { kind: 'http' } })
  t.equal((await run({ url })).error, undefined)
  t.match(await run({ url, topic: 'devices/another/x' }), {
    names: 'connect', error: { code: 'MBS_ERR_SELFTEST_SUBSCRIBE', message: /subscription to devices\/another\/x/ }
  })
  t.match(await run({ url, topic: 'commands/{clientid}/x' }), {
    names: 'connect subscribe', error: { code: 'MBS_ERR_SELFTEST_PUBLISH', message: /publish to commands\/selftest-[0-9a-f]+\/x/ }
  })
  t.match(await run({ url, topic: 'devices/{clientid}/x', receives: false }), { names: 'connect publish', error: undefined })
})

test('a publish that is denied and dropped is acknowledged and never comes back', async (t) => {
  const permissions = [{ who: '*', publish: ['nothing'], subscribe: ['#'] }]
  const { url } = await start(t, { access: { permissions, deniedPublish: 'drop' }, sink: { kind: 'http' } })
  t.match(await run({ url, timeoutMs: SHORT_MS * 3 }), {
    names: 'connect subscribe publish', error: { code: 'MBS_ERR_SELFTEST_MESSAGE', help: /deniedPublish: drop/ }
  })
})

test('a broker that is down, and one whose WebSocket is elsewhere', async (t) => {
  const port = await freePort()
  t.match(await run({ url: `mqtt://127.0.0.1:${port}` }), { names: '', error: { code: 'MBS_ERR_SELFTEST_CONNECT', message: /ECONNREFUSED/ } })
  const { url } = await start(t, { listeners: [{ protocol: 'ws', host: '127.0.0.1', port: 0, path: '/here' }], sink: { kind: 'http' } })
  t.match((await run({ url: `${url.replace('mqtt', 'ws')}/mqtt` })).error, { code: 'MBS_ERR_SELFTEST_CONNECT', message: /404/ })
  t.equal((await run({ url: `${url.replace('mqtt', 'ws')}/here` })).error, undefined)
})

test('credentials that are refused', async (t) => {
  const url = await startLiar(t, (packet, { send }) => {
    if (packet?.cmd === 'connect') send({ cmd: 'connack', returnCode: packet.password?.toString() === 'right' ? 5 : 4, sessionPresent: false })
  })
  const wrong = await run({ url, username: 'ada', password: Buffer.from('wrong') })
  t.match(wrong.error, { code: 'MBS_ERR_SELFTEST_REFUSED', message: /password are wrong \(CONNACK 4\)/, help: /--password-file/ })
  t.match((await run({ url, username: 'ada', password: Buffer.from('right') })).error?.message, /CONNACK 5/)
})

test('each silence ends in time, and says what was waited for', async (t) => {
  const nothing = () => {}
  for (const [script, packet, names] of [
    [nothing, 'CONNACK', ''],
    [honestUntil('subscribe', nothing), 'SUBACK', 'connect'],
    [honestUntil('publish', nothing), 'PUBACK', 'connect subscribe']
  ] as const) {
    const { error, names: done, tookMs } = await run({ url: await startLiar(t, script), timeoutMs: SHORT_MS })
    t.match(error, { code: 'MBS_ERR_SELFTEST_SILENT', message: new RegExp(`^No ${packet} came from .* within ${SHORT_MS} ms\\.$`) })
    t.equal(done, names)
    // What a DISCONNECT may take comes on top.
    t.ok(tookMs >= SHORT_MS - 5 && tookMs < SHORT_MS + 2500, `${packet}: ${tookMs} ms`)
  }
})

test('rubbish is told from silence, at each step', async (t) => {
  for (const script of [
    (_packet: unknown, { socket }: { socket: { write (text: string): void } }) => { socket.write('HTTP/1.1 400 Bad Request\r\n\r\n') },
    honestUntil('connect', (_packet, { socket }) => { socket.write(Buffer.from([0x20, 0x82, 0x80, 0x80, 0x80, 0x01])) }),
    honestUntil('subscribe', (_packet, { socket }) => { socket.write(Buffer.alloc(64, 0xff)) }),
    honestUntil('publish', (_packet, { send }) => { send({ cmd: 'connack', returnCode: 0, sessionPresent: false }) })
  ]) t.equal((await run({ url: await startLiar(t, script) })).error?.code, 'MBS_ERR_SELFTEST_PROTOCOL')
})

test('a connection that is closed says where', async (t) => {
  const cut = (_packet: unknown, { socket }: { socket: { destroy (): void } }) => { socket.destroy() }
  t.match((await run({ url: await startLiar(t, (_packet, { socket }) => { socket.end() }) })).error,
    { code: 'MBS_ERR_SELFTEST_CLOSED', message: /before the session/ })
  t.match((await run({ url: await startLiar(t, honestUntil('subscribe', cut)) })).error,
    { code: 'MBS_ERR_SELFTEST_CLOSED', message: /before the subscription/ })
  t.match((await run({ url: await startLiar(t, honestUntil('publish', cut)) })).error, { code: 'MBS_ERR_SELFTEST_PUBLISH' })
  t.match((await run({
    url: await startLiar(t, honestUntil('publish', (packet, { send, socket }) => {
      if (packet?.cmd === 'publish') send({ cmd: 'puback', messageId: packet.messageId! })
      socket.end()
    }))
  })).error, { code: 'MBS_ERR_SELFTEST_CLOSED', message: /before the message/ })
})

test('what comes back has to be what was published', async (t) => {
  const url = await startLiar(t, honestUntil('publish', (packet, { send }) => {
    if (packet?.cmd === 'publish') send({ cmd: 'puback', messageId: packet.messageId! }, { ...packet, qos: 0, payload: 'else' })
  }))
  t.match(await run({ url, timeoutMs: SHORT_MS }), {
    names: 'connect subscribe publish', error: { code: 'MBS_ERR_SELFTEST_MESSAGE', message: /; 1 other message\(s\) came instead\.$/ }
  })
})

test('an HTTP server that is not ready, not there, silent, or another one', async (t) => {
  const answers: Record<string, { status: number, body: string } | undefined> = {
    '/a/readyz': { status: 503, body: '{"status":"unavailable","reason":"starting: the outbox is opened"}' },
    '/c/readyz': { status: 200, body: 'hello' },
    '/c/metrics': { status: 404, body: 'nothing here' },
    '/d/readyz': { status: 200, body: 'hello' },
    '/d/metrics': { status: 200, body: 'hello' }
  }
  const server = createServer((request, response) => {
    const answer = answers[request.url!]
    if (answer !== undefined) response.writeHead(answer.status).end(answer.body)
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  t.teardown(() => { server.closeAllConnections(); server.close() })
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const url = await startLiar(t, honestUntil('never', () => {}))
  const at = async (http: string) => await run({ url, http, timeoutMs: SHORT_MS * 2 })
  t.match(await at(`${base}/a`), { names: '', error: { code: 'MBS_ERR_HTTP_UNHEALTHY', message: /status 503, starting: the outbox is opened\.$/ } })
  t.match((await at(`${base}/b/`)).error, { code: 'MBS_ERR_HTTP_UNHEALTHY', message: /no answer within/ })
  t.match((await at(`${base}/c`)).error, { code: 'MBS_ERR_HTTP_UNHEALTHY', message: /metrics .*status 404/ })
  t.match(await at(`${base}/d`), { names: 'ready connect subscribe publish receive', error: { code: 'MBS_ERR_SELFTEST_EVENT' } })
  t.match((await at(`http://127.0.0.1:${await freePort()}`)).error, { code: 'MBS_ERR_HTTP_UNHEALTHY', message: /ECONNREFUSED/ })
})
