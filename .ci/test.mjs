// Runs all tests, holds the floor of coverage, lets nothing be skipped in CI, and prints the tests' own count last.
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'

const LINE_FLOOR = 95
const tap = 'node_modules/.bin/tap'
const tapFile = '.tap/ci.tap'
rmSync(tapFile, { force: true })

const run = spawnSync(tap, ['--allow-incomplete-coverage', '--reporter=terse', `--output-file=${tapFile}`], {
  stdio: 'inherit', env: { ...process.env, TAP: '0' }
})

const report = spawnSync(tap, ['report', 'json-summary', 'text'], { encoding: 'utf8' })
process.stdout.write(report.stdout ?? '')

// The summary that tap itself writes at the end of the stream: # { total: 3, pass: 2, fail: 1, skip: 1 }
const lines = readFileSync(tapFile, 'utf8').split('\n')
const summary = lines.findLast((line) => /^# \{ total: \d+/.test(line)) ?? ''
const count = (name) => Number(new RegExp(`\\b${name}: (\\d+)`).exec(summary)?.[1] ?? 0)
const skipped = count('skip') + count('todo')
const problems = []
if (run.status !== 0) problems.push(`tap ended with ${run.status ?? run.signal}`)
if (count('total') === 0) problems.push('no test ran')
if (skipped > 0 && process.env.CI === 'true') {
  problems.push(`${skipped} skipped, and in CI nothing may be`)
  for (const line of lines) if (/^\s*ok .*# (skip|todo)/i.test(line)) console.error(line.trim())
}

let coverage
try {
  coverage = JSON.parse(readFileSync('.tap/report/coverage-summary.json', 'utf8')).total.lines.pct
} catch (error) {
  problems.push(`the coverage cannot be read: ${error.message}`)
}
if (coverage !== undefined) {
  console.log(`lines of lib covered: ${coverage} %, floor ${LINE_FLOOR} %`)
  if (!(coverage >= LINE_FLOOR)) problems.push(`coverage is below ${LINE_FLOOR} %`)
}
printFailures()
for (const problem of problems) console.error(`failed: ${problem}`)

console.log(`${count('pass')} passed, ${count('fail')} failed`)
process.exitCode = problems.length === 0 ? 0 : 1

/** What failed, where and why: of a long log hardly more than the end is looked at. */
function printFailures () {
  const subtests = []
  for (const [at, line] of lines.entries()) {
    const [, indent, text] = /^( *)(.*)$/.exec(line)
    const depth = indent.length / 4
    if (text.startsWith('# Subtest: ')) subtests.splice(depth, Infinity, text.slice('# Subtest: '.length))
    // One with a time is the sum of what stands in it.
    if (!text.startsWith('not ok ') || text.includes(' # time=')) continue
    console.log(`\nnot ok: ${[...subtests.slice(0, depth), text.replace(/^not ok \d+ - /, '')].join(' > ')}`)
    const details = lines.slice(at + 1, at + 40)
    const end = details.findIndex((detail) => detail.trim() === '...')
    for (const detail of details.slice(0, end)) console.log(detail.slice(indent.length, indent.length + 240))
  }
}
