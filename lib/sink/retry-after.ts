/** Reads Retry-After [RFC 9110 10.2.3]: a number of seconds or a date. Pure. */

/** The three date formats that a recipient has to accept [RFC 9110 5.6.7]; Date.parse alone takes far more. */
const HTTP_DATE =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? (?:\d{2}[ -][A-Z][a-z]{2}[ -]\d{2,4} [\d:]{8} GMT|[A-Z][a-z]{2} [ \d]\d [\d:]{8} \d{4})$/

/**
 * @param value the field's value
 * @param now milliseconds since the epoch
 * @returns milliseconds to wait, 0 for a date that has passed, undefined for what is neither seconds nor a date
 */
export function parseRetryAfter (value: string, now: number): number | undefined {
  const text = value.trim()
  if (/^\d{1,10}$/.test(text)) return Number(text) * 1000
  if (!HTTP_DATE.test(text)) return undefined
  const at = Date.parse(text.endsWith('GMT') ? text : `${text} GMT`)
  return Number.isNaN(at) ? undefined : Math.max(0, at - now)
}
