/**
 * The dead letters on disk. They count towards the bound of the outbox but are not held back by it: an event that moves
 * from the log to them frees the log. Changes are made one after the other, as each needs the size of what it replaces.
 */
import { createError, reasonOf } from '../errors.ts'
import { firstKeys, readValue } from '../level/scan.ts'
import type { DeadLetter, LetterId } from '../message.ts'
import type { Access } from './access.ts'
import type { Committer } from './committer.ts'
import type { BatchOperation } from './database.ts'
import { decodeDeadLetter, encodeDeadLetter } from './dead-letter-codec.ts'
import { letterKey, LETTERS, lettersFrom, parseLetterKey } from './keys.ts'
import type { Run } from './losses.ts'
import type { PageLimit } from './outbox.ts'

/** Keys read at once. */
const KEYS_AT_ONCE = 64
/** Behind a key, makes the next one that is possible. */
const NUL = Buffer.of(0)

export interface DeadLetterStoreOptions {
  readonly access: Access
  readonly committer: Committer
  /** Where it writes to, for messages. */
  readonly location: string
  /** Told of a dead letter that cannot be read, each time it is come across. */
  readonly onLost: (run: Run) => void
}

export class DeadLetterStore {
  readonly #options: DeadLetterStoreOptions
  #change: Promise<void> = Promise.resolve()

  constructor (options: DeadLetterStoreOptions) {
    this.#options = options
  }

  put (letter: DeadLetter): Promise<void> {
    return this.#inTurn(async () => {
      const key = letterKey({ sequence: letter.stored.sequence, sink: letter.sink })
      const value = encodeDeadLetter(letter)
      const replaced = await this.#size(key)
      await this.#options.committer.write({
        operations: [{ type: 'put', key, value }],
        sync: true,
        change: { letters: replaced === undefined ? 1 : 0, letterBytes: value.length - (replaced ?? 0) }
      })
    })
  }

  delete (letters: readonly LetterId[]): Promise<void> {
    return this.#inTurn(async () => {
      const operations: BatchOperation[] = []
      let count = 0
      let letterBytes = 0
      const keys = new Map(letters.map((id) => [`${id.sequence} ${id.sink}`, letterKey(id)]))
      for (const key of keys.values()) {
        const size = await this.#size(key)
        if (size === undefined) continue
        operations.push({ type: 'del', key })
        count--
        letterBytes -= size
      }
      if (operations.length > 0) {
        await this.#options.committer.write({ operations, sync: true, change: { letters: count, letterBytes } })
      }
    })
  }

  /** The letters of one event are never parted: whoever goes on behind its sequence misses none. */
  async read (from: number, limit: PageLimit): Promise<DeadLetter[]> {
    const letters: DeadLetter[] = []
    let bytes = 0
    let gte = lettersFrom(from)
    for (;;) {
      const range = { gte, lt: LETTERS.lt }
      const keys = await this.#options.access.read((database) => firstKeys(database, range, KEYS_AT_ONCE))
      for (const key of keys) {
        const { sequence, sink } = parseLetterKey(key)
        const value = await this.#options.access.read((database) => readValue(database, key))
        const letter = value === undefined ? undefined : decodeDeadLetter(value, sink)
        bytes += value?.length ?? 0
        const enough = letters.length >= limit.events || bytes > limit.bytes
        if (letters.length > 0 && enough && letters.at(-1)?.stored.sequence !== sequence) return letters
        if (letter === undefined) await this.#unreadable(key)
        else letters.push(letter)
        gte = Buffer.concat([key, NUL])
      }
      if (keys.length < KEYS_AT_ONCE) return letters
    }
  }

  /** Reports a letter that cannot be read, unless it has been deleted since its key was read. */
  async #unreadable (key: Buffer): Promise<void> {
    const [there] = await this.#options.access.read((database) => firstKeys(database, { gte: key, lt: LETTERS.lt }, 1))
    const { sequence } = parseLetterKey(key)
    if (there?.equals(key) === true) this.#options.onLost({ from: sequence, to: sequence + 1 })
  }

  /** The size of a letter that is there. While nothing can be written it fails as the write would. */
  async #size (key: Buffer): Promise<number | undefined> {
    const { access, committer, location } = this.#options
    const database = access.current
    if (database === undefined) throw committer.refusal ?? createError('MBS_ERR_OUTBOX_CLOSED')
    try {
      // What cannot be read any more is replaced like what is not there; opening counts anew where files are damaged.
      return (await readValue(database, key))?.length
    } catch (cause) {
      throw createError('MBS_ERR_OUTBOX_WRITE', { directory: location, reason: reasonOf(cause) }, cause)
    }
  }

  #inTurn (change: () => Promise<void>): Promise<void> {
    const turn = this.#change.then(change)
    this.#change = turn.catch(() => {})
    return turn
  }
}
