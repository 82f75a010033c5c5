import { test } from 'tap'
import { parseTemplate, resolveDenial, resolveTemplate } from '../../../lib/access/placeholders.ts'
import type { Identity } from '../../../lib/message.ts'

const identity: Identity = {
  clientId: 'd1',
  method: 'jwt',
  username: 'ada',
  certificate: { cn: 'device-1', sans: [], fingerprint: 'f' },
  claims: { site: 'north', line: 7, 'https://example.com/zone': 'z' }
}
const allowed = (text: string, fields: object = {}) => resolveTemplate(parseTemplate(text), { ...identity, ...fields })?.join('/')
const denied = (text: string, fields: object = {}) => resolveDenial(parseTemplate(text), { ...identity, ...fields }).join('/')

test('a placeholder is what is known of the session, as a whole level or a part of one', async (t) => {
  t.equal(allowed('devices/{clientid}/#'), 'devices/d1/#')
  t.equal(allowed('{username}'), 'ada')
  t.equal(allowed('a/x-{clientid}-{username}-y//+'), 'a/x-d1-ada-y//+')
  t.equal(allowed('{cert.cn}/{claim.site}/{claim.line}'), 'device-1/north/7')
  t.equal(allowed('/{claim.https://example.com/zone}/'), '/z/')
  t.equal(allowed('a/+/#'), 'a/+/#')
})

test('a value that could be more than a part of a level makes the pattern mean nothing', async (t) => {
  for (const value of ['+', '#', 'a/b', '/', 'a+', '#b', 'a\0b', '', undefined, null, {}, ['a'], true, 1.5, Number.NaN]) {
    const shown = JSON.stringify(value)
    t.equal(allowed('a/{username}/b', { username: value }), undefined, `username ${shown}`)
    t.equal(allowed('a/x{clientid}', { clientId: value }), undefined, `client id ${shown}`)
    t.equal(allowed('{claim.site}/#', { claims: { site: value } }), undefined, `claim ${shown}`)
    t.equal(allowed('{cert.cn}', { certificate: { cn: value } }), undefined, `common name ${shown}`)
  }
  t.equal(allowed('{cert.cn}', { certificate: undefined }), undefined)
  t.equal(allowed('{claim.site}', { claims: undefined }), undefined)
  t.equal(allowed('{claim.constructor}'), undefined, 'what every object has is no claim')
  t.equal(allowed('{claim.__proto__}'), undefined)
  t.equal(allowed('{unknown}'), undefined)
})

test('no session names itself into topics that begin with $', async (t) => {
  for (const clientId of ['$aws', '$iothub', '$SYS', '$']) {
    t.equal(allowed('{clientid}/#', { clientId }), undefined, clientId)
    t.equal(allowed('a/{clientid}', { clientId }), `a/${clientId}`)
  }
  t.equal(allowed('$aws/things/{clientid}/shadow/#'), '$aws/things/d1/shadow/#')
})

test('a denial without a usable value denies all that the value could have meant', async (t) => {
  t.equal(denied('devices/{clientid}/config'), 'devices/d1/config')
  for (const clientId of ['a/b', '+', '#', '']) t.equal(denied('devices/x{clientid}/config', { clientId }), 'devices/#')
  t.equal(denied('{username}/config', { username: undefined }), '#')
})

test('what a placeholder brings in is not looked through for placeholders', async (t) => {
  t.equal(allowed('{clientid}', { clientId: '{username}' }), '{username}')
})
