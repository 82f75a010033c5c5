import { test } from 'tap'
import { loadConfig } from '../../lib/config/load.ts'
import { checkPermission, type PermissionQuestion } from '../../lib/permission-check.ts'

const permissions = [
  { who: '*', publish: ['devices/{clientid}/#'], subscribe: ['commands/{username}/#'], deny: { publish: ['devices/+/secret'] } },
  { who: 'ada', claims: { role: 'operator' }, publish: ['{cert.cn}/{claim.site}'] }
]
const { config } = loadConfig({ env: {}, settings: { access: { permissions } } })
const ask = (topic: string, question: Partial<PermissionQuestion> = {}) =>
  checkPermission(config, { user: 'ada', action: 'publish', topic, ...question })

test('the answer names the setting that decides', async (t) => {
  t.same(ask('devices/d1/x', { clientId: 'd1' }),
    { allowed: true, reason: 'access.permissions[0].publish[0] allows it: "devices/{clientid}/#"' })
  t.same(ask('devices/ada/secret'), { allowed: false, reason: 'access.permissions[0].deny.publish[0] denies it: "devices/+/secret"' })
  t.same(ask('devices/d2/x'), { allowed: false, reason: 'no rule of access.permissions allows it' })
  t.match(ask('commands/ada/#', { action: 'subscribe' }), { allowed: true, reason: 'access.permissions[0].subscribe[0] allows it' })
  t.match(ask('commands/#', { action: 'subscribe' }), { allowed: false })
})

test('client id, certificate and claims count as they do for a session', async (t) => {
  t.equal(ask('devices/ada/x').allowed, true, 'the name of the user is the client id unless given')
  t.equal(ask('c/north', { commonName: 'c', claims: { site: 'north', role: 'operator' } }).allowed, true)
  t.equal(ask('c/north', { commonName: 'c', claims: { site: 'north' } }).allowed, false)
  t.equal(ask('devices/anonymous/x', { user: 'anonymous' }).allowed, false)
  t.equal(ask('devices/d1/x', { user: 'anonymous', clientId: 'd1' }).allowed, true)
})

test('what no permission could allow is said as it is to a device', async (t) => {
  t.same(ask('a/#'), { allowed: false, reason: 'it has a wildcard' })
  t.match(ask('$SYS/#', { action: 'subscribe' }), { allowed: false, reason: /cannot be subscribed/ })
  t.match(ask('$aws/rules/r'), { allowed: false, reason: /reserved/ })
  const aws = loadConfig({ env: {}, settings: { access: { permissions: [{ who: '*', publish: ['$aws/rules/#'] }] }, events: { presets: ['aws-iot'] } } }).config
  t.match(checkPermission(aws, { user: 'ada', action: 'publish', topic: '$aws/rules/r' }), { allowed: true, reason: /publish\[0\] allows it/ })
  t.match(checkPermission(aws, { user: 'ada', action: 'subscribe', topic: '$aws/rules/r' }), { allowed: false, reason: /cannot be subscribed/ })
  const open = loadConfig({ env: {} }).config
  t.same(checkPermission(open, { user: 'ada', action: 'publish', topic: 'a' }),
    { allowed: true, reason: 'access.permissions is not set, so that everything is allowed' })
})
