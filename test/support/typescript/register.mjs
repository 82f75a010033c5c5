/** Given to node with --import: lets it import TypeScript, as later versions of it do by themselves. */
import { register } from 'node:module'

register('./hooks.mjs', import.meta.url)
