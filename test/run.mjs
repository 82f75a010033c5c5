// `npm test`: all tests. Some make certificates with the openssl program; without it they are left out, and it is said.
import { spawnSync } from 'node:child_process'

const NEED_OPENSSL = [
  'test/integration/listener-tls.test.ts', 'test/integration/sink-tls.test.ts', 'test/integration/config-files.test.ts',
  'test/unit/config/check.test.ts', 'test/unit/config/effective.test.ts', 'test/unit/config/knative.test.ts'
]

const args = ['--allow-incomplete-coverage', ...process.argv.slice(2)]
const missing = spawnSync('openssl', ['version']).status !== 0
if (missing) {
  for (const file of NEED_OPENSSL) args.push(`--exclude=${file}`)
  console.error(`NOT TESTED, because the openssl program is missing:\n  ${NEED_OPENSSL.join('\n  ')}`)
}
const { status } = spawnSync('node_modules/.bin/tap', args, { stdio: 'inherit' })
if (missing) console.error(`NOT TESTED, because the openssl program is missing: ${NEED_OPENSSL.length} files, named above`)
process.exitCode = status ?? 1
