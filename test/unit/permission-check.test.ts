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

test('a client identifier that the user may not take is a no, whatever permissions say', async (t) => {
  const bound = (clientId: string, more: object = {}) => {
    const { config } = loadConfig({ env: {}, settings: { access: { permissions, clientId, ...more } } })
    return (question: Partial<PermissionQuestion>) =>
      checkPermission(config, { user: 'ada', action: 'publish', topic: `devices/${question.clientId ?? 'ada'}/x`, ...question })
  }
  const own = bound('{username}')
  t.match(own({ clientId: 'ada' }), { allowed: true })
  t.same(own({ clientId: 'd1' }), { allowed: false, reason: 'access.clientId ("{username}") does not let this user connect as "d1"' })
  t.match(own({ clientId: 'd1', user: 'anonymous' }), { allowed: true }, 'nobody who proved nothing is bound')
  t.match(bound('d-{username}')({ topic: 'devices/d-ada/x' }), { allowed: true }, 'the only one there is needs not be given')
  t.match(bound('d-{username}')({}), { allowed: false, reason: /no rule/ })
  t.match(bound('{username}-*')({ clientId: 'ada-7' }), { allowed: true })
  t.match(bound('{username}-*')({}), { allowed: false, reason: /does not let this user connect as "ada"/ })

  const password = `$scrypt$ln=15,r=8,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`
  const directory = t.testdir({ 'users.yaml': `users:\n  ada: { password: "${password}", clientId: "lab-*" }\n  bob: { password: "${password}" }\n` })
  const users = bound('{username}', { users: `${directory}/users.yaml` })
  t.match(users({ clientId: 'lab-1' }), { allowed: true }, 'the user file goes before')
  t.match(users({ clientId: 'ada' }), { allowed: false, reason: /^clientId of this user in .*users\.yaml does not/ })
  t.match(users({ clientId: 'ada', claims: {} }), { allowed: true }, 'but not for who shows a token')
  t.match(users({ user: 'bob', clientId: 'lab-1' }), { allowed: false, reason: /^access\.clientId/ })
  t.throws(() => bound('{username}', { users: `${directory}/none.yaml` })({}), { code: 'MBS_ERR_ACCESS_USERS' })
})
