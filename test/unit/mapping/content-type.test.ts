import { test } from 'tap'
import { detectContentType } from '../../../lib/mapping/content-type.ts'

test('the content type is found by the bytes', async (t) => {
  const cases: [payload: string | number[], type: string | undefined][] = [
    ['', undefined],
    ['74.12', 'application/json'],
    [' -0.5e3\n', 'application/json'],
    ['true', 'application/json'],
    ['"on"', 'application/json'],
    ['{"a":1}', 'application/json'],
    ['[]', 'application/json'],
    ['on', 'text/plain'],
    ['true story', 'text/plain'],
    ['74,12', 'text/plain'],
    ['{"a":1', 'text/plain'],
    ['{a}', 'text/plain'],
    ['NaN', 'text/plain'],
    [' ', 'text/plain'],
    ['küche', 'text/plain'],
    ['\ufeff{"a":1}', 'text/plain'],
    [[0], 'text/plain'],
    [[0xff], 'application/octet-stream'],
    [[0x22, 0xe4, 0x22], 'application/octet-stream'],
    [[0xed, 0xa0, 0x80], 'application/octet-stream']
  ]
  for (const [payload, type] of cases) t.equal(detectContentType(Buffer.from(payload as string)), type, String(payload))
})
