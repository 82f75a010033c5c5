/** Transforms and schemas in the built program: what one expression does wrong harms its own event alone. */
import { test, type Test } from 'tap'
import { until } from '../support/broker.ts'
import { childrenOf } from '../support/children.ts'
import { startHttpSink } from '../support/http-sink.ts'
import { spawnProgram, startProgram, type Program } from '../support/process.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'
import { publishBytes, RawMqtt } from '../support/raw-mqtt.ts'

const TIMEOUT_MS = 100

const HOSTILE: Readonly<Record<string, string>> = {
  loop: '($f := function($n) { $f($n + 1) }; $f(0))',
  recursion: '($f := function($n) { 1 + $f($n + 1) }; $f(0))',
  range: '[1..10000000]',
  regex: '$match(t, /^(a+)+$/)',
  memory: '($f := function($s, $n) { $n = 0 ? $s : $f($s & $s, $n - 1) }; $uppercase($f("abcdefgh", 25)))',
  huge: '$pad("", 5000000)',
  error: '$error("no")',
  nothing: 'missing',
  function: 'function($x) { $x }'
}

const EVIL = JSON.stringify({ t: `${'a'.repeat(40)}!` })

async function start (t: Test, rules: readonly object[]) {
  const sink = await startHttpSink(t)
  const program = await startProgram(t, {
    dataDir: `${t.testdir()}/data`,
    listeners: [{ port: 0 }],
    http: { port: 0 },
    sink: { url: sink.url },
    events: { transformTimeout: `PT${TIMEOUT_MS / 1000}S`, rules },
    log: { format: 'json' }
  })
  const open = (clientId: string) => RawMqtt.open(program.port('mqtt'), { clientId })
  return { sink, program, open }
}

const good = { topic: 'good/#', type: 'good', transform: '{ "n": n, "celsius": (f - 32) * 5 / 9 }' }

test('hostile expressions are acknowledged, and other devices do not feel them', async (t) => {
  const { sink, program, open } = await start(t, [
    good, ...Object.entries(HOSTILE).map(([name, transform]) => ({ topic: `hostile/${name}`, type: 'hostile', transform }))
  ])
  const names = Object.keys(HOSTILE)
  const [plain, transformed, ...evil] = await Promise.all(['plain', 'transformed', ...names].map(open)) as [RawMqtt, RawMqtt, ...RawMqtt[]]
  const send = async (device: RawMqtt, topic: string, payload: string, messageId: number) => {
    const begun = performance.now()
    device.publish({ topic, payload, qos: 1, messageId })
    t.equal((await device.next('puback')).messageId, messageId)
    return performance.now() - begun
  }
  await send(transformed, 'good', '{"n":0,"f":32}', 1)
  for (const [at, device] of evil.entries()) {
    device.write(Buffer.concat([1, 2, 3, 4, 5].map((messageId) => {
      return publishBytes({ topic: `hostile/${names[at]}`, payload: EVIL, qos: 1, messageId })
    })))
  }
  const [plainMs, transformedMs]: [number[], number[]] = [[], []]
  for (let n = 1; n <= 100; n++) plainMs.push(await send(plain, 'plain', String(n), n))
  for (let n = 1; n <= 20; n++) transformedMs.push(await send(transformed, 'good', JSON.stringify({ n, f: 212 }), n + 1))
  for (const device of evil) {
    for (let messageId = 1; messageId <= 5; messageId++) t.equal((await device.next('puback')).messageId, messageId, 'in order')
  }
  t.ok(Math.max(...plainMs) < 1500, `without a transform: ${Math.round(Math.max(...plainMs))} ms at most`)
  // Three hostile devices are slow, three times each; each time takes twice the time and a new process at most.
  t.ok(Math.max(...transformedMs) < 15_000, `behind them: ${Math.round(Math.max(...transformedMs))} ms at most`)

  const ofGood = () => sink.requests.filter((request) => request.header('ce-type') === 'good')
  await until(() => ofGood().length === 21)
  const goodOnes = ofGood()
  t.same(goodOnes.map(({ body }) => JSON.parse(body.toString()) as unknown),
    Array.from({ length: 21 }, (_, n) => ({ n, celsius: n === 0 ? 0 : 100 })), 'each once, in order')
  t.equal(goodOnes[0]?.header('content-type'), 'application/json')
  const metrics = parseMetrics(await (await fetch(`http://${program.address('http')}/metrics`)).text())
  t.ok((sampleOf(metrics, 'mqtt_broker_source_transforms_stopped_total') ?? 0) > 0)
  for (const device of [plain, transformed, ...evil]) device.abort()
  const [child] = childrenOf(program.pid)
  t.equal(await program.stop(), 0)
  t.notOk(isAlive(child as number), 'the process of transforms has ended before')
})

