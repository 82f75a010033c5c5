// `npm test`: all tests. Some make certificates with the openssl program, and those of the chart need what
// .ci/chart-tools installs; without these they are left out, and it is said.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'

/** The tests that run openssl: themselves, or in a file of test/support that they import. */
function needOpenssl () {
  const files = readdirSync('test', { recursive: true }).map((name) => join('test', name)).filter((name) => name.endsWith('.ts'))
  const texts = new Map(files.map((file) => [file, readFileSync(file, 'utf8')]))
  const needing = new Set(files.filter((file) => /'openssl'/.test(texts.get(file))))
  for (let size = -1; size !== needing.size;) {
    size = needing.size
    for (const [file, text] of texts) {
      const imports = [...text.matchAll(/from '(\.[^']*)'/g)].map(([, path]) => join(dirname(file), path))
      if (imports.some((path) => needing.has(path))) needing.add(file)
    }
  }
  return [...needing].filter((file) => file.endsWith('.test.ts')).sort()
}

/** The tools of the chart's tests that are neither on the PATH nor where .ci/chart-tools puts them. */
function missingChartTools () {
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'mqtt-broker-source/bin')
  const folders = [...(process.env.PATH ?? '').split(delimiter), cache]
  return ['helm3', 'helm4', 'kubeconform'].filter((name) => !folders.some((folder) => existsSync(join(folder, name))))
}

const args = ['--allow-incomplete-coverage', ...process.argv.slice(2)]
const missing = spawnSync('openssl', ['version']).status !== 0
const untested = missing ? needOpenssl() : []
if (missing) {
  for (const file of untested) args.push(`--exclude=${file}`)
  console.error(`NOT TESTED, because the openssl program is missing:\n  ${untested.join('\n  ')}`)
}
const chartTools = missingChartTools()
const chartNote = `NOT TESTED: most of test/chart, because there is no ${chartTools.join(', ')}; with go, .ci/chart-tools installs them`
if (chartTools.length > 0) console.error(chartNote)
const { status } = spawnSync('node_modules/.bin/tap', args, { stdio: 'inherit' })
if (missing) console.error(`NOT TESTED, because the openssl program is missing: ${untested.length} files, named above`)
if (chartTools.length > 0) console.error(chartNote)
process.exitCode = status ?? 1
