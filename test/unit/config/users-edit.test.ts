import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { deleteUser, setUser } from '../../../lib/config/users-edit.ts'
import { parseUsers } from '../../../lib/config/users-file.ts'

const HASH = `$scrypt$ln=14,r=8,p=1$${'A'.repeat(22)}$${'A'.repeat(43)}`
const OTHER = HASH.replace('AA$', 'BA$')

const read = (file: string) => readFileSync(file, 'utf8')
const namesIn = (file: string) => parseUsers(read(file), file).map(({ name }) => name)

test('a new file can be read by its owner alone', async (t) => {
  const file = join(t.testdir(), 'users.yaml')
  t.equal(await setUser(file, 'a', HASH), 'added')
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.strictSame(namesIn(file), ['a'])
  t.strictSame(readdirSync(join(file, '..')), ['users.yaml'], 'and nothing is left beside it')
})

test('comments, other users and what else an entry has stay as they are', async (t) => {
  const file = join(t.testdir(), 'users.yaml')
  const text = `# ours\nusers:\n  # the first\n  a:\n    password: ${HASH} # old\n    clientId: "a-*"\n\n  # the second\n  b:\n    password: ${HASH}\n\n# the end\n`
  writeFileSync(file, text)
  t.equal(await setUser(file, 'a', OTHER), 'changed')
  t.equal(read(file), text.replace(HASH, OTHER))
  await setUser(file, 'c', HASH)
  for (const comment of ['# ours', '# the first', '# the second', '# the end']) t.match(read(file), comment)
  t.strictSame(namesIn(file), ['a', 'b', 'c'])
  t.equal(await deleteUser(file, 'b'), true)
  t.equal(await deleteUser(file, 'b'), false)
  t.strictSame(namesIn(file), ['a', 'c'])
})

test('any name can be set and removed again', async (t) => {
  const file = join(t.testdir(), 'users.yaml')
  const names = ['0123', '__proto__', 'a: b', '# x', '- y', '{z}', '*', '&a', '!t', '"', "'", ' ', 'ö', '~', 'null', 'users', '?']
  for (const name of names) t.equal(await setUser(file, name, HASH), 'added', name)
  t.strictSame(namesIn(file), names)
  for (const name of names) t.equal(await deleteUser(file, name), true, name)
  t.strictSame(namesIn(file), [])
})

test('an empty file, one of comments and one in braces are built upon', async (t) => {
  const file = join(t.testdir(), 'users.yaml')
  for (const text of ['', '# nothing yet\n', 'users:\n', 'users: {}\n', `users: { b: { password: "${HASH}" } }\n`]) {
    writeFileSync(file, text)
    t.equal(await deleteUser(file, 'a'), false)
    t.equal(read(file), text, 'untouched')
    await setUser(file, 'a', HASH)
    t.equal(namesIn(file).at(-1), 'a', JSON.stringify(text))
  }
})

test('the mode of a file is kept, and a link stays a link', async (t) => {
  const directory = t.testdir()
  mkdirSync(join(directory, 'real'))
  const real = join(directory, 'real', 'users.yaml')
  const link = join(directory, 'users.yaml')
  writeFileSync(real, 'users: {}\n')
  chmodSync(real, 0o640)
  symlinkSync(real, link)
  await setUser(link, 'a', HASH)
  t.equal(statSync(real).mode & 0o777, 0o640)
  t.strictSame(namesIn(real), ['a'])
  t.strictSame(readdirSync(directory).sort(), ['real', 'users.yaml'])
})

test('a broken file, a name that cannot be, and a directory that cannot be written change nothing', async (t) => {
  const directory = t.testdir()
  const file = join(directory, 'users.yaml')
  writeFileSync(file, 'users: { a: { password: x } }\n')
  await t.rejects(setUser(file, 'b', HASH), { code: 'MBS_ERR_ACCESS_USERS' })
  t.equal(read(file), 'users: { a: { password: x } }\n')
  for (const name of ['', 'a\nb', 'x'.repeat(257)]) await t.rejects(setUser(join(directory, 'new.yaml'), name, HASH), { code: 'MBS_ERR_ACCESS_USERS' })
  await t.rejects(setUser(join(directory, 'no', 'users.yaml'), 'a', HASH), { code: 'MBS_ERR_ACCESS_USERS' })
  t.strictSame(readdirSync(directory), ['users.yaml'])
})
