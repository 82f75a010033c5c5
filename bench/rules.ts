/**
 * What a rule costs a publish: the mapper alone, with no rule, ten, a thousand, ten thousand; with a schema; with a
 * transform, which runs in another process, one event after the other and many at a time. No disk, no network.
 */
import { cpus } from 'node:os'
import { compileRules, type EventRule } from '../lib/mapping/event-rules.ts'
import { createMapper, type Mapper } from '../lib/mapping/mapper.ts'
import { createTransformer } from '../lib/mapping/transformer.ts'
import type { Publish } from '../lib/message.ts'

const PUBLISHES = 200_000
const TRANSFORMED = 20_000
const ROUNDS = 5

const rule = (at: number): EventRule => ({
  topic: `sites/site-${at}/{device}/telemetry`,
  drop: false,
  type: 'com.example.telemetry',
  source: `/sites/site-${at}/{device}`,
  partitionKey: '{device}',
  extensions: { site: `site-${at}` }
})

const schema: EventRule['schema'] = {
  inline: {
    type: 'object',
    required: ['value', 'text'],
    properties: { value: { type: 'number', minimum: -50, maximum: 200 }, text: { type: 'string', maxLength: 200 } }
  },
  otherwise: 'deadLetter'
}

const transform = '{ "celsius": $round((value - 32) * 5 / 9, 2), "subject": $event.subject, "text": text }'

function publishesFor (rules: number): Publish[] {
  const payload = Buffer.from(JSON.stringify({ value: 21.5, text: 'x'.repeat(100) }))
  return Array.from({ length: 1000 }, (_, at) => ({
    client: { id: `device-${at}` },
    topic: `sites/site-${(at * 7919) % Math.max(1, rules)}/pump-${at}/telemetry`,
    payload,
    qos: 1,
    retain: false,
    dup: false,
    messageId: 1,
    will: false,
    receivedAt: Date.now()
  }))
}

const transformer = createTransformer({
  timeoutMs: 1000,
  resultBytes: 1024 * 1024,
  memoryBytes: 64 * 1024 * 1024,
  telemetry: { transformStopped: () => {}, transformPaused: () => {} },
  now: () => performance.now()
})

function mapperOf (rules: readonly EventRule[]): Mapper {
  const compiled = rules.length === 0 ? {} : { rules: compileRules(rules), transformer }
  return createMapper({ name: 'bench', overrides: {}, ...compiled })
}

/** Nanoseconds for one publish; the median of the rounds. */
async function costOf (publishes: number, round: () => unknown): Promise<number> {
  const rounds = []
  for (let number = 0; number <= ROUNDS; number++) {
    const begun = process.hrtime.bigint()
    await round()
    rounds.push(Number(process.hrtime.bigint() - begun) / publishes)
  }
  return rounds.slice(1).sort((a, b) => a - b)[ROUNDS >> 1] as number
}

async function costOfRules (rules: readonly EventRule[]): Promise<number> {
  const map = mapperOf(rules)
  const publishes = publishesFor(rules.length)
  return await costOf(PUBLISHES, () => {
    for (let at = 0; at < PUBLISHES; at++) void map(publishes[at % publishes.length] as Publish, 'id')
  })
}

/** @param atATime publishes under way, as those of so many devices */
async function costOfTransform (expression: string, atATime: number): Promise<number> {
  const map = mapperOf([{ ...rule(0), transform: expression }])
  const publishes = publishesFor(1)
  return await costOf(TRANSFORMED, async () => {
    for (let at = 0; at < TRANSFORMED; at += atATime) {
      const publish = async (n: number) => await map(publishes[(at + n) % publishes.length] as Publish, 'id')
      await Promise.all(Array.from({ length: atATime }, (_, n) => publish(n)))
    }
  })
}

const print = (what: string, ns: number): void => {
  console.log(`${what.padStart(34)} ${ns.toFixed(0).padStart(8)} ns a publish`)
}

console.log(`${cpus().length} x ${cpus()[0]?.model.trim()}, Node ${process.version}; ${PUBLISHES} publishes, ` +
  `${TRANSFORMED} with a transform, median of ${ROUNDS}`)
for (const count of [0, 10, 1000, 10_000]) {
  print(`${count} rules`, await costOfRules(Array.from({ length: count }, (_, at) => rule(at))))
}
print('a rule with a schema', await costOfRules([{ ...rule(0), schema }]))
for (const [what, expression] of [['$', '$'], ['a transform', transform]] as const) {
  for (const atATime of [1, 100]) print(`${what}, ${atATime} at a time`, await costOfTransform(expression, atATime))
}
await transformer.close()
