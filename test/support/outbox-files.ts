/** The files of an outbox on disk, for tests that damage them, copy them as a crash leaves them, or run out of room. */
import { execFileSync } from 'node:child_process'
import {
  copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Test } from 'tap'
import { createDiskOutbox } from '../../lib/outbox/disk.ts'
import type { OutboxOptions } from '../../lib/outbox/log-outbox.ts'
import { outboxOptions, RecordedTelemetry } from './outbox-fixtures.ts'

/** Opens the outbox of a directory; it is closed at the end of the test. */
export async function openDisk (t: Test, directory: string, overrides: Partial<OutboxOptions> = {}) {
  const telemetry = new RecordedTelemetry()
  const outbox = createDiskOutbox({ ...outboxOptions({ telemetry, tailCacheBytes: 0, ...overrides }), directory })
  t.teardown(() => outbox.close())
  const recovery = await outbox.open()
  return { outbox, recovery, telemetry }
}

/**
 * What a process that is killed at this moment leaves behind. LevelDB may be compacting: a copy during which no file
 * came or went is one that a crash could have left.
 */
export function crashCopy (directory: string, copy: string): string {
  for (;;) {
    const names = readdirSync(directory).filter((name) => name !== 'LOCK' && name !== 'lost')
    rmSync(copy, { recursive: true, force: true })
    mkdirSync(copy)
    try {
      for (const name of names) copyFileSync(join(directory, name), join(copy, name))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      continue
    }
    const after = readdirSync(directory).filter((name) => name !== 'LOCK' && name !== 'lost')
    if (after.join() === names.join()) return copy
  }
}

/** The files whose names end so, the newest last. */
export function filesOf (directory: string, extension: string): string[] {
  return readdirSync(directory).filter((name) => name.endsWith(extension)).sort().map((name) => join(directory, name))
}

/** The write-ahead log that has the most in it. */
export function walOf (directory: string): string {
  const [largest] = filesOf(directory, '.log').sort((one, other) => statSync(other).size - statSync(one).size)
  if (largest === undefined) throw new Error(`no log in ${directory}`)
  return largest
}

/** Inverts a byte of a file. A position below zero counts from the end. */
export function flipByte (file: string, position: number): void {
  const bytes = readFileSync(file)
  const at = position < 0 ? bytes.length + position : position
  bytes[at] = (bytes[at] as number) ^ 0xff
  writeFileSync(file, bytes)
}

/**
 * A file system of its own, of a few mebibytes; where this user may not mount one, the test is skipped and says so.
 * It is unmounted when the test has ended; teardowns added after this one are run before.
 */
export function mountSmall (t: Test, mebibytes: number): string | undefined {
  const directory = mkdtempSync(join(tmpdir(), 'outbox-mount-'))
  t.teardown(() => { rmdirSync(directory) })
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', directory], { stdio: 'pipe' })
  } catch (error) {
    t.plan(0, `NOT TESTED, as no file system can be mounted here: ${String(error)}`)
    return undefined
  }
  t.teardown(() => { execFileSync('umount', ['-l', directory]) })
  return directory
}
