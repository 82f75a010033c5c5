/** Where sessions lie on disk: a LevelDB directory of their own, beside that of the outbox. */
import { createError } from '../errors.ts'
import type { OpenedDatabase } from '../level/database.ts'
import { LevelDirectory } from '../level/level-directory.ts'
import type { JournalStore } from './journal.ts'

export class DiskJournalStore implements JournalStore {
  readonly location: string
  readonly #directory: LevelDirectory

  /** @param directory made where it is not there; nothing else may be in it */
  constructor (directory: string) {
    this.location = directory
    this.#directory = new LevelDirectory(directory, {
      unusable: (directory, reason, cause) => createError('MBS_ERR_SESSIONS_DIRECTORY', { directory, reason }, cause),
      locked: (directory, cause) => createError('MBS_ERR_SESSIONS_LOCKED', { directory }, cause),
      corrupt: (directory, reason, cause) => createError('MBS_ERR_SESSIONS_CORRUPT', { directory, reason }, cause)
    })
  }

  async open (repair: boolean): Promise<OpenedDatabase> {
    try {
      await this.#directory.make()
    } catch (cause) {
      throw this.#directory.unusable(cause)
    }
    return await this.#directory.open(repair)
  }
}
