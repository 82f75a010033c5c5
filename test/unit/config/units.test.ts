import { test } from 'tap'
import {
  DURATION_PATTERN, formatDuration, formatSize, parseDuration, parseSize, SIZE_PATTERN
} from '../../../lib/config/units.ts'

test('a duration is ISO 8601 with days, hours, minutes, seconds or weeks', async (t) => {
  const table: [string, number][] = [
    ['PT0.2S', 200], ['PT0S', 0], ['PT10S', 10_000], ['PT1M30S', 90_000], ['PT1H', 3_600_000], ['P1D', 86_400_000],
    ['P1DT0.001S', 86_400_001], ['P2W', 1_209_600_000], ['PT0.5H', 1_800_000], ['PT36H', 129_600_000]
  ]
  for (const [text, durationMs] of table) t.equal(parseDuration(text), durationMs, text)
})

test('what has no fixed length or no unit is no duration', async (t) => {
  for (const text of ['', 'P', 'PT', 'P1DT', '10', '10s', 'P1M', 'P1Y', 'pt1s', '-PT1S', 'PT-1S', 'PT1S ', 'PT,5S', 'P1W1D', 'PT1S1M', 'PT.5S']) {
    t.equal(parseDuration(text), undefined, text)
    t.notMatch(text, new RegExp(DURATION_PATTERN), `${text}, by the pattern of the JSON Schema`)
  }
})

test('a duration is written in the shortest way and read back as the same', async (t) => {
  const table: [number, string][] = [
    [0, 'PT0S'], [200, 'PT0.2S'], [90_000, 'PT1M30S'], [86_400_000, 'P1D'], [90_061_001, 'P1DT1H1M1.001S'], [3_600_000, 'PT1H']
  ]
  for (const [durationMs, text] of table) {
    t.equal(formatDuration(durationMs), text)
    t.equal(parseDuration(text), durationMs, text)
  }
})

test('a size is bytes, or a whole number of binary units', async (t) => {
  const table: [string, number][] = [
    ['0', 0], ['262144', 262_144], ['256KiB', 262_144], ['1 MiB', 1_048_576], ['1GiB', 1_073_741_824], ['2TiB', 2_199_023_255_552]
  ]
  for (const [text, bytes] of table) t.equal(parseSize(text), bytes, text)
})

test('decimal units, fractions and what is beyond exact numbers are no size', async (t) => {
  for (const text of ['', '1GB', '1kib', '1.5GiB', '-1', 'GiB', '1K', '1GiBx', '99999999TiB']) t.equal(parseSize(text), undefined, text)
  t.notMatch('1GB', new RegExp(SIZE_PATTERN))
})

test('a size is written with the largest unit that is exact', async (t) => {
  t.equal(formatSize(262_144), '256KiB')
  t.equal(formatSize(1024 ** 3), '1GiB')
  t.equal(formatSize(1000), '1000')
  t.equal(formatSize(0), '0')
})
