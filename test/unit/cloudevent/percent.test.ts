import { test } from 'tap'
import {
  decodeHeaderUri, decodeHeaderValue, encodeHeaderValue, needsPercentEncoding
} from '../../../lib/cloudevent/percent.ts'

test('decoding undoes encoding, for every Unicode plane', async (t) => {
  for (const text of ['plain', 'a b', '100%', '%41', 'say "hi"', 'küche', '温度', '😀', 'a\u0000\u001f\u007fb', '\u{10fffd}']) {
    const encoded = encodeHeaderValue(text)
    t.match(encoded, /^[!-~]*$/)
    t.equal(decodeHeaderValue(encoded), text)
    t.equal(needsPercentEncoding(text), encoded !== text)
  }
})

test('a value is percent-decoded once, in either case, and never for plus [CE-HTTP 3.1.3.2]', async (t) => {
  t.equal(decodeHeaderValue('Euro%20%E2%82%AC%20%F0%9F%98%80'), 'Euro € 😀')
  t.equal(decodeHeaderValue('%c3%bc'), 'ü')
  t.equal(decodeHeaderValue('%2541'), '%41')
  t.equal(decodeHeaderValue('a+b'), 'a+b')
})

test('a quoted value is unquoted before it is decoded [CE-HTTP 3.1.3.2]', async (t) => {
  t.equal(decodeHeaderValue('"a \\"b\\" c"'), 'a "b" c')
  t.equal(decodeHeaderValue('""'), '')
  t.equal(decodeHeaderValue('"'), '"')
})

test('what a sender left unencoded stays readable', async (t) => {
  t.equal(decodeHeaderValue('100%'), '100%')
  t.equal(decodeHeaderValue('%ff'), '%ff')
  t.equal(decodeHeaderValue(Buffer.from('küche').toString('latin1')), 'küche', 'raw UTF-8, as node reads it')
  t.equal(decodeHeaderValue('caf\u00e9'), 'caf\u00e9', 'raw Latin-1')
})

test('a URI keeps its own percent-encoding, whether the sender encoded it or not', async (t) => {
  t.equal(decodeHeaderUri('/a%2520b'), '/a%20b', 'encoded')
  t.equal(decodeHeaderUri('/a%20b'), '/a%20b', 'not encoded')
  t.equal(decodeHeaderUri('/a%20b%25'), '/a%20b%25', 'not encoded')
  t.equal(decodeHeaderUri('/plain'), '/plain')
  t.equal(decodeHeaderUri(encodeHeaderValue('/clients/%22%C3%BC')), '/clients/%22%C3%BC')
})
