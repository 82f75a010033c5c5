/**
 * The headers that every request of a sink has beside those of its event: the program's own and those of the settings,
 * some of them from files. Invariant: the files are taken over together or not at all.
 */
import { parseHeaderValue, readSecret } from './secret-text.ts'

/** Headers by name: the value, or the file that holds it. */
export type HeaderSettings = Readonly<Record<string, string | { readonly file: string }>>

/**
 * Names in lower case, and values in turn.
 * @param own the program's, in lower case; the settings may replace them
 * @param textOf what is in a file
 */
export function headerList (
  own: Readonly<Record<string, string>>, settings: HeaderSettings, textOf: (file: string) => string
): string[] {
  const headers = new Map(Object.entries(own))
  for (const [name, value] of Object.entries(settings)) {
    headers.set(name.toLowerCase(), typeof value === 'string' ? value : textOf(value.file))
  }
  return [...headers].flat()
}

export class RequestHeaders {
  readonly files: readonly string[]
  readonly #own: Readonly<Record<string, string>>
  readonly #settings: HeaderSettings
  #list: readonly string[] | undefined

  /** @param own the program's, in lower case; the settings may replace them */
  constructor (own: Readonly<Record<string, string>>, settings: HeaderSettings) {
    this.#own = own
    this.#settings = settings
    this.files = Object.values(settings).flatMap((value) => typeof value === 'string' ? [] : [value.file])
    if (this.files.length === 0) this.#list = this.#listOf(new Map())
  }

  /** Names and values in turn; undefined before the files were read. */
  get list (): readonly string[] | undefined {
    return this.#list
  }

  /** Something in them may tell the sink who sends. */
  get hasCredentials (): boolean {
    return this.files.length > 0 || Object.keys(this.#settings).some((name) => name.toLowerCase() === 'authorization')
  }

  /**
   * Reads the files.
   * @throws MBS_ERR_SINK_CREDENTIALS; then what was in force stays
   */
  async reload (): Promise<void> {
    const values = await Promise.all(this.files.map(async (file) => await readSecret(file, parseHeaderValue)))
    this.#list = this.#listOf(new Map(this.files.map((file, at) => [file, values[at] as string])))
  }

  #listOf (texts: ReadonlyMap<string, string>): string[] {
    return headerList(this.#own, this.#settings, (file) => texts.get(file) ?? '')
  }
}
