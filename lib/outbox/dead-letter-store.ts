/**
 * The dead letters on disk. They count towards the bound of the outbox but are not held back by it: an event that moves
 * from the log to them frees the log. Changes are made one after the other, as each needs the size of what it replaces.
 */
import { createError, reasonOf } from '../errors.ts'
import type { DeadLetter } from '../message.ts'
import type { Access } from './access.ts'
import type { Committer } from './committer.ts'
import type { BatchOperation } from './database.ts'
import { decodeDeadLetter, encodeDeadLetter } from './dead-letter-codec.ts'
import { letterKey, LETTERS, parseLetterKey } from './keys.ts'
import type { Run } from './losses.ts'
import type { PageLimit } from './outbox.ts'
import { firstKeys, readValue } from './scan.ts'

/** Keys read at once. */
const KEYS_AT_ONCE = 64

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
      const key = letterKey(letter.stored.sequence)
      const value = encodeDeadLetter(letter)
      const replaced = await this.#size(key)
      await this.#options.committer.write({
        operations: [{ type: 'put', key, value }],
        sync: true,
        change: { letters: replaced === undefined ? 1 : 0, letterBytes: value.length - (replaced ?? 0) }
      })
    })
  }

  delete (sequences: readonly number[]): Promise<void> {
    return this.#inTurn(async () => {
      const operations: BatchOperation[] = []
      let letters = 0
      let letterBytes = 0
      for (const sequence of new Set(sequences)) {
        const key = letterKey(sequence)
        const size = await this.#size(key)
        if (size === undefined) continue
        operations.push({ type: 'del', key })
        letters--
        letterBytes -= size
      }
      if (operations.length > 0) {
        await this.#options.committer.write({ operations, sync: true, change: { letters, letterBytes } })
      }
    })
  }

  async read (from: number, limit: PageLimit): Promise<DeadLetter[]> {
    const letters: DeadLetter[] = []
    let bytes = 0
    let gte = letterKey(from)
    for (;;) {
      const range = { gte, lt: LETTERS.lt }
      const keys = await this.#options.access.read((database) => firstKeys(database, range, KEYS_AT_ONCE))
      for (const key of keys) {
        const value = await this.#options.access.read((database) => readValue(database, key))
        const letter = value === undefined ? undefined : decodeDeadLetter(value)
        bytes += value?.length ?? 0
        if (letters.length > 0 && (letters.length >= limit.events || bytes > limit.bytes)) return letters
        if (letter === undefined) await this.#unreadable(key)
        else letters.push(letter)
        gte = letterKey(parseLetterKey(key) + 1)
      }
      if (keys.length < KEYS_AT_ONCE) return letters
    }
  }

  /** Reports a letter that cannot be read, unless it has been deleted since its key was read. */
  async #unreadable (key: Buffer): Promise<void> {
    const [there] = await this.#options.access.read((database) => firstKeys(database, { gte: key, lt: LETTERS.lt }, 1))
    const sequence = parseLetterKey(key)
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