test('two devices whose transforms never end take no event from others, on their rule or another, and little time', async (t) => {
  const rule = { topic: 'regex/#', type: 'regex', transform: `{ "n": n, "ok": ${HOSTILE['regex']} ? true : false }` }
  const { sink, program, open } = await start(t, [good, rule])
  const [same, other, ...evil] = await Promise.all(['same', 'other', 'evil', 'bad'].map(open)) as [RawMqtt, RawMqtt, ...RawMqtt[]]
  // Every third one is innocent; as many as a device may have under way.
  for (const device of evil) {
    device.write(Buffer.concat(Array.from({ length: 60 }, (_, n) => {
      return publishBytes({ topic: 'regex', payload: n % 3 === 2 ? '{"t":"aa"}' : EVIL, qos: 1, messageId: n + 1 })
    })))
  }
  const publishAll = async (device: RawMqtt, topic: string) => {
    let longestMs = 0
    for (let n = 1; n <= 20; n++) {
      const begun = performance.now()
      device.publish({ topic, payload: JSON.stringify({ n, f: 32, t: 'aa' }), qos: 1, messageId: n })
      t.equal((await device.next('puback')).messageId, n)
      longestMs = Math.max(longestMs, performance.now() - begun)
    }
    return longestMs
  }
  const waits = await Promise.all([publishAll(same, 'regex/same'), publishAll(other, 'good')])
  // One job of each of the others: twice 450 ms and a new process, where all that waits would take some 40 s.
  t.ok(Math.max(...waits) < 80 * TIMEOUT_MS, `${waits.map(Math.round).join(' and ')} ms at most`)
  for (const device of evil) {
    for (let messageId = 1; messageId <= 60; messageId++) t.equal((await device.next('puback')).messageId, messageId)
  }
  await until(() => sink.requests.filter((request) => /(same|other)$/.test(request.header('ce-source') ?? '')).length === 40)
  for (const [type, source, data] of [['regex', 'same', { ok: true }], ['good', 'other', { celsius: 0 }]] as const) {
    const events = sink.requests.filter((request) => request.header('ce-source')?.endsWith(source))
    t.same(events.map(({ body }) => JSON.parse(body.toString()) as unknown),
      Array.from({ length: 20 }, (_, n) => ({ n: n + 1, ...data })), 'each once, in order')
    t.ok(events.every((request) => request.header('ce-type') === type))
  }
  const metrics = parseMetrics(await (await fetch(`http://${program.address('http')}/metrics`)).text())
  t.equal(sampleOf(metrics, 'mqtt_broker_source_transforms_stopped_total'), 6, 'three times each')
  for (const device of [same, other, ...evil]) device.abort()
  t.equal(await program.stop(), 0)
})

test('a transform under way is finished and acknowledged when the program is told to end', async (t) => {
  const { program, open } = await start(t, [{ topic: 'regex', transform: HOSTILE['regex'] }, good])
  const device = await open('device')
  device.publish({ topic: 'good', payload: '{"f":1}', qos: 1, messageId: 1 })
  await device.next('puback')
  const [child] = childrenOf(program.pid)
  device.write(Buffer.concat([
    publishBytes({ topic: 'regex', payload: EVIL, qos: 1, messageId: 2 }), publishBytes({ topic: 'good', payload: '{"f":2}', qos: 1, messageId: 3 })
  ]))
  await device.ping()
  // As Ctrl-C does: every process of the terminal gets it.
  process.kill(child as number, 'SIGINT')
  t.equal(await program.stop(), 0)
  await device.closed
  t.same(device.idsOf('puback'), [2, 3])
})

test('a transform process that is killed is replaced, and ends with its program', async (t) => {
  const { sink, program, open } = await start(t, [good])
  const device = await open('device')
  for (let messageId = 1; messageId <= 3; messageId++) {
    device.publish({ topic: 'good', payload: `{"n":${messageId},"f":32}`, qos: 1, messageId })
    await device.next('puback')
    process.kill(childrenOf(program.pid)[0] as number, 'SIGKILL')
  }
  await sink.waitFor(3)
  t.same(sink.requests.map(({ body }) => (JSON.parse(body.toString()) as { n: number }).n), [1, 2, 3])
  device.publish({ topic: 'good', payload: '{"n":4,"f":32}', qos: 1, messageId: 4 })
  await device.next('puback')
  const [child] = childrenOf(program.pid)
  await program.kill()
  await until(() => !isAlive(child as number))
  t.pass('it has no more input, and ends')
})

