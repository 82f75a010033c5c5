import { test } from 'tap'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { generatedFiles } from '../../bin/generate.ts'

test('generated files say what their sources say: run `npm run generate` after changing these', async (t) => {
  const files = generatedFiles()
  t.ok(files.size >= 5)
  for (const [path, text] of files) {
    t.equal(readFileSync(join(import.meta.dirname, '../..', path), 'utf8'), text, path)
  }
})
