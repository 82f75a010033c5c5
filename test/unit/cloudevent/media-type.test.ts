import { test } from 'tap'
import { contentKind, mediaType } from '../../../lib/cloudevent/media-type.ts'

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
