import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { parse } from 'yaml'
import { loadConfig } from '../../lib/config/load.ts'
import { previewEvent, type EventPreview } from '../../lib/map-preview.ts'

const page = readFileSync(new URL('../../docs/mapping.md', import.meta.url), 'utf8')

/** A rule, and below it what payloads become by it: `payload  ->  data`, or `payload  ->  dead letter: …`. */
const EXAMPLE = /```yaml\n(- topic: [^`]+)```\n\n```text\n([^`]+)```/g

function told (outcome: EventPreview['outcome']): string {
  switch (outcome.kind) {
    case 'event': return outcome.event.data.toString()
    case 'set-aside': return `dead letter: ${outcome.aside.reason}: ${outcome.aside.detail}`
    case 'left-out': return `no event: ${outcome.reason}`
    case 'impossible':
    case 'refused': return outcome.kind
  }
}

test('what the page says that payloads become, they become', async (t) => {
  const examples = [...page.matchAll(EXAMPLE)]
  t.equal(examples.length, 5)
  for (const [, rules, lines] of examples) {
    const { config } = loadConfig({ env: {}, settings: { events: { rules: parse(rules!) as unknown[], transformTimeout: 'PT5S' } } })
    const topic = config.events.rules[0]!.topic.replace(/\{\w+\}/g, 'north')
    for (const line of lines!.trimEnd().split('\n')) {
      const [payload, expected] = line.split(/ +-> +/) as [string, string]
      const { outcome } = await previewEvent(config, { topic, payload: Buffer.from(payload) })
      t.equal(told(outcome), expected, line)
    }
  }
})
