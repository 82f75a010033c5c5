/** A source with a listener of each kind, as its settings say: what is published comes out at the sink. */
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { test } from 'tap'
import { createSource } from '../../lib/index.ts'
import { createCertificates } from '../support/certs.ts'
import { startHttpSink } from '../support/http-sink.ts'
import { proxyV1 } from '../support/proxy.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { openWebSocket, speakMqtt } from '../support/web-socket.ts'

const certificates = createCertificates(t.testdir())
const tls = { cert: certificates.file('server.crt'), key: certificates.file('server.key') }

test('publishes arrive over every transport', async (t) => {
  const run = mkdtempSync(join(tmpdir(), 'mbs-'))
  t.teardown(() => { rmSync(run, { recursive: true }) })
  const sink = await startHttpSink(t)
  const origin = 'https://app.example.com'
  const source = createSource({
    env: {},
    settings: {
      dataDir: join(run, 'data'),
      listeners: [
        { port: 0 }, { host: '::1', port: 0 }, { socket: join(run, 'mqtt.sock'), socketMode: '0600' },
        { protocol: 'ws', port: 0, path: '/devices', origins: [origin] }, { protocol: 'ws', socket: join(run, 'ws.sock') },
        { protocol: 'wss', port: 0, tls }, { port: 0, anonymous: true, proxyProtocol: { trusted: ['127.0.0.1'] } }
      ],
      http: { port: 0 },
      sink: { kind: 'http', url: sink.url },
      log: { level: 'silent' }
    }
  })
  t.teardown(() => source.close())
  await source.start()
  const addresses = source.addresses.listeners.map(({ address }) => address)
  const [tcp4, tcp6, unix = '', ws, wsUnix, wss, proxy] = addresses
  const port = (address = '') => Number(address.split(':').at(-1))
  t.equal(statSync(unix).mode & 0o777, 0o600)

  const proxied = connectTcp(port(proxy), '127.0.0.1')
  proxied.write(proxyV1('192.0.2.7', 1))
  const devices = [
    await RawMqtt.dial(port(tcp4)),
    await RawMqtt.dial({ port: port(tcp6), host: '::1' }),
    await RawMqtt.dial({ path: unix }),
    speakMqtt(await openWebSocket(`ws://${ws}/devices`, 'mqtt', { origin })),
    speakMqtt(await openWebSocket(`ws+unix:${wsUnix}:/mqtt`)),
    speakMqtt(await openWebSocket(`wss://localhost:${port(wss)}/mqtt`, 'mqtt', { ca: certificates.read('ca.crt') })),
    new RawMqtt(proxied)
  ]
  for (const [at, device] of devices.entries()) {
    device.connect({ clientId: `device-${at}` })
    t.equal((await device.next('connack')).returnCode, 0)
    device.publish({ qos: 1, messageId: 1, payload: String(at) })
    await device.next('puback')
  }
  await sink.waitFor(devices.length)
  t.strictSame(sink.requests.map(({ body }) => Number(body.toString())).sort(), devices.map((_, at) => at))
  await source.close()
  for (const device of devices) await device.closed
})
