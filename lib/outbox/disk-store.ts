/**
 * The files of the outbox: a LevelDB directory, and beside its files `closed.json`, which is there while nobody has the
 * outbox open and says up to where it went.
 */
import { readFile, rm, writeFile } from 'node:fs/promises'
import { createError } from '../errors.ts'
import { hasData, LevelDirectory } from '../level/level-directory.ts'
import type { Evidence, OpenedDatabase, Store } from './database.ts'
import { scanWal, widen, type WalSpan } from './wal-scan.ts'

const MARKER = 'closed.json'

export class DiskStore implements Store {
  readonly kind = 'disk'
  readonly location: string
  readonly #directory: LevelDirectory

  constructor (directory: string) {
    this.location = directory
    this.#directory = new LevelDirectory(directory, {
      unusable: (directory, reason, cause) => createError('MBS_ERR_OUTBOX_DIRECTORY', { directory, reason }, cause),
      locked: (directory, cause) => createError('MBS_ERR_OUTBOX_LOCKED', { directory }, cause),
      corrupt: (directory, reason, cause) => createError('MBS_ERR_OUTBOX_CORRUPT', { directory, reason }, cause)
    })
  }

  async inspect (): Promise<Evidence> {
    const directory = this.#directory
    try {
      await directory.make()
      const files = await directory.files()
      const closedAt = await this.#closedAt()
      let span: WalSpan | undefined
      for (const { name, bytes } of files) {
        if (name.endsWith('.log') && bytes > 0) span = widen(span, scanWal(await readFile(directory.path(name))))
      }
      const clean = closedAt !== undefined || !hasData(files)
      return { clean, next: Math.max(closedAt ?? 1, span?.to ?? 1), walFirst: span?.from }
    } catch (cause) {
      throw directory.unusable(cause)
    }
  }

  async open (repair: boolean): Promise<OpenedDatabase> {
    const opened = await this.#directory.open(repair)
    await rm(this.#directory.path(MARKER), { force: true })
    return opened
  }

  async closed (next: number): Promise<void> {
    await writeFile(this.#directory.path(MARKER), JSON.stringify({ next }))
  }

  /** What the last owner wrote when it closed the outbox. */
  async #closedAt (): Promise<number | undefined> {
    try {
      const { next } = JSON.parse(await readFile(this.#directory.path(MARKER), 'utf8')) as { next?: unknown }
      return typeof next === 'number' ? next : undefined
    } catch {
      return undefined
    }
  }
}
