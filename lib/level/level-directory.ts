/**
 * A directory with a LevelDB database: made where it is missing, tried before LevelDB is, opened, repaired where that
 * is needed. Puts LevelDB's failures into the errors of whoever it belongs to.
 *
 * Must never let LevelDB begin anew where there are data: without its CURRENT file it would, and delete them.
 */
import { mkdir, open, readdir, rm, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { ClassicLevel } from 'classic-level'
import { reasonOf, type MbsError } from '../errors.ts'
import type { Database, OpenedDatabase } from './database.ts'
import { levelDatabase } from './level-database.ts'
import { isMissingFile } from './scan.ts'

/**
 * Tables are mapped into memory while they are open: 64 of them (LevelDB opens no fewer), of the size of the write
 * buffer, bound what reading a long log adds to the resident size. A smaller buffer costs more compactions.
 */
const LEVEL_OPTIONS = {
  keyEncoding: 'buffer',
  valueEncoding: 'buffer',
  compression: false,
  writeBufferSize: 4 * 1024 * 1024,
  maxFileSize: 2 * 1024 * 1024,
  maxOpenFiles: 64,
  cacheSize: 4 * 1024 * 1024
} as const

const PROBE = 'probe.tmp'
const PROBE_BYTES = 64 * 1024

/** Makes the errors of whoever the directory belongs to. */
export interface DirectoryErrors {
  /** It cannot be used. */
  unusable (directory: string, reason: string, cause: unknown): MbsError
  /** Another process has it. */
  locked (directory: string, cause: unknown): MbsError
  /** It is damaged, and repairing did not help. */
  corrupt (directory: string, reason: string, cause: unknown): MbsError
}

export interface FileEntry {
  readonly name: string
  readonly bytes: number
}

export class LevelDirectory {
  readonly location: string
  readonly #errors: DirectoryErrors

  constructor (directory: string, errors: DirectoryErrors) {
    this.location = directory
    this.#errors = errors
  }

  /** Makes the directory; what is stored in it must not vanish in a power cut because its own entry was not on disk. */
  async make (): Promise<void> {
    const missing: string[] = []
    for (let path = resolve(this.location); !await exists(path); path = dirname(path)) missing.unshift(path)
    // One by one: node's recursive mkdir never ends where a file system has no directories to make, such as /proc.
    for (const path of missing) {
      await mkdir(path)
      await syncDirectory(dirname(path))
    }
  }

  /** Opens the database; repairs it when it is damaged, or when asked to. */
  async open (repair: boolean): Promise<OpenedDatabase> {
    await this.#probe()
    const files = await this.files()
    // Asked for or not, the first try finds out whether another process has it: repairing does not look.
    const mayCreate = !hasData(files)
    const first = await this.#tryOpen(mayCreate)
    if ('database' in first && !repair) return { database: first.database, repaired: undefined }
    if ('database' in first) await first.database.close()
    const reason = 'error' in first ? reasonOf(first.error) : 'damaged'
    try {
      await ClassicLevel.repair(this.location)
    } catch (cause) {
      throw this.#errors.corrupt(this.location, reasonOf(cause), cause)
    }
    const second = await this.#tryOpen(false)
    if ('database' in second) return { database: second.database, repaired: reason }
    throw this.#errors.corrupt(this.location, reasonOf(second.error), second.error)
  }

  async files (): Promise<FileEntry[]> {
    const names = await readdir(this.location)
    return await Promise.all(names.map(async (name) => {
      // A file that is gone by now is one of another process, which opening will find out.
      const bytes = await stat(this.path(name)).then(({ size }) => size, () => 0)
      return { name, bytes }
    }))
  }

  path (name: string): string {
    return join(this.location, name)
  }

  unusable (cause: unknown): MbsError {
    return this.#errors.unusable(this.location, reasonOf(cause), cause)
  }

  /** Opens it; the error of damage comes back, every other one is thrown. */
  async #tryOpen (createIfMissing: boolean): Promise<{ database: Database } | { error: unknown }> {
    const level = new ClassicLevel<Buffer, Buffer>(this.location, { ...LEVEL_OPTIONS, createIfMissing })
    try {
      await level.open()
      return { database: levelDatabase(level) }
    } catch (wrapped) {
      // abstract-level wraps the reason, which alone has LevelDB's code.
      const error = wrapped instanceof Error ? wrapped.cause ?? wrapped : wrapped
      const { code } = error as NodeJS.ErrnoException
      if (code === 'LEVEL_LOCKED') throw this.#errors.locked(this.location, error)
      if (code === 'LEVEL_IO_ERROR' && !isMissingFile(error)) throw this.unusable(error)
      return { error }
    }
  }

  /**
   * Writes as much as opening will have to, so that a full or read-only disk is found out without LevelDB, which keeps
   * some memory of every failed try.
   */
  async #probe (): Promise<void> {
    try {
      const files = await this.files()
      const logBytes = files.reduce((sum, { name, bytes }) => sum + (name.endsWith('.log') ? bytes : 0), 0)
      const file = await open(this.path(PROBE), 'w')
      try {
        await file.writeFile(Buffer.alloc(PROBE_BYTES + logBytes))
        await file.sync()
      } finally {
        await file.close()
        await rm(this.path(PROBE), { force: true })
      }
    } catch (cause) {
      throw this.unusable(cause)
    }
  }
}

/** True where there are tables or logs of a database. */
export function hasData (files: readonly FileEntry[]): boolean {
  return files.some(({ name, bytes }) => name === 'CURRENT' || /\.(ldb|sst)$/.test(name) || (name.endsWith('.log') && bytes > 0))
}

/** Not every system lets a directory be opened, and not every user may read it: then its file system has to do. */
async function syncDirectory (path: string): Promise<void> {
  const directory = await open(path).catch(() => undefined)
  try {
    await directory?.sync()
  } finally {
    await directory?.close()
  }
}

async function exists (path: string): Promise<boolean> {
  try {
    await stat(path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}
