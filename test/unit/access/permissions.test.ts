import { test } from 'tap'
import { createPermissions, type PermissionRule } from '../../../lib/access/permissions.ts'
import type { Identity } from '../../../lib/message.ts'

interface Shorthand {
  who?: string | string[]
  claims?: Record<string, string>
  publish?: string[]
  subscribe?: string[]
  deny?: { publish?: string[], subscribe?: string[] }
}

const rule = ({ who = '*', claims = {}, publish = [], subscribe = [], deny = {} }: Shorthand): PermissionRule =>
  ({ who, claims, publish, subscribe, deny: { publish: [], subscribe: [], ...deny } })
const permissionsOf = (...rules: Shorthand[]) => createPermissions(rules.map(rule))

const ada: Identity = { clientId: 'd1', method: 'password', username: 'ada' }
const bob: Identity = { clientId: 'd2', method: 'password', username: 'bob' }
const nobody: Identity = { clientId: 'd3', method: 'anonymous' }

test('without rules everything is allowed; with none of them nothing is', async (t) => {
  const open = createPermissions(undefined)
  t.equal(open.mayPublish(ada, 'a'), true)
  t.equal(open.maySubscribe(ada, '#'), true)
  t.equal(open.mayReceive(ada, 'a'), true)
  t.same(open.explain(ada, 'publish', 'a'), { allowed: true })
  const closed = createPermissions([])
  t.equal(closed.mayPublish(ada, 'a'), false)
  t.equal(closed.maySubscribe(ada, 'a'), false)
  t.equal(closed.mayReceive(ada, 'a'), false)
  t.same(closed.explain(ada, 'publish', 'a'), { allowed: false })
})

test('a rule is for everyone, for a name, for names, or for those without one', async (t) => {
  const permissions = permissionsOf(
    { publish: ['all'] }, { who: 'ada', publish: ['one'] }, { who: ['ada', 'bob'], publish: ['two'] },
    { who: 'anonymous', publish: ['guest'] }
  )
  const may = (identity: Identity) => ['all', 'one', 'two', 'guest'].filter((topic) => permissions.mayPublish(identity, topic))
  t.same(may(ada), ['all', 'one', 'two'])
  t.same(may(bob), ['all', 'two'])
  t.same(may(nobody), ['all', 'guest'])
})

test('a user who is called anonymous or * gets nothing by that name', async (t) => {
  const permissions = permissionsOf({ who: 'anonymous', publish: ['guest'] }, { who: 'ada', publish: ['ada'] })
  for (const username of ['anonymous', '*', '__proto__', 'constructor']) {
    const identity: Identity = { clientId: 'd', method: 'password', username }
    t.notOk(permissions.mayPublish(identity, 'guest') || permissions.mayPublish(identity, 'ada'), username)
  }
  t.notOk(permissions.mayPublish({ clientId: 'd', method: 'anonymous', username: 'ada' }, 'ada'), 'a name that was not proven')
})

test('claims that are no texts are compared as they are written', async (t) => {
  const permissions = permissionsOf({ claims: { level: '5', admin: 'true' }, publish: ['a'] })
  const may = (claims: Record<string, unknown>) =>
    permissions.mayPublish({ clientId: 'd', method: 'jwt', username: 'u', claims }, 'a')
  t.ok(may({ level: 5, admin: true }))
  t.ok(may({ level: [4, 5], admin: 'true' }))
  for (const level of [5.5, '05', 55, null, { 5: 5 }, undefined]) t.notOk(may({ level, admin: true }), String(level))
  t.notOk(may({ level: 5, admin: 1 }))
})

test('a rule may ask for claims of the token, all of them', async (t) => {
  const permissions = permissionsOf({ claims: { role: 'operator', site: 'north' }, publish: ['a'] })
  const may = (claims?: Record<string, unknown>) =>
    permissions.mayPublish({ clientId: 'd', method: 'jwt', username: 'u', ...(claims === undefined ? {} : { claims }) }, 'a')
  t.equal(may({ role: 'operator', site: 'north' }), true)
  t.equal(may({ role: ['guest', 'operator'], site: 'north' }), true)
  t.equal(may({ role: 'operator' }), false)
  t.equal(may({ role: 'operators', site: 'north' }), false)
  t.equal(may(), false)
})

