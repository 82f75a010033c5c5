/**
 * Changes a user file for the command `passwd`: one entry, the rest as it is, comments included. Written beside the
 * file and put in its place, so that who reads meanwhile sees the old file or the new one.
 */
import { randomUUID } from 'node:crypto'
import { open, readFile, realpath, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import process from 'node:process'
import { isMap } from 'yaml'
import { createError } from '../errors.ts'
import { parseUsers, parseUsersDocument, toUsersError, userNameProblem } from './users-file.ts'

/** What a new file may: its owner reads and writes it, nobody else. */
const MODE = 0o600

/** A file as it is to be written, at the place where it really lies. */
interface Target {
  readonly path: string
  readonly mode: number
  /** Absent for a file that is new. */
  readonly owner?: { readonly uid: number, readonly gid: number }
}

const NEW_FILE = '# Users of mqtt-broker-source: `mqtt-broker-source passwd USER` makes and changes entries.\nusers: {}\n'

/**
 * Gives a user a password hash, and makes the user, or the file, where there is none.
 * @returns whether the user was there before
 * @throws MBS_ERR_ACCESS_USERS
 */
export async function setUser (file: string, name: string, hash: string): Promise<'added' | 'changed'> {
  const problem = userNameProblem(name)
  if (problem !== undefined) throw createError('MBS_ERR_ACCESS_USERS', { file, reason: `the name of the user cannot be used: ${problem}` })
  return await change(file, (document) => {
    const known = document.hasIn(['users', name])
    if (!isMap(document.get('users'))) document.set('users', document.createNode({}))
    const users = document.get('users')
    if (isMap(users)) users.flow = false
    document.setIn(['users', name, 'password'], hash)
    return known ? 'changed' : 'added'
  })
}

/**
 * Removes a user.
 * @returns false where there is no such user
 * @throws MBS_ERR_ACCESS_USERS
 */
export async function deleteUser (file: string, name: string): Promise<boolean> {
  return await change(file, (document) => document.hasIn(['users', name]) && document.deleteIn(['users', name]))
}

type UsersDocument = ReturnType<typeof parseUsersDocument>['document']

async function change<T> (file: string, edit: (document: UsersDocument) => T): Promise<T> {
  try {
    const { text, target } = await load(file)
    parseUsers(text, file)
    const { document } = parseUsersDocument(text, file)
    const result = edit(document)
    if (result !== false) {
      const changed = document.toString({ lineWidth: 0 })
      parseUsers(changed, file) // what is not understood again is not written
      await replace(target, changed)
    }
    return result
  } catch (error) {
    throw toUsersError(file, error)
  }
}

/** The file, or what a new one has. A link stays one: what it points to is replaced. */
async function load (file: string): Promise<{ text: string, target: Target }> {
  try {
    const path = await realpath(file)
    const { mode, uid, gid } = await stat(path)
    return { text: await readFile(path, 'utf8'), target: { path, mode: mode & 0o777, owner: { uid, gid } } }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return { text: NEW_FILE, target: { path: file, mode: MODE } }
  }
}

async function replace ({ path, mode, owner }: Target, text: string): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}`)
  try {
    const handle = await open(temporary, 'wx', MODE)
    try {
      await handle.writeFile(text)
      // Root changes the file of the user that the program runs as, who has to be able to read it afterwards.
      if (owner !== undefined && process.getuid?.() === 0) await handle.chown(owner.uid, owner.gid)
      await handle.chmod(mode)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
  const directory = await open(dirname(path), 'r')
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