function isAlive (pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('a schema that refuses closes the connection, one that drops acknowledges', async (t) => {
  const inline = { type: 'object', required: ['v'] }
  const { sink, program, open } = await start(t, [
    { topic: 'refuse', type: 'refuse', schema: { inline, otherwise: 'refuse' } },
    { topic: 'drop', type: 'drop', schema: { inline, otherwise: 'drop' } }
  ])
  const device = await open('device')
  for (const [at, [topic, payload]] of [['drop', '{}'], ['drop', '{"v":1}'], ['refuse', '{"v":2}']].entries()) {
    device.publish({ topic: topic!, payload: payload!, qos: 1, messageId: at + 1 })
    t.equal((await device.next('puback')).messageId, at + 1)
  }
  device.publish({ topic: 'refuse', payload: '{}', qos: 1, messageId: 4 })
  await device.closed
  t.same(device.idsOf('puback'), [])
  t.match(await program.logged('The rule events.rules[0] refuses the publish: the data does not fit the schema: ' +
    'required "v" at the top; it was not acknowledged.'), { code: 'MBS_ERR_MAPPING_REFUSED', clientId: 'device' })
  await sink.waitFor(2)
  const metrics = parseMetrics(await (await fetch(`http://${program.address('http')}/metrics`)).text())
  t.equal(sampleOf(metrics, 'mqtt_broker_source_publishes_left_out_total{reason="schema"}'), 1)
  t.equal(sampleOf(metrics, 'mqtt_broker_source_publishes_refused_total{code="MBS_ERR_MAPPING_REFUSED"}'), 1)
  t.equal(await program.stop(), 0)
})

test('check and run say what is wrong with transforms and schemas, and where', async (t) => {
  const directory = t.testdir({
    'wrong.yaml': 'events:\n  rules:\n    - { topic: a, transform: "{ \\"a\\": " }\n    - { topic: b, schema: { inline: { requierd: [] } } }\n' +
      '    - { topic: c, schema: { } }\n    - { topic: d, transform: "$", contentType: text/plain }\n',
    'files.yaml': 'events:\n  rules:\n    - { topic: a, schema: { file: broken.json } }\n    - { topic: b, schema: { file: elsewhere.json } }\n' +
      '    - { topic: c, schema: { file: missing.json } }\n    - { topic: d, schema: { file: ok.json } }\n',
    'broken.json': '{ "type": ',
    'elsewhere.json': '{ "$ref": "https://example.com/x.json" }',
    'ok.json': '{ "type": "object" }'
  })
  const [wrong, files, run] = ['wrong.yaml', 'files.yaml', 'files.yaml'].map((file, at) =>
    spawnProgram(t, [at === 2 ? 'run' : 'check', '--config', file], { cwd: directory })) as [Program, Program, Program]
  t.equal((await wrong.exited).code, 78)
  t.match(wrong.stderr, /events\.rules\[0\]\.transform: found "\{ \\"a\\": "; allowed: a JSONata expression; .* at character \d+ \(file wrong\.yaml:3\)/)
  t.match(wrong.stderr, /events\.rules\[1\]\.schema\.inline: found a section; .*unknown keyword: "requierd" \(file wrong\.yaml:4\)/)
  t.match(wrong.stderr, /events\.rules\[2\]\.schema: found a section; allowed: a section with either file or inline/)
  t.match(wrong.stderr, /events\.rules\[3\]\.contentType: found "text\/plain"; .*no type of JSON/)
  t.equal((await files.exited).code, 78)
  t.match(files.stderr, /events\.rules\[0\]\.schema\.file: found "broken\.json"; .*\n {2}MBS_ERR_MAPPING_SCHEMA: The JSON Schema broken\.json/)
  t.match(files.stderr, /events\.rules\[1\]\.schema\.file:.*\n {2}MBS_ERR_MAPPING_SCHEMA: .*refers to https:\/\/example\.com\/x\.json/)
  t.match(files.stderr, /events\.rules\[2\]\.schema\.file:.*\n {2}MBS_ERR_MAPPING_SCHEMA: .*ENOENT/)
  t.notMatch(files.stderr, 'rules[3]')
  t.equal((await run.exited).code, 78)
  t.match(run.stderr, 'MBS_ERR_MAPPING_SCHEMA')
})
