import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parseUsers, readUsersFile } from '../../../lib/config/users-file.ts'
import { checkConfig } from '../../../lib/config/check.ts'

const HASH = `$scrypt$ln=14,r=8,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`

const names = (text: string) => parseUsers(text, 'users.yaml').map(({ name }) => name)

/** What the error of a text says. */
function reason (text: string): string {
  try {
    parseUsers(text, 'users.yaml')
    return 'nothing is wrong'
  } catch (error) {
    return `${(error as { code: string }).code} ${(error as Error).message}`
  }
}

test('users are read with what stands below their names', async (t) => {
  const users = parseUsers(`# mine\nusers:\n  a:\n    password: ${HASH} # made today\n  b: { password: "${HASH}", clientId: "b-*" }\n`, 'users.yaml')
  t.match(users, [{ name: 'a', password: { ln: 14, r: 8, p: 1 }, clientId: undefined }, { name: 'b', clientId: { parts: ['b-'], open: true } }])
})

test('a file without users is one', async (t) => {
  for (const text of ['', '# nothing\n', 'users:\n', 'users: {}\n', 'users: ~\n'.replace('~', ''), '---\n']) t.strictSame(names(text), [], JSON.stringify(text))
})

test('a name is a text, whatever it looks like', async (t) => {
  const text = ['0123', '1e3', 'true', 'null', '0x10', '__proto__', 'constructor', '"a: b"', 'ö', '~'].map((name) => `  ${name}: { password: "${HASH}" }\n`).join('')
  t.strictSame(names(`users:\n${text}`), ['0123', '1e3', 'true', 'null', '0x10', '__proto__', 'constructor', 'a: b', 'ö', '~'])
})

test('what cannot be used is named with its line and its user, all of it at once', async (t) => {
  const text = `users:\n  a: { password: secret }\n  b: {}\n  c: { password: "${HASH}", clientId: "{x}" }\n  d: { password: "${HASH}", passwd: x }\n  e: 5\n`
  t.match(reason(text), /^MBS_ERR_ACCESS_USERS .*users\.yaml.*line 2: user "a".*line 3: user "b".*missing.*line 4: user "c".*clientId.*line 5: user "d".*line 6: user "e"/)
  t.notMatch(reason(text), 'secret')
})

test('a name twice is a mistake', async (t) => {
  t.match(reason(`users:\n  a: { password: "${HASH}" }\n  "a": { password: "${HASH}" }\n`), /line 3: Map keys must be unique/)
})

test('whatever else the file is, the answer is an error with its name', async (t) => {
  for (const text of [
    '5', 'users: 5', 'users: []', '[]', 'user: {}', 'users: {', '\tusers:', 'users: {}\nother: {}', `users: { "": { password: "${HASH}" } }`,
    `users: { "a\\0b": { password: "${HASH}" } }`, `users: { ${'x'.repeat(257)}: { password: "${HASH}" } }`, 'users:\n  a: &a { password: x }\n  b: *a\n',
    `users:\n  [a]: { password: "${HASH}" }\n`, 'users: {}\n---\nusers: {}\n', `users:\n  a:\n    password: !!binary ${HASH}\n`, 'users:\n  a:\n    password: [x]\n'
  ]) t.match(reason(text), /^MBS_ERR_ACCESS_USERS .*users\.yaml/, JSON.stringify(text.slice(0, 60)))
})

test('mistakes without end are not told without end', async (t) => {
  const text = `users:\n${Array.from({ length: 1000 }, (_, at) => `  u${at}: {}\n`).join('')}`
  t.match(reason(text), /and 995 more/)
  t.ok(reason(text).length < 1000)
})

test('a file that is not there, or is none, is told with its path', async (t) => {
  const directory = t.testdir()
  mkdirSync(join(directory, 'folder'))
  for (const name of ['missing.yaml', 'folder']) {
    await t.rejects(readUsersFile(join(directory, name)), { code: 'MBS_ERR_ACCESS_USERS', exitCode: 78, message: name })
  }
})

test('check finds what is wrong with a user file', async (t) => {
  const file = join(t.testdir(), 'users.yaml')
  const settings = { access: { users: file } }
  const check = () => checkConfig({ env: {}, settings }).problems.map(({ path, error }) => [path, error?.code])
  t.strictSame(check(), [['access.users', 'MBS_ERR_ACCESS_USERS']])
  writeFileSync(file, 'users: { a: { password: hush } }')
  t.strictSame(check(), [['access.users', 'MBS_ERR_ACCESS_USERS']])
  writeFileSync(file, `users: { a: { password: "${HASH}" } }`)
  t.strictSame(check(), [])
})
