/**
 * The headers that spans are sent with, some of them from files. Invariants: the files are taken over together or not
 * at all; what is wrong with one is said without repeating any of it.
 */
import { readFile } from 'node:fs/promises'
import { createError, reasonOf } from '../errors.ts'

/** Headers by name: the value, or the file that holds it. */
export type HeaderSettings = Readonly<Record<string, string | { readonly file: string }>>

const MAX_BYTES = 16 * 1024

export class ExportHeaders {
  readonly files: readonly string[]
  readonly #settings: HeaderSettings
  #values: Readonly<Record<string, string>> = {}

  constructor (settings: HeaderSettings) {
    this.#settings = settings
    this.files = Object.values(settings).flatMap((value) => typeof value === 'string' ? [] : [value.file])
  }

  /** By names in lower case; nothing before the first `reload`. */
  get values (): Readonly<Record<string, string>> {
    return this.#values
  }

  /**
   * Reads the files.
   * @throws MBS_ERR_TRACING_HEADERS; then what was in force stays
   */
  async reload (): Promise<void> {
    const entries = Object.entries(this.#settings).map(async ([name, value]): Promise<[string, string]> => {
      return [name.toLowerCase(), typeof value === 'string' ? value : await readHeader(value.file)]
    })
    this.#values = Object.fromEntries(await Promise.all(entries))
  }
}

async function readHeader (file: string): Promise<string> {
  try {
    const line = (await readFile(file, 'utf8')).trim()
    if (line.length > MAX_BYTES) throw new Error(`it is larger than ${MAX_BYTES} bytes`)
    if (!/^[ -~]+$/.test(line)) throw new Error('it holds no value of a header: one line of visible ASCII')
    return line
  } catch (error) {
    throw createError('MBS_ERR_TRACING_HEADERS', { reason: `${file}: ${reasonOf(error)}` }, error)
  }
}
