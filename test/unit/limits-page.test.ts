import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { listSettings } from '../../lib/config/settings.ts'
import { formatDuration, parseDuration } from '../../lib/config/units.ts'
import { errorTable } from '../../lib/errors.ts'
import { listMetrics } from '../../lib/telemetry/list-metrics.ts'
import { PREFIX } from '../../lib/telemetry/metrics.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/limits.md'), 'utf8')
const rows = page.split('\n').filter((line) => line.startsWith('|')).map((line) => line.split('|').map((cell) => cell.trim()))

/** The words of the page for a default. */
function inWords (value: unknown): string {
  if (value === 0 || value === '0') return 'no limit'
  const durationMs = parseDuration(String(value))
  if (durationMs !== undefined) {
    return durationMs >= 86_400_000 ? `${durationMs / 86_400_000} days` : `${formatDuration(durationMs).slice(2, -1)} s`
  }
  return String(value).replace(/(\d)([KMG]iB)/, '$1 $2')
}

test('every limit stands in the table, with its default', async (t) => {
  for (const { path, node } of listSettings().filter((setting) => setting.path.startsWith('limits.'))) {
    const row = rows.find((cells) => cells[1]?.includes(`\`${path}\``))
    const place = row?.[1]?.split(', ').indexOf(`\`${path}\``) ?? 0
    const defaults = row?.[2]?.split(', ') ?? []
    t.equal(defaults.length === 1 ? defaults[0] : defaults[place], inWords(node.default), path)
  }
})

test('every metric and every code of the page is there', async (t) => {
  const metrics = new Set(listMetrics().map(({ name }) => name))
  const named = rows.flatMap((cells) => cells.at(-2)?.match(/\b[a-z_]+(?=[`{])/g) ?? []).filter((name) => name.includes('_'))
  t.ok(named.length > 20)
  for (const name of named) t.ok(metrics.has(PREFIX + name), name)
  for (const code of page.match(/MBS_ERR_\w+/g) ?? []) t.ok(code in errorTable, code)
})
