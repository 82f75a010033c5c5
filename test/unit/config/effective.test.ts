import { test } from 'tap'
import { formatConfig } from '../../../lib/config/effective.ts'
import { loadConfig } from '../../../lib/config/load.ts'
import { makeCertificate } from '../../support/certs.ts'
import { writeYaml } from '../../support/config-files.ts'
import { readFileSync } from 'node:fs'

test('every setting is told as it would be written, with where it came from', async (t) => {
  const directory = t.testdir()
  const file = writeYaml(directory, 'limits:\n  packetBytes: 524288\nevents: { overrides: { extensions: { site: a } } }\n')
  const K_CA_CERTS = readFileSync(makeCertificate(directory, 'ca').cert, 'utf8')
  const env = { MBS_SINK_TIMEOUT: 'PT90S', K_SINK: 'https://host/path?token=secret', K_CA_CERTS }
  const lines = formatConfig(loadConfig({ file, env, flags: { port: 0 } })).split('\n').map((line) => line.replace(/ +/g, ' '))
  for (const line of [
    'name = mqtt-broker-source (default)',
    'listeners[0].port = 0 (flag --port)',
    'listeners[0].anonymous = true (default)',
    `limits.packetBytes = 512KiB (file ${file}:2)`,
    'limits.connections = 10000 (default)',
    'sink.kind = http (default)',
    'sink.url = https://host/path?… (environment K_SINK)',
    'sink.caText = (PEM text) (environment K_CA_CERTS)',
    'sink.timeout = PT1M30S (environment MBS_SINK_TIMEOUT)',
    `events.overrides.extensions.site = a (file ${file}:3)`
  ]) t.ok(lines.includes(line), line)
  t.notMatch(lines.join('\n'), /secret|BEGIN/)
})
