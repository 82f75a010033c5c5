import { test } from 'tap'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { parse } from 'yaml'
import { loadConfig } from '../../../lib/config/load.ts'
import { configurationPage, defaultYaml, jsonSchema } from '../../../lib/config/reference.ts'
import { allowedBy, type SchemaNode } from '../../../lib/config/setting.ts'
import { listSettings, schemaRoot } from '../../../lib/config/settings.ts'
import { writeYaml } from '../../support/config-files.ts'

/** A validator as any other program would make one: strict, knowing nothing of ours. */
function foreignValidator (): ValidateFunction {
  return new Ajv2020({ strict: true, allowUnionTypes: true }).compile(jsonSchema())
}

test('the JSON Schema is one that any validator takes, and it accepts what the program accepts', async (t) => {
  const validate = foreignValidator()
  t.equal(validate({}), true)
  t.equal(validate(parse(defaultYaml())), true)
  t.equal(validate({ listeners: [{ protocol: 'mqtts', tls: { cert: 'a', key: 'b' } }], delivery: { backoffDelay: 'PT0.2S' } }), true)
})

test('the JSON Schema refuses unknown settings, wrong types and missing ones', async (t) => {
  const validate = foreignValidator()
  for (const wrong of [
    { nme: 'a' }, { limits: { packetByts: 1 } }, { http: { port: '1' } }, { sink: { timeout: '10s' } }, { outbox: { maxBytes: '1GB' } },
    { listeners: [] }, { listeners: [{ tls: { cert: 'a' } }] }, { delivery: { deadLetterSink: {} } },
    { events: { overrides: { extensions: { id: 'a' } } } }
  ]) t.equal(validate(wrong), false, JSON.stringify(wrong))
})

test('the file of defaults says exactly what is the case without a file', async (t) => {
  const file = writeYaml(t.testdir(), defaultYaml())
  t.strictSame(loadConfig({ env: {}, file }).config, loadConfig({ env: {} }).config)
})

test('what stands in the file of defaults as a comment is right when the comment is taken away', async (t) => {
  // Settings stand in comments as `# key: value` or `#   key: value`, descriptions begin with a capital or a backquote.
  const uncommented = defaultYaml().split('\n')
    .map((line) => /^(?:\s*# )+\s*[a-z][A-Za-z]*:(?: |$)/.test(line)
      ? line.replace(/^(?:\s*# )+/, (comment) => comment.replaceAll('# ', ''))
      : line)
    // What excludes each other cannot stand there together.
    .filter(notOfRedis())
    .filter((line) => !/^ *(?:basic|username|passwordFile|oauth2|tokenUrl|clientId|clientSecretFile|scopes|audience):(?! mqtt$| sub$)/.test(line))
    .filter((line) => !/yaml-language-server|BEGIN CERT|publicKey:|permissionsFile:|^ *(?:socket|socketMode):/.test(line))
    .join('\n').replace('protocol: mqtt\n', 'protocol: wss\n')
  const { config } = loadConfig({ env: {}, file: writeYaml(t.testdir(), uncommented) })
  t.match(config, {
    listeners: [{ port: 1883, path: '/mqtt', origins: [/^https:/], proxyProtocol: { trusted: ['10.0.0.0/8', '::1'] }, tls: { cert: 'tls.crt', key: 'tls.key', ca: 'ca.crt', clientCertificate: 'none' } }],
    sink: {
      kind: 'http',
      url: 'http://localhost:8090/',
      ca: 'sink-ca.crt',
      auth: { bearer: { file: '/oidc/token' } },
      tls: { cert: 'client.crt' }
    },
    delivery: { deadLetterSink: { url: 'http://localhost:8091/', auth: { bearer: { file: '/oidc/token' } } } },
    access: {
      permissions: [{ who: '*', publish: ['devices/{clientid}/#'] }],
      jwt: { jwks: 'https://issuer.example/keys.json', audience: 'mqtt', algorithms: ['RS256', 'PS256', 'ES256', 'EdDSA', 'Ed25519'] },
      http: { url: 'https://devices.example/authenticate', tokenFile: 'hook-token.txt' }
    }
  })
})

test('every setting has a description, and a default, a computed one, or an example', async (t) => {
  for (const { path, node } of listSettings()) {
    t.match(node.description, /^[`A-Z].*\.$/, path)
    t.ok([node.default, node.computed, node.example].some((value) => value !== undefined), path)
    t.not(allowedBy(node), 'a text', `${path} says what it allows`)
  }
})

test('every default is within its own bounds', async (t) => {
  // What else a section needs that is not there by itself.
  const needed: Record<string, object> = {
    'access.jwt': { jwks: 'keys.json', audience: 'mqtt' },
    'access.http': { url: 'https://devices.example/' },
    'delivery.deadLetterSink': { url: 'https://dead.example/' },
    redis: { url: 'redis://localhost' }
  }
  const each = (node: SchemaNode, keys: string[] = []): void => {
    for (const [key, child] of Object.entries(node.properties ?? {})) each(child, [...keys, key])
    if (node.properties !== undefined || node.default === undefined || node.items !== undefined) return
    const settings = keys.reduceRight<unknown>((value, key, at) => ({
      ...needed[keys.slice(0, at).join('.')], [key]: value
    }), node.default) as object
    t.doesNotThrow(() => loadConfig({ env: {}, settings }), keys.join('.'))
  }
  each(schemaRoot)
})

test('the page lists every setting with its environment name, once', async (t) => {
  const page = configurationPage()
  for (const { path, environment } of listSettings()) {
    t.equal(page.split(`| \`${path}\` | \`${environment}\``).length, 2, path)
  }
  for (const line of page.split('\n').filter((text) => text.startsWith('|'))) {
    const columns = line.replaceAll('\\|', '').split('|').length
    t.ok(columns === 7 || columns === 4, line)
  }
})

test('the page says of each list what it holds by default', async (t) => {
  const defaults = new Map(configurationPage().split('\n').filter((line) => line.startsWith('| `'))
    .map((line) => line.replaceAll('\\|', '').split('|').map((cell) => cell.trim())).map(([, path, , , value]) => [path, value]))
  for (const { path, node } of listSettings()) {
    if (!Array.isArray(node.default)) continue
    if (path === 'listeners') t.equal(defaults.get('`listeners`'), 'one `mqtt` listener on 127.0.0.1:1883')
    else t.equal(defaults.get(`\`${path}\``), `\`${JSON.stringify(node.default).replaceAll('"', '').replaceAll(',', ', ')}\``, path)
  }
  t.match(loadConfig({ env: {} }).config.listeners, [{ protocol: 'mqtt', host: '127.0.0.1', port: 1883 }])
})

/** Leaves out, of the section `redis`, all that does not go with its URL. */
function notOfRedis (): (line: string) => boolean {
  let section = ''
  let part = ''
  return (line) => {
    section = /^(\w+):/.exec(line)?.[1] ?? section
    part = /^ {2}(\w+):/.exec(line)?.[1] ?? part
    return section !== 'redis' || line.startsWith('redis:') || ['url', 'keyPrefix', 'timeout'].includes(part)
  }
}
