/**
 * TypeScript as JavaScript: what is not JavaScript is blanked out, so that lines and columns stay what they are and no
 * source map is needed. What came out is kept by its content: a process that begins must not have to load a compiler.
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const directory = join(import.meta.dirname, '../../../node_modules/.cache/javascript')
mkdirSync(directory, { recursive: true })

/** @param path of a file in TypeScript @returns its text in JavaScript */
export async function javascriptOf (path) {
  const text = readFileSync(path, 'utf8')
  const kept = join(directory, `${createHash('sha256').update(text).digest('hex')}.js`)
  try {
    return readFileSync(kept, 'utf8')
  } catch {
    const { default: blankSpace } = await import('ts-blank-space')
    const javascript = blankSpace(text, (node) => { throw new Error(`${path}: not JavaScript with types: ${node.getText()}`) })
    const draft = `${kept}.${process.pid}`
    writeFileSync(draft, javascript)
    renameSync(draft, kept)
    return javascript
  }
}
