import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { parse } from 'yaml'
import { loadConfig } from '../../lib/config/load.ts'
import { previewEvent } from '../../lib/map-preview.ts'

const page = readFileSync(new URL('../../docs/mapping.md', import.meta.url), 'utf8')

/** A rule, and below it what payloads become by it: `payload  ->  data`, or `payload  ->  dead letter: …`. */
const EXAMPLE = /```yaml\n(- topic: [^`]+)```\n\n```text\n([^`]+)```/g

test('what the page says that payloads become, they become', async (t) => {
  const examples = [...page.matchAll(EXAMPLE)]
  t.equal(examples.length, 3)
  for (const [, rules, lines] of examples) {
    const { config } = loadConfig({ env: {}, settings: { events: { rules: parse(rules!) as unknown[], transformTimeout: 'PT5S' } } })
    const topic = config.events.rules[0]!.topic.replace(/\{\w+\}/g, 'north')
    for (const line of lines!.trimEnd().split('\n')) {
      const [payload, expected] = line.split(/ +-> +/) as [string, string]
      const { outcome } = await previewEvent(config, { topic, payload: Buffer.from(payload) })
      const said = outcome.kind === 'event'
        ? outcome.event.data.toString()
        : outcome.kind === 'set-aside' ? `dead letter: ${outcome.aside.reason}: ${outcome.aside.detail}` : outcome.kind
      t.equal(said, expected, line)
    }
  }
})
