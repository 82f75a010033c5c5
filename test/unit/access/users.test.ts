import { test } from 'tap'
import { Users, type User } from '../../../lib/access/users.ts'
import { dummyHash } from '../../../lib/access/password.ts'
import { createError } from '../../../lib/errors.ts'

const cheap = { ln: 10, r: 8, p: 1 }
const user = (name: string, cost = cheap): User => ({ name, password: dummyHash(cost) })

test('a reload replaces all users', async (t) => {
  let file: User[] = [user('a'), user('__proto__')]
  const users = new Users(async () => file)
  t.equal(users.find('a'), undefined, 'nothing before it was read')
  await users.reload()
  t.equal(users.find('a')?.name, 'a')
  t.equal(users.find('__proto__')?.name, '__proto__')
  t.equal(users.find('constructor'), undefined)
  file = [user('b')]
  await users.reload()
  t.equal(users.find('a'), undefined)
  t.equal(users.size, 1)
})

test('a broken file leaves the last good one in force, and the next good one is taken', async (t) => {
  let broken = false
  const users = new Users(async () => {
    if (broken) throw createError('MBS_ERR_ACCESS_USERS', { file: 'users.yaml', reason: 'line 1: no' })
    return [user('a')]
  })
  await users.reload()
  broken = true
  await t.rejects(users.reload(), { code: 'MBS_ERR_ACCESS_USERS' })
  t.equal(users.find('a')?.name, 'a')
  broken = false
  await users.reload()
  t.equal(users.find('a')?.name, 'a')
})

test('of two reloads at once, what was read last is in force', async (t) => {
  const reads: Array<(users: User[]) => void> = []
  const users = new Users(async () => await new Promise((resolve) => { reads.push(resolve) }))
  const both = [users.reload(), users.reload()]
  await new Promise(setImmediate)
  t.equal(reads.length, 1, 'one after the other')
  reads[0]!([user('old')])
  await both[0]
  await new Promise(setImmediate)
  reads[1]!([user('new')])
  await both[1]
  t.equal(users.find('new')?.name, 'new')
})

test('it knows what most hashes cost', async (t) => {
  const users = new Users(async () => [user('a'), user('b', { ...cheap, ln: 11 }), user('c', { ...cheap, ln: 11 })])
  t.equal(users.usualCost, undefined)
  await users.reload()
  t.strictSame(users.usualCost, { ln: 11, r: 8, p: 1 })
})
