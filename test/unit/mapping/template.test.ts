import { test } from 'tap'
import { parseRulePattern, type RulePattern } from '../../../lib/mapping/rule-pattern.ts'
import { parseTemplate, type Template, type TemplateKind } from '../../../lib/mapping/template.ts'
import type { Publish } from '../../../lib/message.ts'
import { publish } from '../../support/http-sink-events.ts'

const { captures } = parseRulePattern('sites/{site}/{rest...}') as RulePattern

function render (text: string, fields: Partial<Publish> = {}, kind: TemplateKind = 'text'): string | undefined {
  const template = parseTemplate(text, captures, kind)
  if (typeof template === 'string') throw new Error(template)
  const given = publish({ topic: 'sites/north/a/b', ...fields })
  const json = (): unknown => {
    try {
      return JSON.parse(given.payload.toString()) as unknown
    } catch {
      return undefined
    }
  }
  return template.render({ publish: given, levels: given.topic.split('/'), name: 'gw', json })
}

test('the first placeholder that has no value, and no text behind a bar, is named as it is written', async (t) => {
  for (const [text, expected] of [
    ['{site}-{payload.a}-{username}', '{payload.a}'],
    ['{payload.a|x}{rest}{payload["b c"]}', '{payload["b c"]}'],
    ['{payload.a|}', undefined],
    ['{site}', undefined],
    ['fixed', undefined]
  ] as const) {
    const template = parseTemplate(text, captures, 'text') as Template
    const given = publish({ topic: 'sites/north/a', payload: Buffer.from('{}') })
    t.equal(template.missing({ publish: given, levels: given.topic.split('/'), name: 'gw', json: () => ({}) }), expected, text)
  }
})

test('placeholders stand for what is known of a publish', async (t) => {
  const certificate = { cn: 'pump', sans: [{ type: 'URI', value: 'urn:a' }], fingerprint: 'ab' }
  const fields = {
    client: { id: 'dev', username: 'ada', certificate },
    qos: 2 as const,
    retain: true,
    payload: Buffer.from('{"t":21.50,"on":false,"n":{"a.b":"x"},"l":[1,"two"],"none":null,"e":""}')
  }
  for (const [text, expected] of [
    ['plain', 'plain'], ['{site}', 'north'], ['{rest}', 'a/b'], ['{clientid}-{username}', 'dev-ada'], ['{username.user}', 'ada'], ['{topic}', 'sites/north/a/b'],
    ['{topic[2]}', 'a'], ['{qos} {retain} {name}', '2 true gw'], ['{cert.cn} {cert.fingerprint} {cert.san.URI}', 'pump ab urn:a'],
    ['{payload.t}', '21.5'], ['{payload.on}', 'false'], ['{payload.n["a.b"]}', 'x'], ['{payload.l[1]}', 'two']
  ] as const) t.equal(render(text, fields), expected, text)
})

test('in a URI a value with a dot segment is none, whatever reads dots as a step up', async (t) => {
  for (const id of ['.', '..']) {
    const client = { client: { id } }
    t.equal(render('/x/{clientid}/y', client, 'uri'), undefined, id)
    t.equal(render('/x/{clientid|none}/y', client, 'uri'), '/x/none/y', id)
    t.equal(render('{clientid}', client), id, 'in no URI it is a text as any other')
    t.equal(render('/s/{site}', { topic: `sites/${id}/u` }, 'uri'), undefined, id)
    for (const topic of [`t/${id}/u`, `t/${id}`, id]) t.equal(render('/{topic}', { topic }, 'uri'), undefined, topic)
    const template = parseTemplate('/{clientid}', captures, 'uri') as Template
    t.equal(template.missing({ publish: publish(client), levels: [], name: 'gw', json: () => ({}) }), '{clientid}')
  }
  for (const id of ['...', '.a', 'a..', 'a/..b']) {
    t.equal(render('/{clientid}', { client: { id } }, 'uri'), `/${encodeURIComponent(id)}`)
    t.equal(render('/{topic}', { topic: id }, 'uri'), `/${id}`)
  }
})

test('a user name may be of a realm, which stands behind its last @', async (t) => {
  const of = (username: string | undefined) => ['{username.user}', '{username.realm}'].map((text) => {
    return render(text, { client: username === undefined ? { id: 'c' } : { id: 'c', username } })
  })
  t.same(of('sensor@tenant'), ['sensor', 'tenant'])
  t.same(of('a@b@c'), ['a@b', 'c'])
  t.same(of('sensor'), ['sensor', undefined])
  t.same(of('@tenant'), [undefined, 'tenant'])
  t.same(of('sensor@'), ['sensor', undefined])
  t.same(of(undefined), [undefined, undefined])
})

test('without a value there is no text, but for what stands behind the bar', async (t) => {
  const payload = Buffer.from('{"none":null,"e":"","n":{},"l":[1],"long":"' + 'x'.repeat(1025) + '","inf":1e999}')
  for (const name of [
    'username', 'cert.cn', 'topic[9]', 'payload.none', 'payload.e', 'payload.n', 'payload.l', 'payload.long', 'payload.inf',
    'payload.constructor', 'payload.__proto__', 'payload.l.length'
  ]) {
    t.equal(render(`a-{${name}}`, { payload }), undefined, name)
    t.equal(render(`a-{${name}|b c}`, { payload }), 'a-b c', name)
    t.equal(render(`{${name}|}`, { payload }), undefined, 'an empty text is none')
  }
  t.equal(render('{payload.a|x}', { payload: Buffer.from([0xff]) }), 'x', 'a payload that is no JSON has no fields')
  t.equal(render('{rest|none}', { topic: 'sites/north' }), 'none')
})

test('what lands in a URI is percent-encoded; only topics bring separators in', async (t) => {
  const uri = (text: string, fields: Partial<Publish> = {}) => render(text, fields, 'uri')
  t.equal(uri('/x/{clientid}', { client: { id: 'a/b?c#d e' } }), '/x/a%2Fb%3Fc%23d%20e', 'no device puts itself elsewhere')
  t.equal(uri('/x/{topic}', { topic: 'sites/k\u00fcche/a b' }), '/x/sites/k%C3%BCche/a%20b')
  t.equal(uri('/x/{rest}', { topic: 'sites/s/a b/c' }), '/x/a%20b/c')
  t.equal(uri('/{payload.a}', { payload: Buffer.from('{"a":"../x"}') }), '/..%2Fx')
  t.equal(uri('/{payload.a}', { payload: Buffer.from('{"a":"\\ud800"}') }), '/%EF%BF%BD')
  t.equal(uri('https://a.example/{site|no where}?x=1#y'), 'https://a.example/north?x=1#y')
})

test('what is no template is said in a sentence', async (t) => {
  for (const [text, kind, reason] of [
    ['{nothing}', 'text', /named levels of the topic \(site, rest\)/], ['{a', 'text', /brace/], ['a}', 'text', /brace/],
    ['{topic[x]}', 'text', /no placeholder/], ['{payload.}', 'text', /payload\.\}: /], ['{payload}', 'text', /no placeholder/],
    ['{cert.san.IP}', 'text', /no placeholder/], ['{property.a}', 'text', /the rule has no properties/],
    ['{property.}', 'text', /no placeholder/], ['a b', 'uri', /no URI has/], ['a%zz', 'uri', /no URI has/]
  ] as const) t.match(parseTemplate(text, captures, kind), reason, text)
  t.equal((parseTemplate('abc', [], 'text') as Template).fixed, true)
})
