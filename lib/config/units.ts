/**
 * Texts with a unit, and the numbers that the program works with: ISO 8601 durations <-> milliseconds, sizes <-> bytes.
 * Pure. A text that is not understood is `undefined`, never a guess.
 */

const DURATION =
  /^P(?:(\d+(?:\.\d+)?)W|(?=[\dT])(?:(\d+(?:\.\d+)?)D)?(?:T(?=\d)(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?)$/
const SIZE = /^(\d+)\s?(KiB|MiB|GiB|TiB)?$/

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

const SIZE_UNITS = { TiB: 1024 ** 4, GiB: 1024 ** 3, MiB: 1024 ** 2, KiB: 1024 } as const

/** The patterns of such texts, for the JSON Schema. Its format `duration` knows no fractions, hence a pattern. */
export const DURATION_PATTERN = DURATION.source
export const SIZE_PATTERN = SIZE.source

/**
 * The milliseconds of an ISO 8601 duration such as `PT0.2S`, `PT1H` or `P1D`, rounded to whole ones. Years and months
 * have no fixed length and are not understood.
 */
export function parseDuration (text: string): number | undefined {
  const match = DURATION.exec(text)
  if (match === null) return undefined
  const [, weeks = 0, days = 0, hours = 0, minutes = 0, seconds = 0] = match
  return Math.round(
    (Number(weeks) * 7 + Number(days)) * DAY_MS + Number(hours) * HOUR_MS + Number(minutes) * MINUTE_MS +
    Number(seconds) * SECOND_MS
  )
}

/** The shortest ISO 8601 duration of whole days, hours, minutes and fractional seconds. */
export function formatDuration (durationMs: number): string {
  const days = Math.floor(durationMs / DAY_MS)
  const hours = Math.floor(durationMs % DAY_MS / HOUR_MS)
  const minutes = Math.floor(durationMs % HOUR_MS / MINUTE_MS)
  const seconds = durationMs % MINUTE_MS / SECOND_MS
  const time = (hours > 0 ? `${hours}H` : '') + (minutes > 0 ? `${minutes}M` : '') + (seconds > 0 ? `${seconds}S` : '')
  if (days === 0 && time === '') return 'PT0S'
  return 'P' + (days > 0 ? `${days}D` : '') + (time === '' ? '' : `T${time}`)
}

/** The bytes of a size such as `262144`, `256KiB` or `1GiB`. Only the units of 1024 exist: `1GB` is not understood. */
export function parseSize (text: string): number | undefined {
  const match = SIZE.exec(text)
  if (match === null) return undefined
  const unit = match[2] as keyof typeof SIZE_UNITS | undefined
  const bytes = Number(match[1]) * (unit === undefined ? 1 : SIZE_UNITS[unit])
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** The shortest exact text of a size: `256KiB` for 262144, `1000` for 1000. */
export function formatSize (bytes: number): string {
  for (const [unit, factor] of Object.entries(SIZE_UNITS)) {
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`
  }
  return String(bytes)
}
