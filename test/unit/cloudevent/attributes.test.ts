import { test } from 'tap'
import { CloudEvent } from 'cloudevents'
import {
  assertExtension, CONTEXT_ATTRIBUTES, extensionProblem, formatValue, isAttributeString, SDK_MEMBERS, toAttributeString
} from '../../../lib/cloudevent/attributes.ts'
import { errorTable } from '../../../lib/errors.ts'

test('what a String must not contain is percent-encoded, the rest stays [CE 3.1]', async (t) => {
  const cases: [text: string, attribute: string][] = [
    ['sensors/temperature', 'sensors/temperature'],
    ['', ''],
    ['a b%20"c"', 'a b%20"c"'],
    ['küche/温度/😀', 'küche/温度/😀'],
    ['a\u0001b', 'a%01b'],
    ['line\nfeed\ttab\u007f', 'line%0Afeed%09tab%7F'],
    ['\u0080\u009f\u00a0', '%C2%80%C2%9F\u00a0'],
    ['\ufdd0\ufdef\ufffe\uffff', '%EF%B7%90%EF%B7%AF%EF%BF%BE%EF%BF%BF'],
    ['\u{1fffe}\u{10ffff}', '%F0%9F%BF%BE%F4%8F%BF%BF'],
    ['lone \ud800 surrogate \udc00', 'lone %EF%BF%BD surrogate %EF%BF%BD']
  ]
  for (const [text, attribute] of cases) {
    t.equal(toAttributeString(text), attribute)
    t.equal(isAttributeString(text), text === attribute, JSON.stringify(text))
  }
})

test('an extension has a legal name and a value of the type system [CE 3.1]', async (t) => {
  const legal: [string, unknown][] = [
    ['a', 'x'], ['abcdefghij0123456789', ''], ['n', 0], ['n', -2147483648], ['n', 2147483647], ['b', true], ['b', false],
    ['u', 'küche "a" 100 %']
  ]
  for (const [name, value] of legal) t.equal(extensionProblem(name, value), undefined, `${name}=${String(value)}`)
  const illegal: [string, unknown][] = [
    ['', 'x'], ['abcdefghij01234567890', 'x'], ['Upper', 'x'], ['with-dash', 'x'], ['with_line', 'x'], ['ü', 'x'],
    ['n', 1.5], ['n', 2147483648], ['n', NaN], ['o', {}], ['o', null], ['o', undefined], ['s', 'a\u0000'], ['s', '\ud800']
  ]
  for (const [name, value] of illegal) t.type(extensionProblem(name, value), 'string', `${name}=${String(value)}`)
})

test('context attributes and the members of the JSON format are no extensions', async (t) => {
  for (const name of ['specversion', 'id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'dataschema']) {
    t.match(extensionProblem(name, 'x'), /context attribute/)
  }
  for (const name of ['data', 'data_base64', 'datacontentencoding', 'schemaurl']) {
    t.type(extensionProblem(name, 'x'), 'string', name)
  }
})

test('the members of the SDK are those that an extension would take the place of', async (t) => {
  const members = new Set<string>()
  const event: object = new CloudEvent({ source: '/s', type: 't' })
  for (let at: unknown = event; at !== null; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) members.add(name)
  }
  const legal = [...members].filter((name) => !CONTEXT_ATTRIBUTES.has(name) && extensionProblem(name, 'x') === undefined)
  t.same(legal.sort(), [...SDK_MEMBERS].sort())
})

test('an illegal extension is refused with its name and the reason', async (t) => {
  t.throws(() => { assertExtension('id', 'x') }, { code: 'MBS_ERR_CLOUDEVENT_ATTRIBUTE', message: /attribute id .*context/ })
  t.doesNotThrow(() => { assertExtension('site', 'x') })
  t.ok(errorTable.MBS_ERR_CLOUDEVENT_ATTRIBUTE.help)
})

test('values have their canonical string form', async (t) => {
  t.same([true, false, 0, -17, '07'].map(formatValue), ['true', 'false', '0', '-17', '07'])
})
