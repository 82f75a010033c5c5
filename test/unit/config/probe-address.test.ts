import { test } from 'tap'
import { loadConfig } from '../../../lib/config/load.ts'
import { probeAddress } from '../../../lib/config/probe-address.ts'

test('without a file it is where the program would listen, by its defaults and its environment', async (t) => {
  const environments = [
    {}, { MBS_HTTP_PORT: '9090' }, { MBS_HTTP_HOST: '127.0.0.2' }, { MBS_HTTP_HOST: ' ::1 ', MBS_HTTP_PORT: ' 1 ' }, { MBS_HTTP_PORT: '' }
  ]
  for (const env of environments) {
    const { host, port } = loadConfig({ env }).config.http
    t.equal(probeAddress(undefined, env), probeAddress({ host, port }), JSON.stringify(env))
  }
  t.equal(probeAddress(undefined, {}), 'http://127.0.0.1:8080')
  t.equal(probeAddress(undefined, { MBS_HTTP_HOST: '::1', MBS_HTTP_PORT: '9090' }), 'http://[::1]:9090')
})

test('what listens on every address is asked on the loopback of its family', async (t) => {
  t.equal(probeAddress({ host: '0.0.0.0', port: 8080 }), 'http://127.0.0.1:8080')
  t.equal(probeAddress({ host: '::', port: 8080 }), 'http://[::1]:8080')
  t.equal(probeAddress({ host: '192.0.2.1', port: 8080 }), 'http://192.0.2.1:8080')
})
