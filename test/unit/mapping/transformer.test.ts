import { test, type Test } from 'tap'
import { createTransformer, type TransformerOptions } from '../../../lib/mapping/transformer.ts'
import { parseTransform, type Transform } from '../../../lib/mapping/transform.ts'
import { childrenOf } from '../../support/children.ts'

/** What is catastrophic for a backtracking regular expression, and nothing that the library could interrupt. */
const STUCK = '$match(t, /^(a+)+$/)'
const EVIL = { t: `${'a'.repeat(40)}!` }

function create (t: Test, options: Partial<TransformerOptions> = {}) {
  const told: object[] = []
  const transformer = createTransformer({
    timeoutMs: 100,
    resultBytes: 100_000,
    memoryBytes: 64 * 1024 * 1024,
    telemetry: {
      transformStopped: (fields) => { told.push(fields) },
      transformPaused: (fields) => { told.push(fields) }
    },
    now: () => performance.now(),
    ...options
  })
  t.teardown(() => transformer.close())
  const rules = new Map<string, Transform>()
  const run = async (text: string, input: unknown = {}, { clientId = 'c', variables = '' } = {}) => {
    const transform = rules.get(text) ?? parse(text)
    rules.set(text, transform)
    const result = await transformer.run({
      transform,
      rule: [...rules.keys()].indexOf(text),
      clientId,
      variables,
      input: Buffer.from(JSON.stringify(input))
    })
    return result.kind === 'done' ? JSON.parse(result.data.toString()) as unknown : result.detail
  }
  return { transformer, run, told }
}

function parse (text: string): Transform {
  const transform = parseTransform(text)
  if (typeof transform === 'string') throw new Error(transform)
  return transform
}

test('results are those of JSONata, each for its job', async (t) => {
  const { run } = create(t)
  const results = await Promise.all([
    run('{ "c": (f - 32) * 5 / 9 }', { f: 212 }),
    run('$'),
    run('readings.v', { readings: [{ v: 1 }, { v: 2 }] }),
    run('$event.subject & "/" & $topic', {}, { variables: '{"event":{"subject":"s"},"topic":"a/b"}' }),
    run('null'),
    run('"ü" & a', { a: '温😀' }),
    run('[]'),
    run('a', { a: 'x'.repeat(90_000) }),
    ...Array.from({ length: 200 }, (_, n) => run('n * 2', { n }))
  ])
  t.same(results.slice(0, 7), [{ c: 100 }, {}, [1, 2], 's/a/b', null, 'ü温😀', []])
  t.equal((results[7] as string).length, 90_000)
  t.same(results.slice(8), Array.from({ length: 200 }, (_, n) => n * 2))
})

test('what is no result is said in words, without a part of the input', async (t) => {
  const { run, told } = create(t)
  const secret = 'SECRET'
  const table: Array<[expression: string, detail: RegExp]> = [
    ['missing', /^its result is nothing$/],
    ['t = "x" ? 1', /^its result is nothing$/],
    ['function($x) { $x }', /^its result has a function in it/],
    ['{ "a": [$sum] }', /^its result has a function in it/],
    ['/a/', /^its result has a function in it/],
    ['$pad("", 100001)', /^its result is larger than 100000 bytes$/],
    ['$pad("", 60000, "ü")', /^its result is larger than 100000 bytes$/],
    ['$error(t)', /^it failed with D3137 of JSONata at character \d+$/],
    ['$number(t)', /^it failed with D3030 of JSONata at character \d+$/],
    ['t + 1', /^it failed with T2001 of JSONata/],
    ['$eval(t & "(")', /^it failed with D3120 of JSONata/],
    ['$map([1..3], t)', /^it failed with T\d{4} of JSONata/],
    ['($f := function($n) { 1 + $f($n + 1) }; $f(0))', /^it failed with D1011 of JSONata/],
    ['[1..10000000]', /^it failed with D2015 of JSONata/]
  ]
  for (const [expression, detail] of table) {
    const result = await run(expression, { t: secret })
    t.match(result, detail, expression)
    t.notMatch(result, secret)
  }
  t.same(told, [], 'and the process lives on')
  t.match(await createBroken(t), /^it failed$/, 'input that is no JSON')
})

async function createBroken (t: Test): Promise<string> {
  const { transformer } = create(t)
  const result = await transformer.run({
    transform: parse('$'), rule: 0, clientId: 'c', variables: '', input: Buffer.from('{"a":')
  })
  return result.kind === 'failed' ? result.detail : ''
}

