/** The built program on SIGHUP: it reads its TLS files again and goes on. */
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { connectAsync } from 'mqtt'
import t, { test } from 'tap'
import { createCertificates } from '../support/certs.ts'
import { startProgram, type Program } from '../support/process.ts'

const certificates = createCertificates(t.testdir())
certificates.issue('renewed', 'ca')
const ca = certificates.read('ca.crt')
const texts = (name: string) => ({ cert: certificates.read(`${name}.crt`), key: certificates.read(`${name}.key`) })

/** The certificate that a new connection sees. */
async function served (program: Program): Promise<string> {
  const socket = connect({ port: program.port('mqtts'), host: 'localhost', ca })
  await once(socket, 'secureConnect')
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256
}

const fingerprintOf = (name: string) => new X509Certificate(certificates.read(`${name}.crt`)).fingerprint256

test('SIGHUP puts new certificates in force and says so; broken ones change nothing; clients stay', async (t) => {
  const directory = t.testdir({ 'tls.crt': texts('server').cert, 'tls.key': texts('server').key })
  const [cert, key] = [join(directory, 'tls.crt'), join(directory, 'tls.key')]
  const program = await startProgram(t, {
    dataDir: join(directory, 'data'),
    listeners: [{ protocol: 'mqtts', port: 0, tls: { cert, key } }],
    http: { port: 0 },
    sink: { kind: 'http' },
    reload: { every: 'PT0S' },
    log: { format: 'json' }
  })
  const client = await connectAsync(`mqtts://localhost:${program.port('mqtts')}`, { ca, reconnectPeriod: 0 })

  writeFileSync(cert, texts('renewed').cert)
  program.signal('SIGHUP')
  const failed = () => program.log.filter(({ code }) => code === 'MBS_ERR_RELOAD_FAILED')
  await program.until(() => failed().length === 1)
  t.match(failed(), [{ level: 'error', reason: 'SIGHUP', files: [cert, key], err: { cause: { code: 'MBS_ERR_LISTENER_TLS' } } }])
  t.equal(await served(program), fingerprintOf('server'))

  writeFileSync(key, texts('renewed').key)
  program.signal('SIGHUP')
  t.match(await program.logged('read again'), { kind: 'tls', what: /^TLS files of the listener mqtts:/, reason: 'SIGHUP' })
  t.equal(await served(program), fingerprintOf('renewed'))
  await client.publishAsync('a', 'still here', { qos: 1 })
  await client.endAsync()
  t.notMatch(program.stderr, 'PRIVATE KEY')
  t.equal(await program.stop(), 0)
})

test('SIGHUP where there is nothing to read again changes nothing', async (t) => {
  const program = await startProgram(t, {
    dataDir: join(t.testdir(), 'data'), listeners: [{ port: 0 }], http: { port: 0 }, sink: { kind: 'http' }, log: { format: 'json' }
  })
  program.signal('SIGHUP')
  const client = await connectAsync(`mqtt://127.0.0.1:${program.port('mqtt')}`, { reconnectPeriod: 0 })
  await client.publishAsync('a', '1', { qos: 1 })
  await client.endAsync()
  t.equal(await program.stop(), 0)
})
