import { test } from 'tap'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parts } from '../../lib/error-table.ts'
import { createError, errorTable, EXIT_CONFIG, isMbsError, reasonOf, type ErrorCode } from '../../lib/errors.ts'

const root = join(import.meta.dirname, '../..')
const codes = Object.keys(errorTable) as ErrorCode[]

/** The texts of all TypeScript files below some folders, but for this one. */
function sources (...folders: string[]): string[] {
  return folders.flatMap((folder) => readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && join(entry.parentPath, entry.name) !== import.meta.filename)
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'utf8')))
}

test('every code is documented with its sentence and remedy', async (t) => {
  const page = readFileSync(join(root, 'docs/errors.md'), 'utf8')
  for (const code of codes) t.ok(page.includes(`| \`${code}\` |`) && page.includes(errorTable[code].help.replaceAll('|', '\\|')), code)
})

test('every code is raised somewhere in lib or bin', async (t) => {
  const texts = sources('lib', 'bin')
  for (const code of codes) t.ok(texts.some((text) => new RegExp(`createError\\(\\s*'${code}'`).test(text)), code)
})

test('every code is asserted by a test', async (t) => {
  const texts = sources('test')
  for (const code of codes) t.ok(texts.some((text) => text.includes(`'${code}'`)), code)
})

test('a code that is raised or asserted is in the table', async (t) => {
  const unknown = sources('lib', 'bin', 'test').flatMap((text) => text.match(/'MBS_ERR_[A-Z0-9_]+'/g) ?? [])
    .map((quoted) => quoted.slice(1, -1)).filter((code) => !codes.includes(code as ErrorCode))
  t.strictSame([...new Set(unknown)], [])
})

test('no code stands in two parts of the table', async (t) => {
  t.strictSame(parts.flatMap((part) => Object.keys(part)), codes)
})

test('a code says its stage, and its sentences are sentences', async (t) => {
  for (const code of codes) {
    const { message, help } = errorTable[code]
    t.match(code, /^MBS_ERR_[A-Z]+_[A-Z0-9_]+$/)
    t.match(help, /^[A-Z`].*[.!]$/, `${code}: help`)
    t.match(message, /[.!]$|\{problems\}$/, `${code}: message`)
  }
})

test('an error carries sentence, remedy and what its code stands for', async (t) => {
  const cause = new Error('EACCES')
  const error = createError('MBS_ERR_CONFIG_FILE', { file: 'a.yaml', reason: 'it is gone' }, cause)
  t.equal(error.message, 'The configuration file a.yaml cannot be read: it is gone.')
  t.match(error, { name: 'MbsError', code: 'MBS_ERR_CONFIG_FILE', exitCode: EXIT_CONFIG, retryable: false, connack: undefined })
  t.equal(error.cause, cause)
  t.equal(error.help, errorTable.MBS_ERR_CONFIG_FILE.help)
  t.match(createError('MBS_ERR_BROKER_UNAVAILABLE'), { retryable: true, connack: undefined, exitCode: 1 })
  t.notOk('cause' in createError('MBS_ERR_BROKER_UNAVAILABLE'))
})

test('a placeholder without a detail stays visible, and details are not searched for placeholders', async (t) => {
  t.match(createError('MBS_ERR_CONFIG_FILE', { file: '{reason}' }).message, 'file {reason} cannot be read: {reason}.')
})

test('errors of this program are told from others, and by code', async (t) => {
  const error = createError('MBS_ERR_OUTBOX_CLOSED')
  t.equal(isMbsError(error), true)
  t.equal(isMbsError(error, 'MBS_ERR_OUTBOX_CLOSED'), true)
  t.equal(isMbsError(error, 'MBS_ERR_OUTBOX_FULL'), false)
  t.equal(isMbsError(new Error('x')), false)
  t.equal(isMbsError(undefined), false)
})

test('a reason is what was caught, in words, without a full stop', async (t) => {
  t.equal(reasonOf(new Error('it broke.')), 'it broke')
  t.equal(reasonOf(new TypeError('')), 'TypeError')
  t.equal(reasonOf('text.'), 'text')
})
