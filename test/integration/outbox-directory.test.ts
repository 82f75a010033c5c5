/** Directories that cannot be used, and disks that fill up: each a clear error, and nothing acknowledged is lost. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { test } from 'tap'
import { createDiskOutbox } from '../../lib/outbox/disk.ts'
import { eventOf, idsOf, outboxOptions, readAll } from '../support/outbox-fixtures.ts'
import { mountSmall, openDisk } from '../support/outbox-files.ts'

t.jobs = 1

const NOBODY = 65534

void test('refuses a directory that cannot be made or written with MBS_ERR_OUTBOX_DIRECTORY and the reason', async (t) => {
  const directory = t.testdir({ file: '' })
  const open = (path: string) => createDiskOutbox({ ...outboxOptions(), directory: path }).open()
  await t.rejects(open(join(directory, 'file', 'outbox')), { code: 'MBS_ERR_OUTBOX_DIRECTORY', message: /ENOTDIR/ })
  await t.rejects(open(join(directory, 'file')), { code: 'MBS_ERR_OUTBOX_DIRECTORY' })

  const locked = join(directory, 'locked')
  mkdirSync(locked)
  chmodSync(locked, 0o555)
  const root = process.geteuid?.() === 0
  if (root) {
    chmodSync(directory, 0o755)
    process.seteuid?.(NOBODY)
  }
  try {
    await t.rejects(open(locked), { code: 'MBS_ERR_OUTBOX_DIRECTORY', message: /EACCES/ })
    await t.rejects(open(join(locked, 'below')), { code: 'MBS_ERR_OUTBOX_DIRECTORY', message: /EACCES/ })
  } finally {
    if (root) process.seteuid?.(0)
  }
})

void test('refuses a place where no directory can be made, and does not try for ever', async (t) => {
  if (process.platform !== 'linux') return
  await t.rejects(openDisk(t, '/proc/nowhere/outbox'), { code: 'MBS_ERR_OUTBOX_DIRECTORY', message: /ENOENT/ })
})

void test('refuses a directory that another process has open with MBS_ERR_OUTBOX_LOCKED', async (t) => {
  const directory = t.testdir()
  const script = `
    import { ClassicLevel } from 'classic-level'
    const level = new ClassicLevel(${JSON.stringify(directory)})
    await level.open()
    console.log('open')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => { child.kill('SIGKILL') })
  await once(child.stdout, 'data')
  const outbox = createDiskOutbox({ ...outboxOptions(), directory })
  await t.rejects(outbox.open(), { code: 'MBS_ERR_OUTBOX_LOCKED', help: /Stop the other process/ })
  child.kill('SIGKILL')
  await once(child, 'exit')
  await openDisk(t, directory)
})

void test('refuses a directory that this process has open already', async (t) => {
  const directory = t.testdir()
  const { outbox } = await openDisk(t, directory)
  await t.rejects(createDiskOutbox({ ...outboxOptions(), directory }).open(), { code: 'MBS_ERR_OUTBOX_LOCKED' })
  await outbox.append(eventOf(1))
  t.same((await readAll(outbox)).ids, ['event-1'], 'and does the owner no harm')
})

void test('refuses what no repair can open with MBS_ERR_OUTBOX_CORRUPT', async (t) => {
  const directory = t.testdir({ CURRENT: 'MANIFEST-999999\n', 'MANIFEST-000001': { file: '' }, lost: '' })
  await t.rejects(createDiskOutbox({ ...outboxOptions(), directory }).open(), {
    code: 'MBS_ERR_OUTBOX_CORRUPT', help: /move the directory away/
  })
})

void test('stops acknowledging when the disk is full, and stores again by itself when there is room', async (t) => {
  const mount = mountSmall(t, 8)
  if (mount === undefined) return
  const directory = join(mount, 'outbox')
  const { outbox, telemetry } = await openDisk(t, directory)
  const filler = join(mount, 'filler')
  const { bavail, bsize } = statfsSync(mount)
  writeFileSync(filler, Buffer.alloc(bavail * bsize - 1024 * 1024))

  const data = Buffer.alloc(50_000, 88)
  const acknowledged: string[] = []
  let refused = 0
  for (let number = 1; refused === 0; number++) {
    await outbox.append(eventOf(number, { data })).then(() => acknowledged.push(`event-${number}`), (error: unknown) => {
      t.match(error, { code: 'MBS_ERR_OUTBOX_WRITE', message: /No space left on device/ })
      refused = number
    })
    if (number > 1000) throw new Error('the disk does not fill up')
  }
  t.ok(acknowledged.length > 5, `${acknowledged.length} stored before the disk was full`)
  t.equal(outbox.stats().status, 'failed')
  await t.rejects(outbox.append(eventOf(refused)), { code: 'MBS_ERR_OUTBOX_WRITE' })

  const recovery = telemetry.nextRecovery()
  rmSync(filler)
  await recovery
  t.equal(outbox.stats().status, 'ready')
  await outbox.append(eventOf(5000))
  acknowledged.push('event-5000')
  const { ids } = await readAll(outbox)
  t.same(ids.filter((id) => id !== `event-${refused}`), acknowledged, 'in order, and the refused one at most beside them')
  await outbox.close()

  const again = await openDisk(t, directory)
  t.equal(again.recovery.lostEvents, 0)
  t.same((await readAll(again.outbox)).ids, ids)
})

void test('refuses a read-only disk with MBS_ERR_OUTBOX_DIRECTORY and the reason', async (t) => {
  const mount = mountSmall(t, 8)
  if (mount === undefined) return
  const directory = join(mount, 'outbox')
  const { outbox } = await openDisk(t, directory)
  await outbox.append(eventOf(1))
  await outbox.close()
  execFileSync('mount', ['-o', 'remount,ro', mount])
  await t.rejects(createDiskOutbox({ ...outboxOptions(), directory }).open(), {
    code: 'MBS_ERR_OUTBOX_DIRECTORY', message: /EROFS/
  })
  execFileSync('mount', ['-o', 'remount,rw', mount])
  const again = await openDisk(t, directory)
  t.same((await readAll(again.outbox)).ids, idsOf(1, 1))
})
