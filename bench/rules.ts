/** What a rule costs a publish: the mapper alone, with no rule, ten, a thousand, ten thousand. No disk, no network. */
import { cpus } from 'node:os'
import { compileRules, type EventRule } from '../lib/mapping/event-rules.ts'
import { createMapper } from '../lib/mapping/mapper.ts'
import type { Publish } from '../lib/message.ts'

const PUBLISHES = 200_000
const ROUNDS = 5

const rule = (at: number): EventRule => ({
  topic: `sites/site-${at}/{device}/telemetry`,
  drop: false,
  type: 'com.example.telemetry',
  source: `/sites/site-${at}/{device}`,
  partitionKey: '{device}',
  extensions: { site: `site-${at}` }
})

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

/** Nanoseconds for one publish; the median of the rounds. */
function costOf (count: number): number {
  const rules = count === 0 ? {} : { rules: compileRules(Array.from({ length: count }, (_, at) => rule(at))) }
  const map = createMapper({ name: 'bench', overrides: {}, ...rules })
  const publishes = publishesFor(count)
  const rounds = Array.from({ length: ROUNDS + 1 }, () => {
    const begun = process.hrtime.bigint()
    for (let at = 0; at < PUBLISHES; at++) map(publishes[at % publishes.length] as Publish, 'id')
    return Number(process.hrtime.bigint() - begun) / PUBLISHES
  })
  return rounds.slice(1).sort((a, b) => a - b)[ROUNDS >> 1] as number
}

console.log(`${cpus().length} x ${cpus()[0]?.model.trim()}, Node ${process.version}; ${PUBLISHES} publishes, median of ${ROUNDS}`)
for (const count of [0, 10, 1000, 10_000]) {
  console.log(`${String(count).padStart(6)} rules ${costOf(count).toFixed(0).padStart(8)} ns a publish`)
}
