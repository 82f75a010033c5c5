/** Run by tap before the tests, so that not each of their processes loads a compiler for what is new. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { javascriptOf } from './javascript.mjs'

const root = join(import.meta.dirname, '../../..')
for (const folder of ['lib', 'bin', 'test']) {
  const files = readdirSync(join(root, folder), { recursive: true }).filter((name) => name.endsWith('.ts'))
  for (const name of files) await javascriptOf(join(root, folder, name))
}
