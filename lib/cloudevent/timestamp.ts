/**
 * The type Timestamp of CloudEvents [CE 3.1]: texts as RFC 3339 has them. What is none is undefined, never a guess:
 * JavaScript's own reading takes February 30 for March 2. Pure.
 */

const TIMESTAMP = /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(\.\d+)?(?:[Zz]|([+-])(\d\d):(\d\d))$/

/** Milliseconds since the epoch; what is finer than that is cut off, and a leap second is the one before it. */
export function parseTimestamp (value: unknown): number | undefined {
  const match = typeof value === 'string' ? TIMESTAMP.exec(value) : null
  if (match === null) return undefined
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number, number, number, number, number, number
  ]
  const [fraction = '', sign, offsetHour = '0', offsetMinute = '0'] = match.slice(7)
  if (hour > 23 || minute > 59 || second > 60 || Number(offsetHour) > 23 || Number(offsetMinute) > 59) return undefined
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined
  const offsetMinutes = (sign === '-' ? -1 : 1) * (Number(offsetHour) * 60 + Number(offsetMinute))
  const ms = Number(fraction.slice(1, 4).padEnd(3, '0'))
  return date.getTime() + ((hour * 60 + minute - offsetMinutes) * 60 + Math.min(second, 59)) * 1000 + ms
}
