import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { VERSION } from '../../lib/version.ts'

test('the version that the program tells is that of the package', async (t) => {
  const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
  t.equal(VERSION, manifest.version)
})