test('what never ends is given up, and the others have their results', async (t) => {
  for (const expression of ['($f := function($n) { $f($n + 1) }; $f(0))', STUCK]) {
    const { run, told } = create(t)
    await run('1') // the process is up
    const begun = performance.now()
    const others = (from: number) => Promise.all(Array.from({ length: 50 }, (_, n) => run('n', { n: from + n }, { clientId: 'other' })))
    const [before, evil, after] = await Promise.all([others(0), run(expression, EVIL, { clientId: 'evil' }), others(50)])
    t.equal(evil, 'it did not end within 100 ms')
    t.same([...before, ...after], Array.from({ length: 100 }, (_, n) => n), 'once each, as if nothing had been')
    t.ok(performance.now() - begun < 5000)
    t.equal(told.length, expression === STUCK ? 1 : 0, 'only what cannot be interrupted costs the process')
  }
})

test('what takes all memory ends its process alone', async (t) => {
  const doubling = (then: string) => `($f := function($s, $n) { $n = 0 ? $s : $f($s & $s, $n - 1) }; ${then})`
  for (const expression of [
    doubling('$length($f("abcdefgh", 25))'), doubling('$uppercase($f("abcdefgh", 25))'), '$pad("", 300000000, "ab")',
    '$split($pad("", 20000000), "")'
  ]) {
    const { run, told } = create(t, { timeoutMs: 2000 })
    const [evil, other] = await Promise.all([run(expression, {}, { clientId: 'evil' }), run('2')])
    t.match(evil, /^it ended the process it ran in|^it did not end within 2000 ms|^it failed/, expression)
    t.equal(other, 2)
    t.ok(told.length > 0 || /^it failed/.test(String(evil)))
  }
})

test('a process that something else has ended costs no job', async (t) => {
  const { run, told } = create(t)
  await run('1')
  const results = Promise.all(Array.from({ length: 64 }, (_, n) => run('n', { n })))
  killChildren()
  t.same(await results, Array.from({ length: 64 }, (_, n) => n))
  await run('1')
  killChildren()
  t.equal(await run('2'), 2, 'one that had nothing to do is replaced as well')
  t.ok(told.length >= 1)
})

function killChildren (): void {
  for (const pid of childrenOf(process.pid)) process.kill(pid, 'SIGKILL')
}

test('a device whose transforms are slow again and again is left alone, and nobody waits for it', async (t) => {
  const clock = { now: 0 }
  const { run, told } = create(t, { timeoutMs: 20, now: () => performance.now() + clock.now })
  const evil = () => run(STUCK, EVIL, { clientId: 'evil' })
  for (let time = 1; time <= 3; time++) {
    t.equal(await evil(), 'it did not end within 20 ms')
    if (time < 3) await run(STUCK, { t: 'aa' }, { clientId: 'evil' }) // what works in between is no excuse
  }
  const begun = performance.now()
  const many = await Promise.all(Array.from({ length: 200 }, evil))
  t.ok(performance.now() - begun < 1000)
  t.same(new Set(many), new Set(['it was not tried, because transforms of this device took too long before']))
  t.same(await run(STUCK, { t: 'aa' }, { clientId: 'good' }), { match: 'aa', index: 0, groups: ['a'.repeat(2)] })
  t.match(told.find((one) => 'whose' in one), { whose: 'device', clientId: 'evil', rule: 0, pauseMs: 30_000 })
  clock.now = 31_000
  t.equal(await evil(), 'it did not end within 20 ms', 'after a while it has one more chance')
  t.match(await evil(), /^it was not tried/)
  t.match(told.findLast((one) => 'whose' in one), { whose: 'device', pauseMs: 60_000 })
  clock.now = 180_000
  t.equal(await evil(), 'it did not end within 20 ms', 'and when it has given peace, all of them')
  t.equal(await evil(), 'it did not end within 20 ms')
})

test('the longer a transform may take, the longer who is slow is left alone', async (t) => {
  const { run, told } = create(t, { timeoutMs: 400 })
  for (let time = 1; time <= 3; time++) await run('($f := function($n) { $f($n + 1) }; $f(0))')
  t.same(told, [{ whose: 'device', clientId: 'c', rule: 0, pauseMs: (2 * 400 + 250) * 25 * 1.5 }])
})

test('clients take turns: what one of them has waiting delays another by one job', async (t) => {
  const { run, told } = create(t, { timeoutMs: 20 })
  await run('1', {}, { clientId: 'honest' }) // the process is up
  const results: unknown[] = []
  const evil = Array.from({ length: 60 }, async (_, n) => {
    results.push(await run(STUCK, n % 3 === 2 ? { t: 'aa' } : EVIL, { clientId: 'evil' }))
  })
  const waits: number[] = []
  for (let n = 0; n < 40; n++) {
    await new Promise(setImmediate) // what was answered together with the last one is counted
    const before = results.length
    t.equal(await run('n', { n }, { clientId: 'honest' }), n)
    // When it is left alone, all that it has waiting has its result at once.
    waits.push(results.slice(before).filter((result) => !/^it was not tried/.test(String(result))).length)
  }
  await Promise.all(evil)
  t.ok(Math.max(...waits) <= 1, `behind ${Math.max(...waits)} jobs at most`)
  t.equal(results.filter((result) => result === 'it did not end within 20 ms').length, 3)
  t.equal(results.filter((result) => /of this device took too long/.test(String(result))).length, 56)
  t.match(told.filter((one) => 'whose' in one), [{ whose: 'device', clientId: 'evil' }])
})

