import { test } from 'tap'
import { parseSubjectAltNames } from '../../../lib/listener/peer-certificate.ts'

test('names are taken apart at their commas', async (t) => {
  t.strictSame(parseSubjectAltNames('DNS:localhost, IP Address:127.0.0.1, URI:urn:dev:1, email:a@b'), [
    { type: 'DNS', value: 'localhost' }, { type: 'IP Address', value: '127.0.0.1' }, { type: 'URI', value: 'urn:dev:1' }, { type: 'email', value: 'a@b' }
  ])
  t.strictSame(parseSubjectAltNames('IP Address:0:0:0:0:0:0:0:1'), [{ type: 'IP Address', value: '0:0:0:0:0:0:0:1' }])
  t.strictSame(parseSubjectAltNames(''), [])
})

test('a name cannot pretend to be several: what is quoted is one', async (t) => {
  t.strictSame(parseSubjectAltNames('DNS:"a, DNS:admin", URI:x'), [{ type: 'DNS', value: 'a, DNS:admin' }, { type: 'URI', value: 'x' }])
  t.strictSame(parseSubjectAltNames('URI:"a\\", URI:\\"admin\\u0000"'), [{ type: 'URI', value: 'a", URI:"admin\0' }])
})

test('what is not understood ends it', async (t) => {
  t.strictSame(parseSubjectAltNames('DNS:a, nonsense, DNS:b'), [{ type: 'DNS', value: 'a' }])
  t.strictSame(parseSubjectAltNames('DNS:"open'), [])
})
