import { test } from 'tap'
import { parseTimestamp } from '../../../lib/cloudevent/timestamp.ts'

test('timestamps are read to the millisecond [RFC 3339 5.6]', async (t) => {
  for (const text of [
    '2023-11-14T22:13:20Z', '2023-11-14T22:13:20.1Z', '2023-11-14T22:13:20.123Z', '2023-11-14T22:13:20.12Z', '2024-02-29T00:00:00Z',
    '1969-12-31T23:59:59.999Z', '0001-01-01T00:00:00Z', '9999-12-31T23:59:59+00:00', '2023-01-01T00:30:00+05:45', '2023-12-31T23:30:00-08:00'
  ]) t.equal(parseTimestamp(text), Date.parse(text), text)
  t.equal(parseTimestamp('2023-11-14t22:13:20.123999z'), Date.parse('2023-11-14T22:13:20.123Z'), 'case, and what is finer')
  t.equal(parseTimestamp('2016-12-31T23:59:60Z'), Date.parse('2016-12-31T23:59:59Z'), 'a leap second')
})

test('what is no timestamp is none, however JavaScript reads it', async (t) => {
  for (const value of [
    '', 'now', '2023', '2023-11-14', '2023-11-14T22:13Z', '2023-11-14T22:13:20', '2023-11-14 22:13:20Z', '2023-11-14T22:13:20.Z',
    '2023-02-29T00:00:00Z', '2023-04-31T00:00:00Z', '2023-00-01T00:00:00Z', '2023-13-01T00:00:00Z', '2023-01-00T00:00:00Z',
    '2023-01-01T24:00:00Z', '2023-01-01T00:60:00Z', '2023-01-01T00:00:61Z', '2023-01-01T00:00:00+24:00', '2023-01-01T00:00:00+00:60',
    '2023-01-01T00:00:00+0100', ' 2023-01-01T00:00:00Z', '2023-01-01T00:00:00Z\n', 1_700_000_000, true, undefined
  ]) t.equal(parseTimestamp(value), undefined, JSON.stringify(value))
})
