/**
 * Has files read again when they change, and when it is told to. It looks at them by itself instead of asking the file
 * system for notifications, which network file systems do not give and which a swapped symbolic link escapes.
 *
 * Invariants: a change is acted on once, when the files were the same in two looks in a row, so that a file half
 * written is left alone; of one item, no two reloads run at a time; a reload that fails changes nothing, is told once,
 * and is tried again when the files change again. It knows no contents.
 */
import { createError, isMbsError, reasonOf, type MbsError } from '../errors.ts'
import type { ReloadKind } from '../telemetry/access-telemetry.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import { fingerprint } from './fingerprint.ts'

/** Files that belong together, and who reads them. */
export interface ReloadItem {
  readonly kind: ReloadKind
  /** Names it in the log and in errors: `TLS files of mqtts://…`. */
  readonly what: string
  readonly files: readonly string[]
  /** Reads all of them and puts them in force at once, or rejects and leaves in force what was. */
  readonly reload: () => Promise<void>
}

export interface ReloaderOptions {
  readonly telemetry: Telemetry
  /** How often the files are looked at; 0: never, only `reloadAll` reads them. */
  readonly everyMs: number
}

interface Watched {
  readonly item: ReloadItem
  /** How the files were before they were read the last time. */
  read: string
  /** How they were at the last look, where that is not how they were read. */
  seen: string | undefined
  looking: Promise<void> | undefined
  /** Ends with the reload that was begun last; never rejects. */
  last: Promise<MbsError | undefined>
  /** The reload that has to wait for that one. Whoever asks meanwhile shares it. */
  next: Promise<MbsError | undefined> | undefined
}

export class Reloader {
  readonly #options: ReloaderOptions
  readonly #watched: Watched[] = []
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor (options: ReloaderOptions) {
    this.#options = options
  }

  /** Watches files. Resolves when it knows how they are; whoever reads them first after that misses no change. */
  async add (item: ReloadItem): Promise<void> {
    const read = await fingerprint(item.files)
    const last = Promise.resolve(undefined)
    this.#watched.push({ item, read, seen: undefined, looking: undefined, last, next: undefined })
  }

  /** Looks at the files from now on. Keeps no process alive. Idempotent. */
  start (): void {
    const { everyMs } = this.#options
    if (everyMs === 0 || this.#closed || this.#timer !== undefined) return
    this.#timer = setInterval(() => { void this.look() }, everyMs).unref()
  }

  /** Looks at the files once; resolves when what has changed has been read. Never rejects. */
  async look (): Promise<void> {
    await Promise.all(this.#watched.map(async (watched) => {
      // A file system that does not answer holds up the items that lie on it, and no other.
      watched.looking ??= this.#look(watched).finally(() => { watched.looking = undefined })
      await watched.looking
    }))
  }

  /**
   * Reads everything again, changed or not; a reload under way is followed by another one. Never rejects.
   * @param reason for the log
   * @returns MBS_ERR_RELOAD_FAILED for each item that stays as it was; it has been logged and counted already
   */
  async reloadAll (reason: string): Promise<readonly MbsError[]> {
    const errors = await Promise.all(this.#watched.map((watched) => this.#reload(watched, reason)))
    return errors.filter((error) => error !== undefined)
  }

  /**
   * Begins no further reload, and waits for none: a file system that does not answer must not hold up the end.
   * Idempotent.
   */
  close (): void {
    this.#closed = true
    clearInterval(this.#timer)
  }

  async #look (watched: Watched): Promise<void> {
    const { item } = watched
    const state = await fingerprint(item.files)
    if (state === watched.read) {
      watched.seen = undefined
    } else if (state === watched.seen) {
      watched.seen = undefined
      await this.#reload(watched, 'the files changed')
    } else {
      watched.seen = state
    }
  }

  #reload (watched: Watched, reason: string): Promise<MbsError | undefined> {
    watched.next ??= watched.last.then(() => {
      watched.next = undefined
      watched.last = this.#run(watched, reason)
      return watched.last
    })
    return watched.next
  }

  async #run (watched: Watched, reason: string): Promise<MbsError | undefined> {
    const { telemetry } = this.#options
    const { item } = watched
    if (this.#closed) return undefined
    // Before they are read: what changes while they are is a change to come.
    watched.read = await fingerprint(item.files)
    const fields = { kind: item.kind, what: item.what, files: item.files, reason }
    try {
      await item.reload()
    } catch (cause) {
      const error = createError('MBS_ERR_RELOAD_FAILED', { what: item.what, reason: wordsOf(cause) }, cause)
      telemetry.reloadFailed(error, fields)
      return error
    }
    telemetry.reloaded(fields)
    return undefined
  }
}

/** The reason alone: the sentence around it says what this error says. */
function wordsOf (error: unknown): string {
  return isMbsError(error) ? String(error.details['reason'] ?? reasonOf(error)) : reasonOf(error)
}
