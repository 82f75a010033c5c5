/** What register.mjs registers: the hook by which node loads modules. */
import { fileURLToPath } from 'node:url'
import { javascriptOf } from './javascript.mjs'

export async function load (url, context, nextLoad) {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return await nextLoad(url, context)
  return { format: 'module', shortCircuit: true, source: await javascriptOf(fileURLToPath(url)) }
}
