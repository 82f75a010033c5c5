import { join } from 'node:path'
import { test } from 'tap'
import { checkConfig } from '../../../lib/config/check.ts'
import { formatProblems } from '../../../lib/config/problem.ts'
import { createCertificates } from '../../support/certs.ts'

const url = 'rediss://redis.example'
const check = (redis: object, now?: number) =>
  checkConfig({ env: {}, settings: { outbox: { store: 'redis' }, redis } }, now)
const mistakes = (redis: object) => check(redis).problems.map(({ path, error }) => [path, error?.code])

test('a file with a password of Redis has to hold one; what it holds is not repeated', async (t) => {
  const directory = t.testdir({ good: 'hunter2 and more\n', empty: ' \n', lines: 'hunter2\nhunter2' })
  const sentinel = { master: 'm', nodes: ['a:1'] }
  const settings: ReadonlyArray<readonly [path: string, of: (passwordFile: string) => object]> = [
    ['redis.passwordFile', (passwordFile) => ({ url, passwordFile })],
    ['redis.sentinel.passwordFile', (passwordFile) => ({ sentinel: { ...sentinel, passwordFile } })]
  ]
  for (const [path, of] of settings) {
    t.strictSame(mistakes(of(join(directory, 'good'))), [], path)
    for (const name of ['empty', 'lines', 'missing']) {
      const redis = of(join(directory, name))
      t.strictSame(mistakes(redis), [[path, 'MBS_ERR_REDIS_FILE']], `${path}: ${name}`)
      t.notMatch(formatProblems(check(redis).problems), 'hunter2')
    }
  }
})

test('certificates and keys for Redis have to be some, and fit together', async (t) => {
  const directory = t.testdir({ text: 'hello', empty: '' })
  const certificates = createCertificates(directory)
  const [ca, cert, key] = ['ca.crt', 'client.crt', 'client.key'].map((name) => certificates.file(name)) as [string, string, string]
  const tls = { ca, cert, key }
  t.strictSame(mistakes({ url, tls }), [])
  for (const bad of ['text', 'empty', 'missing']) {
    for (const name of ['ca', 'cert', 'key']) {
      t.strictSame(mistakes({ url, tls: { ...tls, [name]: join(directory, bad) } }), [[`redis.tls.${name}`, 'MBS_ERR_REDIS_FILE']], `${name}: ${bad}`)
    }
  }
  t.strictSame(mistakes({ url, tls: { ...tls, key: certificates.file('server.key') } }), [['redis.tls.key', 'MBS_ERR_REDIS_FILE']])
  t.match(check({ url, tls }, Date.now() + 100 * 86_400_000).warnings.join('\n'), /redis\.tls\.cert expired at/)
})

test('files that nobody will read are not looked at', async (t) => {
  t.strictSame(checkConfig({ env: {}, settings: { redis: { url, passwordFile: 'missing' } } }).problems, [])
})
