import t, { test } from 'tap'
import { X509Certificate } from 'node:crypto'
import { parseRevocations, withoutList } from '../../../lib/pem/revocations.ts'
import { readDer, timeOf } from '../../../lib/pem/der.ts'
import { createCertificates } from '../../support/certs.ts'

const certificates = createCertificates(t.testdir())
const list = (issuer: string, ...revoked: string[]) => {
  certificates.revoke(issuer, revoked)
  return certificates.read(`${issuer}.crl`)
}
const authority = (name: string) => new X509Certificate(certificates.read(`${name}.crt`))

test('every list of a text is found, whatever stands around it', async (t) => {
  const [own, other] = [list('ca', 'client'), list('other-ca')]
  const found = parseRevocations(`# lists\n${own}\n\n${other}the end`)
  t.strictSame(found.map(({ pem }) => pem), [own.trim(), other.trim()])
  for (const { nextUpdate } of found) {
    const days = (nextUpdate! - Date.now()) / 86_400_000
    t.ok(days > 1.9 && days < 2.1, `${days} days`)
  }
})

test('a list that has expired is a list all the same', async (t) => {
  certificates.revoke('ca', [], { expired: true })
  t.match(parseRevocations(certificates.read('ca.crl')), [{ nextUpdate: Date.UTC(2020, 0, 2) }])
})

test('what is no list is told, and which one it is', async (t) => {
  const good = list('ca')
  t.throws(() => parseRevocations(''), { message: /no PEM revocation list/ })
  t.throws(() => parseRevocations(certificates.read('ca.crt')), { message: /no PEM revocation list/ })
  const cut = good.replace(/\n[^\n]+\n-----END/, '\n-----END')
  for (const bad of [cut, '-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----']) {
    t.throws(() => parseRevocations(`${good}${bad}`), { message: 'revocation list 2 of 2 cannot be read' })
  }
})

test('an authority without a list is found', async (t) => {
  const authorities = [authority('ca'), authority('other-ca')]
  t.strictSame(withoutList(authorities, parseRevocations(list('ca') + list('other-ca'))), [])
  t.strictSame(withoutList(authorities, parseRevocations(list('ca'))).map(({ subject }) => subject), ['CN=other-ca'])
})

test('times of DER', async (t) => {
  const time = (tag: number, text: string) => timeOf({ tag, content: Buffer.from(text), bytes: Buffer.alloc(0) })
  t.equal(time(0x17, '491231235959Z'), Date.UTC(2049, 11, 31, 23, 59, 59))
  t.equal(time(0x17, '500101000000Z'), Date.UTC(1950, 0, 1))
  t.equal(time(0x18, '20500101000000Z'), Date.UTC(2050, 0, 1))
  for (const [tag, text] of [[0x17, 'soon'], [0x18, ''], [0x30, '500101000000Z']] as const) t.equal(time(tag, text), undefined)
})

test('DER that is cut off or has no length is no DER', async (t) => {
  t.strictSame(readDer(Buffer.from('0500020101', 'hex')).map(({ tag, content }) => [tag, content.toString('hex')]), [[5, ''], [2, '01']])
  for (const bad of ['02', '0203', '30820100', '3080', '3085', '308500000000ff']) t.throws(() => readDer(Buffer.from(bad, 'hex')), bad)
})
