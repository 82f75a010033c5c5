import { test } from 'tap'
import { parseRetryAfter } from '../../../lib/sink/retry-after.ts'

const NOW = Date.parse('1994-11-06T08:49:37.000Z')

test('Retry-After is a number of seconds or a date in one of three formats [RFC 9110 10.2.3]', async (t) => {
  const cases: [value: string, ms: number | undefined][] = [
    ['0', 0],
    ['120', 120_000],
    [' 5 ', 5000],
    ['Sun, 06 Nov 1994 08:50:07 GMT', 30_000],
    ['Sunday, 06-Nov-94 08:50:07 GMT', 30_000],
    ['Sun Nov  6 08:50:07 1994', 30_000],
    ['Sun, 06 Nov 1994 08:49:07 GMT', 0],
    ['-1', undefined],
    ['1.5', undefined],
    ['5 s', undefined],
    ['', undefined],
    ['soon', undefined],
    ['1994-11-06T08:50:07Z', undefined],
    ['Sun, 99 Nov 1994 08:50:07 GMT', undefined],
    ['99999999999', undefined]
  ]
  for (const [value, ms] of cases) t.equal(parseRetryAfter(value, NOW), ms, value)
})
