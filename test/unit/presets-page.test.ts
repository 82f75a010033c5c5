/** docs/presets.md says what the presets do. */
import { readFileSync } from 'node:fs'
import { test } from 'tap'
import type { PresetName } from '../../lib/mapping/event-rules.ts'
import { PRESETS } from '../../lib/mapping/presets/presets.ts'
import { tableOf } from '../support/presets-page.ts'

const page = readFileSync(new URL('../../docs/presets.md', import.meta.url), 'utf8')

test('the page has the rules of each preset, as they are, and names the document they follow', async (t) => {
  for (const name of Object.keys(PRESETS) as PresetName[]) {
    const [, section = ''] = page.split(`\n## ${name}\n`)
    t.ok(section.includes(tableOf(name)), `the table of ${name} is:\n${tableOf(name)}`)
    t.match(section.split('\n## ', 1)[0], /\(https:\/\//, name)
  }
})
