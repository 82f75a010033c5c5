import { test } from 'tap'
import { parseClientTemplate, type ClientTemplate } from '../../../lib/mapping/client-template.ts'

const certificate = { cn: 'pump', sans: [{ type: 'URI', value: 'urn:a' }], fingerprint: 'ab' }
const client = { id: 'a/b', username: 'ada', certificate }

test('placeholders stand for what is known of a client', async (t) => {
  for (const [text, expected] of [
    ['/d/{clientid}', '/d/a%2Fb'], ['{username}@{name}', 'ada@gw'], ['{cert.cn}-{cert.fingerprint}', 'pump-ab'],
    ['{cert.san.URI}', 'urn%3Aa'], ['{cert.san.DNS|none}', 'none'], ['{cert.san.DNS}', undefined]
  ] as const) t.equal((parseClientTemplate(text, 'uri') as ClientTemplate).render(client, 'gw'), expected, text)
})

test('what only a publish has is no placeholder here', async (t) => {
  for (const name of ['topic', 'topic[0]', 'qos', 'retain', 'payload.a', 'site', 'cert.sn', '']) {
    t.match(parseClientTemplate(`/a/{${name}|x}`, 'uri'), `{${name}} is no placeholder here`, name)
  }
})

test('mistakes of every template are mistakes of these', async (t) => {
  t.match(parseClientTemplate('/a/{clientid', 'uri'), 'a brace')
  t.match(parseClientTemplate('/a b', 'uri'), 'no URI')
})