test('a denial stands above every allowance, whichever rule has it and wherever', async (t) => {
  const secret = { deny: { publish: ['a/secret'], subscribe: ['a/secret'] } }
  const all = { publish: ['a/#'], subscribe: ['a/#'] }
  for (const rules of [[secret, all], [all, secret], [{ ...all, ...secret }], [all, { who: 'ada', ...secret }]]) {
    const permissions = permissionsOf(...rules)
    t.equal(permissions.mayPublish(ada, 'a/b'), true)
    t.equal(permissions.mayPublish(ada, 'a/secret'), false)
    t.equal(permissions.mayReceive(ada, 'a/b'), true)
    t.equal(permissions.mayReceive(ada, 'a/secret'), false)
  }
  t.equal(permissionsOf(all, { who: 'bob', ...secret }).mayPublish(ada, 'a/secret'), true, 'of a rule that applies')
})

test('a subscription is granted when all that it asks for is allowed, and nothing of it denied', async (t) => {
  const permissions = permissionsOf({ subscribe: ['devices/{clientid}/#', 'news/+'], deny: { subscribe: ['devices/+/secret/#'] } })
  for (const filter of ['devices/d1/state', 'devices/d1/state/#', 'news/+', 'news/today']) t.ok(permissions.maySubscribe(ada, filter), filter)
  for (const filter of ['devices/#', 'devices/+/state', 'devices/d2/state', 'news/#', '#', '+/d1/x', 'devices/d1/#', 'devices/d1/+/a',
    'devices/d1/secret', 'devices/d1/secret/#']) t.notOk(permissions.maySubscribe(ada, filter), filter)
})

test('publishing and subscribing are apart', async (t) => {
  const permissions = permissionsOf({ publish: ['up'], subscribe: ['down'] })
  t.equal(permissions.mayPublish(ada, 'down'), false)
  t.equal(permissions.maySubscribe(ada, 'up'), false)
  t.equal(permissions.mayReceive(ada, 'up'), false)
})

test('each session has its own pattern, and a client id with wildcards opens nothing', async (t) => {
  const permissions = permissionsOf({ publish: ['devices/{clientid}/#'], subscribe: ['devices/{clientid}/#'] })
  t.equal(permissions.mayPublish(ada, 'devices/d1/x'), true)
  t.equal(permissions.mayPublish(bob, 'devices/d1/x'), false)
  for (const clientId of ['+', '#', 'd1/x', '', 'd1\0']) {
    const identity: Identity = { ...ada, clientId }
    t.notOk(permissions.mayPublish(identity, 'devices/d1/x') || permissions.mayReceive(identity, 'devices/d1/x'), clientId)
    t.notOk(permissions.maySubscribe(identity, 'devices/#') || permissions.maySubscribe(identity, 'devices/+/x'), clientId)
    t.notOk(permissions.mayPublish(identity, `devices/${clientId}/x`), clientId)
  }
})

test('an answer tells the place and the pattern that decide', async (t) => {
  const permissions = permissionsOf(
    { publish: ['x', 'devices/{clientid}/#'], subscribe: ['a/#'] }, { who: 'ada', deny: { publish: ['devices/+/secret'], subscribe: ['a/b'] } }
  )
  t.same(permissions.explain(ada, 'publish', 'devices/d1/x'), { allowed: true, place: '[0].publish[1]', pattern: 'devices/{clientid}/#' })
  t.same(permissions.explain(ada, 'publish', 'devices/d1/secret'),
    { allowed: false, place: '[1].deny.publish[0]', pattern: 'devices/+/secret' })
  t.same(permissions.explain(bob, 'subscribe', 'a/+'), { allowed: true, place: '[0].subscribe[0]', pattern: 'a/#' })
  t.same(permissions.explain(ada, 'subscribe', 'a/+'), { allowed: false, place: '[1].deny.subscribe[0]', pattern: 'a/b' })
  t.same(permissions.explain(ada, 'publish', 'y'), { allowed: false })
})

test('other rules are in force at once, also for sessions that were asked about', async (t) => {
  const permissions = permissionsOf({ publish: ['a'] })
  t.equal(permissions.mayPublish(ada, 'a'), true)
  permissions.replace([rule({ publish: ['b'] })])
  t.equal(permissions.mayPublish(ada, 'a'), false)
  t.equal(permissions.mayPublish(ada, 'b'), true)
  permissions.replace(undefined)
  t.equal(permissions.mayPublish(ada, 'c'), true)
})