test('what is slow and ends in time has its turn, and no more', async (t) => {
  const { run, told } = create(t, { timeoutMs: 10_000 })
  await run('1', {}, { clientId: 'honest' })
  let slow = 0
  const heavy = ['one', 'two'].flatMap((clientId) => Array.from({ length: 10 }, async (_, n) => {
    t.equal(await run('$sum([1..n].($ % 2))', { n: 20_000 + n % 2 }, { clientId }), 10_000 + n % 2)
    slow++
  }))
  for (let n = 0; n < 5; n++) {
    await new Promise(setImmediate)
    const before = slow
    t.equal(await run('n', { n }, { clientId: 'honest' }), n)
    t.ok(slow - before <= 2, `behind ${slow - before} jobs`)
  }
  t.ok(slow < 20, 'they were still at work')
  await Promise.all(heavy)
  t.same(told, [], 'and nobody is left alone')
})

test('the events of a client that waits for its turn keep their order', async (t) => {
  const { run } = create(t)
  const order: number[] = []
  await Promise.all(Array.from({ length: 90 }, async (_, n) => {
    await run('n', { n }, { clientId: `device-${n % 3}` })
    order.push(n)
  }))
  for (const device of [0, 1, 2]) {
    t.same(order.filter((n) => n % 3 === device), Array.from({ length: 30 }, (_, n) => n * 3 + device))
  }
})

test('a rule that is slow for everyone is left alone', async (t) => {
  const { run, told } = create(t, { timeoutMs: 20 })
  for (let n = 1; n <= 5; n++) t.equal(await run(STUCK, EVIL, { clientId: `device-${n}` }), 'it did not end within 20 ms')
  t.equal(await run(STUCK, { t: 'aa' }, { clientId: 'another' }), 'it was not tried, because transforms of this rule took too long before')
  t.equal(await run('1', {}, { clientId: 'another' }), 1, 'other rules are not')
  t.match(told.findLast((one) => 'whose' in one), { whose: 'rule', rule: 0 })
})

test('two devices do not put out a rule, however often they try', async (t) => {
  const clock = { now: 0 }
  const { run, told } = create(t, { timeoutMs: 20, now: () => performance.now() + clock.now })
  for (let time = 1; time <= 4; time++) {
    for (const clientId of ['evil', 'bad']) t.equal(await run(STUCK, EVIL, { clientId }), 'it did not end within 20 ms')
    clock.now += 10_000
    t.match(await run(STUCK, { t: 'aa' }, { clientId: 'honest' }), { match: 'aa' })
  }
  t.same(told.filter((one) => 'whose' in one && one.whose === 'rule'), [])
})

test('closing ends the process, whatever it does, and rejects what is not done', async (t) => {
  const { transformer, run } = create(t, { timeoutMs: 10_000 })
  await run('1')
  const stuck = run(STUCK, EVIL)
  await new Promise(setImmediate)
  await new Promise(setImmediate)
  t.equal(childrenOf(process.pid).length, 1)
  await Promise.all([
    t.rejects(stuck, { code: 'MBS_ERR_MAPPING_TRANSFORMER', retryable: true }),
    transformer.close()
  ])
  t.same(childrenOf(process.pid), [])
  await transformer.close()
  await t.rejects(run('1'), { code: 'MBS_ERR_MAPPING_TRANSFORMER' })
  const idle = create(t)
  await idle.transformer.close()
  t.same(childrenOf(process.pid), [], 'it is started only when it is needed')
})

test('a process that cannot be started rejects what waits for it, and is tried again', async (t) => {
  const { execPath } = process
  t.teardown(() => { process.execPath = execPath })
  process.execPath = '/nowhere/node'
  const { run } = create(t)
  await t.rejects(Promise.all([run('1'), run('2')]), { code: 'MBS_ERR_MAPPING_TRANSFORMER', message: /ENOENT/ })
  process.execPath = execPath
  t.equal(await run('3'), 3)
})

test('an expression is found to be none, with the place of its mistake', async (t) => {
  t.match(parseTransform('{ "a": $sum(b }'), /at character 15$/)
  t.match(parseTransform('"abc'), /^String literal must be terminated.*, at character \d+$/)
  t.type(parseTransform('('.repeat(50_000)), 'string', 'one that is too deep for the parser, too')
  t.match(parseTransform('$event.type'), { usesVariables: true })
  t.match(parseTransform('$topics'), { usesVariables: false })
})
