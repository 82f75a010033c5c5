import { test } from 'tap'
import { Attempts } from '../../../lib/access/attempts.ts'
import { FailureCounter } from '../../../lib/access/failure-counter.ts'

const limits = { perUser: 3, perAddress: 5, backoffMs: 1000, backoffMaxMs: 8000 }
const ignore = () => {}

function create () {
  const clock = { now: 0 }
  const attempts = new Attempts(limits, () => clock.now)
  const may = (address: string, user: string): boolean => {
    const attempt = attempts.begin(address, user, ignore)
    attempt?.abandoned()
    return attempt !== undefined
  }
  const fail = (address: string, user: string, times = 1): void => {
    for (let count = 0; count < times; count++) attempts.begin(address, user, ignore)?.failed()
  }
  const succeed = (address: string, user: string): void => { attempts.begin(address, user, ignore)?.succeeded() }
  return { clock, attempts, may, fail, succeed }
}

test('a user has to wait after so many failures, wherever they came from, twice as long each time', async (t) => {
  const { clock, may, fail } = create()
  fail('10.0.0.1', 'a', 2)
  t.equal(may('10.0.0.2', 'a'), true)
  fail('10.0.0.3', 'a')
  t.equal(may('10.0.0.2', 'a'), false)
  t.equal(may('10.0.0.2', 'b'), true, 'nobody else')
  for (const waitMs of [1000, 2000, 4000, 8000, 8000]) {
    clock.now += waitMs - 1
    t.equal(may('10.0.0.2', 'a'), false, `${waitMs}`)
    clock.now += 1
    t.equal(may('10.0.0.2', 'a'), true, `${waitMs}`)
    fail('10.0.0.4', 'a')
  }
})

test('an address has to wait as well, whatever names are tried', async (t) => {
  const { may, fail } = create()
  for (const user of ['a', 'b', 'c', 'd']) fail('10.0.0.1', user)
  t.equal(may('10.0.0.1', 'z'), true)
  fail('10.0.0.1', 'e')
  t.equal(may('10.0.0.1', 'z'), false)
  t.equal(may('10.0.0.2', 'z'), true)
})

test('failures are forgiven by time', async (t) => {
  const { clock, may, fail } = create()
  for (let count = 0; count < 20; count++) {
    fail('10.0.0.1', 'a')
    clock.now += 31_000
    t.equal(may('10.0.0.1', 'a'), true)
  }
})

test('a success undoes no failure, its own or another\'s', async (t) => {
  const { may, fail, succeed } = create()
  for (const user of ['a', 'b', 'c', 'd']) {
    fail('10.0.0.1', user)
    succeed('10.0.0.1', 'mallory')
  }
  fail('10.0.0.1', 'e')
  t.equal(may('10.0.0.1', 'z'), false, 'the address')
  fail('10.0.0.9', 'honest', 2)
  succeed('10.0.0.2', 'honest')
  fail('10.0.0.9', 'honest', 1)
  t.equal(may('10.0.0.9', 'honest'), false, 'the user')
})

test('who tries the name of a device elsewhere does not keep it out where it has got in before', async (t) => {
  const { may, fail, succeed } = create()
  succeed('10.0.0.1', 'honest')
  fail('10.6.6.6', 'honest', 10)
  t.equal(may('10.6.6.6', 'honest'), false)
  t.equal(may('10.0.0.2', 'honest'), false)
  t.equal(may('10.0.0.1', 'honest'), true)
})

test('a neighbor behind the same address does not keep it out either', async (t) => {
  const { may, fail, succeed } = create()
  succeed('10.0.0.1', 'honest')
  for (const user of ['a', 'b', 'c', 'd', 'e', 'f']) fail('10.0.0.1', user)
  t.equal(may('10.0.0.1', 'g'), false)
  t.equal(may('10.0.0.1', 'honest'), true)
})

test('where it has got in before, its name cannot be tried without end either, and it counts for the address', async (t) => {
  const { may, fail, succeed } = create()
  succeed('10.0.0.1', 'honest')
  fail('10.0.0.1', 'honest', 20)
  t.equal(may('10.0.0.1', 'honest'), false)
  t.equal(may('10.0.0.1', 'a'), true, 'three counted, of five')
  fail('10.0.0.1', 'a', 2)
  t.equal(may('10.0.0.1', 'b'), false)
})

test('what is under way when its address has used up what it may is dismissed', async (t) => {
  const { attempts } = create()
  const dismissed: number[] = []
  const open = Array.from({ length: 10 }, (_, at) => attempts.begin('10.0.0.1', `u${at}`, () => { dismissed.push(at) }))
  const other = attempts.begin('10.0.0.2', 'x', () => { dismissed.push(-1) })
  for (let at = 0; at < 5; at++) open[at]!.failed()
  t.strictSame(dismissed, [5, 6, 7, 8, 9])
  for (let at = 5; at < 10; at++) open[at]!.abandoned()
  other!.succeeded()
  t.equal(attempts.begin('10.0.0.1', 'y', ignore), undefined)
})

test('names are told apart, whatever they are, and long ones as well', async (t) => {
  const { may, fail } = create()
  for (const name of ['__proto__', 'constructor', '', `${'x'.repeat(65_000)}a`]) {
    fail('10.0.0.1', name, 0)
    t.equal(may('10.0.0.1', name), true)
  }
  fail('10.0.0.3', `${'x'.repeat(65_000)}a`, 3)
  t.equal(may('10.0.0.4', `${'x'.repeat(65_000)}a`), false)
  t.equal(may('10.0.0.4', `${'x'.repeat(65_000)}b`), true)
})

test('what is remembered has a bound, and the key unheard of for longest goes first', async (t) => {
  const counter = new FailureCounter({ free: 1, backoffMs: 1000, backoffMaxMs: 1000 }, () => 0)
  for (let count = 0; count < 20_000; count++) counter.fail(String(count))
  counter.fail('0')
  counter.fail('one more')
  t.equal(counter.size, 20_000)
  t.equal(counter.isBlocked('1'), false)
  t.equal(counter.isBlocked('0'), true)
})
