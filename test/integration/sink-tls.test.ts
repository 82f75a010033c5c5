import { test } from 'tap'
import { createHttpSink } from '../../lib/sink/http-sink.ts'
import { createTrust } from '../../lib/sink/sink-tls.ts'
import { createSinkCertificates } from '../support/certs.ts'
import { event } from '../support/http-sink-events.ts'
import { httpSink, noAbort } from '../support/http-sink-client.ts'
import { startHttpSink } from '../support/http-sink.ts'
import { createTestTelemetry } from '../support/log-lines.ts'

test('an https sink with a private authority is trusted where its certificate is given', async (t) => {
  const { ca, key, cert } = createSinkCertificates(t.testdir())
  const server = await startHttpSink(t, { tls: { key, cert } })
  const sink = httpSink(t, server.url, { ca: [ca] })
  for (let i = 0; i < 3; i++) t.match(await sink.send(event(), noAbort()), { kind: 'answer', status: 202 })
  t.equal(server.connections, 1)
  t.match(server.requests[0]?.event(), { id: '01' })
})

test('several certificates in one text are all trusted', async (t) => {
  const directory = t.testdir()
  const other = createSinkCertificates(directory)
  const { ca, key, cert } = createSinkCertificates(directory)
  const server = await startHttpSink(t, { tls: { key, cert } })
  const sink = httpSink(t, server.url, { ca: [`# bundle\n${other.ca}\n${ca}`] })
  t.match(await sink.send(event(), noAbort()), { status: 202 })
})

test('an https sink with an unknown authority is a network outcome, and gets nothing', async (t) => {
  const directory = t.testdir()
  const { key, cert } = createSinkCertificates(directory)
  const server = await startHttpSink(t, { tls: { key, cert } })
  t.match(await httpSink(t, server.url).send(event(), noAbort()),
    { kind: 'network', code: /^(UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT_LOCALLY)$/ })
  const other = createSinkCertificates(directory)
  t.match(await httpSink(t, server.url, { ca: [other.ca] }).send(event(), noAbort()), { kind: 'network', timedOut: false })
  t.equal(server.requests.length, 0)
})

test('a certificate for another name is a network outcome, every time', async (t) => {
  const { ca, key, cert } = createSinkCertificates(t.testdir(), 'DNS:other.example')
  const server = await startHttpSink(t, { tls: { key, cert } })
  const sink = httpSink(t, server.url, { ca: [ca] })
  for (let i = 0; i < 2; i++) {
    t.match(await sink.send(event(), noAbort()), { kind: 'network', code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
  }
})

test('plain HTTP at a TLS port, and TLS at a plain port, are network outcomes', async (t) => {
  const { ca, key, cert } = createSinkCertificates(t.testdir())
  const tls = await startHttpSink(t, { tls: { key, cert } })
  const plain = await startHttpSink(t)
  t.match(await httpSink(t, tls.url.replace('https', 'http')).send(event(), noAbort()), { kind: 'network' })
  t.match(await httpSink(t, plain.url.replace('http', 'https'), { ca: [ca] }).send(event(), noAbort()), { kind: 'network' })
})

test('what is no certificate is refused when the sink is made', async (t) => {
  const { ca } = createSinkCertificates(t.testdir())
  for (const bad of ['', 'text', ca.replace('MII', 'XXX'), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----']) {
    t.throws(() => createTrust([ca, bad]), { code: 'MBS_ERR_SINK_CA' })
  }
  t.throws(() => createHttpSink({
    name: 'x',
    url: 'https://h/',
    contentMode: 'auto',
    timeoutMs: 1,
    connections: 1,
    keepAliveMs: 1,
    socketMaxAgeMs: 1,
    ca: ['x'],
    userAgent: 'x',
    telemetry: createTestTelemetry('silent').telemetry
  }), { code: 'MBS_ERR_SINK_CA' })
  t.equal(createTrust([]), undefined)
})
