import { join } from 'node:path'
import { test } from 'tap'
import { checkConfig } from '../../../lib/config/check.ts'
import { formatProblems } from '../../../lib/config/problem.ts'
import { createCertificates } from '../../support/certs.ts'

const SECTIONS: Record<string, (target: object) => object> = {
  sink: (target) => ({ sink: target }),
  'delivery.deadLetterSink': (target) => ({ delivery: { deadLetterSink: target } })
}
const url = 'https://sink.example/'

for (const [section, settingsOf] of Object.entries(SECTIONS)) {
  const check = (target: object, now?: number) =>
    checkConfig({ env: {}, settings: settingsOf({ url, ...target }) }, now)
  const mistakes = (target: object) => check(target).problems.map(({ path, error }) => [path, error?.code])

  test(`${section}: a file with a secret has to hold one; what it holds is not repeated`, async (t) => {
    const directory = t.testdir({
      good: 'abc\n', empty: ' \n', lines: 'hunter2\nhunter2', words: 'hunter2 hunter2', latin: 'hünter2', control: 'hunter2\u0001', large: 'hunter2'.repeat(3000)
    })
    const oauth2 = { tokenUrl: 'https://issuer.example/', clientId: 'a' }
    const settings: Array<[path: string, of: (file: string) => object, bad: string[]]> = [
      ['headers.x-key.file', (file) => ({ headers: { 'x-ok': 'a', 'x-key': { file } } }), ['latin']],
      ['auth.bearer.file', (file) => ({ auth: { bearer: { file } } }), ['latin', 'words']],
      ['auth.basic.passwordFile', (passwordFile) => ({ auth: { basic: { username: 'a', passwordFile } } }), []],
      ['auth.oauth2.clientSecretFile', (clientSecretFile) => ({ auth: { oauth2: { ...oauth2, clientSecretFile } } }), ['latin']]
    ]
    for (const [path, of, more] of settings) {
      t.strictSame(mistakes(of(join(directory, 'good'))), [], path)
      for (const name of ['empty', 'lines', 'control', 'large', 'missing', '', ...more]) {
        const target = of(join(directory, name))
        t.strictSame(mistakes(target), [[`${section}.${path}`, 'MBS_ERR_SINK_CREDENTIALS']], `${path}: ${name}`)
        t.notMatch(formatProblems(check(target).problems), 'hunter2')
      }
    }
  })

  test(`${section}: the client certificate and its key have to fit together`, async (t) => {
    const directory = t.testdir({ text: 'hello', empty: '' })
    const certificates = createCertificates(directory)
    const tls = { cert: certificates.file('client.crt'), key: certificates.file('client.key') }
    t.strictSame(mistakes({ tls }), [])
    for (const bad of ['text', 'empty', 'missing']) {
      t.strictSame(mistakes({ tls: { ...tls, cert: join(directory, bad) } }), [[`${section}.tls.cert`, 'MBS_ERR_SINK_TLS']], bad)
      t.strictSame(mistakes({ tls: { ...tls, key: join(directory, bad) } }), [[`${section}.tls.key`, 'MBS_ERR_SINK_TLS']], bad)
    }
    t.strictSame(mistakes({ tls: { ...tls, key: certificates.file('server.key') } }), [[`${section}.tls.key`, 'MBS_ERR_SINK_TLS']])
    t.match(check({ tls }, Date.now() + 100 * 86_400_000).warnings, [new RegExp(`^${section}\\.tls\\.cert expired at`)])
  })
}
