import { test } from 'tap'
import { contentKind, isMediaType, mediaType } from '../../../lib/cloudevent/media-type.ts'

test('JSON is */json and *+json, text is text/*, in UTF-8 [CE-JSON 3.1]', async (t) => {
  const kinds = {
    json: [
      'application/json', 'APPLICATION/JSON', 'application/json; charset=utf-8', 'text/json', 'application/ld+json',
      'application/vnd.example+json;version=1', 'application/cloudevents+json', 'application/json;charset="UTF-8"'
    ],
    text: ['text/plain', 'text/plain; charset=us-ascii', 'text/csv', 'TEXT/HTML'],
    bytes: [
      'application/octet-stream', 'application/xml', 'image/png', 'application/jsonx', 'application/x-json-stream', '', 'json',
      'text/plain; charset=iso-8859-1', 'application/json; charset=utf-16', 'application/json-seq'
    ]
  }
  for (const [kind, types] of Object.entries(kinds)) {
    for (const type of types) t.equal(contentKind(type), kind, type)
  }
})

test('the media type is told without parameters, in lower case', async (t) => {
  t.equal(mediaType(' Application/JSON ; charset=utf-8'), 'application/json')
  t.equal(mediaType(''), '')
})

test('a media type is a type, a subtype and parameters [RFC 9110 8.3.1]', async (t) => {
  for (const type of ['text/plain', 'a/b', 'application/vnd.x+json', 'text/plain;charset=utf-8', 'text/plain ; a=b;c="d; \\"e"', '*/*']) {
    t.ok(isMediaType(type), type)
  }
  for (const type of ['', 'text', 'text/', '/plain', 'a/b/c', 'text/pl ain', ' text/plain', 'text/plain;', 'text/plain;a', 'a/b;c="', 'a/b;c=d e', 'a/b\r\nx: y', 'ü/b', `a/${'b'.repeat(255)}`]) {
    t.notOk(isMediaType(type), type)
  }
  const begun = performance.now()
  for (const piece of ['a', ';a="', ';a=b', '\\"', ' ']) isMediaType(`a/b${piece.repeat(200)}`)
  t.ok(performance.now() - begun < 100)
})
