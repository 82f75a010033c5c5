import { test } from 'tap'
import { loadConfig } from '../../../lib/config/load.ts'
import { listSettings } from '../../../lib/config/settings.ts'
import { mistakesIn } from '../../support/config-files.ts'

const load = (env: Record<string, string>) => loadConfig({ env }).config

test('every setting has an environment name of its own, made from its path', async (t) => {
  const names = listSettings().map(({ environment }) => environment)
  t.equal(new Set(names).size, names.length)
  for (const [path, name] of [
    ['limits.packetBytes', 'MBS_LIMITS_PACKET_BYTES'], ['dataDir', 'MBS_DATA_DIR'], ['listeners', 'MBS_LISTENERS'],
    ['listeners[n].tls.clientCertificate', 'MBS_LISTENERS_<n>_TLS_CLIENT_CERTIFICATE'],
    ['delivery.deadLetterSink.url', 'MBS_DELIVERY_DEAD_LETTER_SINK_URL']
  ]) t.equal(listSettings().find((setting) => setting.path === path)?.environment, name)
})

test('text becomes what its setting is', async (t) => {
  const config = load({
    MBS_NAME: 'gateway-1',
    MBS_LIMITS_CONNECTIONS: '5',
    MBS_LIMITS_PACKET_BYTES: '1MiB',
    MBS_OUTBOX_MAX_BYTES: '2000000',
    MBS_SINK_TIMEOUT: 'PT5S',
    MBS_LISTENERS_0_ANONYMOUS: 'true',
    MBS_DELIVERY_DEAD_LETTER_SINK_URL: 'http://dead/',
    MBS_EVENTS_OVERRIDES_EXTENSIONS: '{ site: a }',
    MBS_LOG_LEVEL: ' debug\n'
  })
  t.match(config, {
    name: 'gateway-1',
    limits: { connections: 5, packetBytes: 1_048_576 },
    outbox: { maxBytes: 2_000_000 },
    sink: { timeout: 5000 },
    delivery: { deadLetterSink: { url: 'http://dead/' } },
    events: { overrides: { extensions: { site: 'a' } } },
    log: { level: 'debug' }
  })
})

test('a list is given as a whole, place by place, or both', async (t) => {
  t.strictSame(load({ MBS_LISTENERS: '[{"port":1},{"port":2}]' }).listeners.map(({ port }) => port), [1, 2])
  t.strictSame(load({ MBS_LISTENERS_1_PORT: '4', MBS_LISTENERS_0_PORT: '3' }).listeners.map(({ port }) => port), [3, 4])
  t.strictSame(load({ MBS_LISTENERS_1_PORT: '9', MBS_LISTENERS: '[{port: 1}, {port: 2}]' }).listeners.map(({ port }) => port), [1, 9])
  const ten = Object.fromEntries([...Array(11).keys()].reverse().map((place) => [`MBS_LISTENERS_${place}_PORT`, String(100 + place)]))
  t.equal(load(ten).listeners[10]?.port, 110, 'places are numbers, not text')
})

test('a gap in a list is a mistake', async (t) => {
  const mistakes = mistakesIn({ env: { MBS_LISTENERS_2_PORT: '1' } })
  t.equal(mistakes.size, 1)
  t.match(mistakes.get('listeners[2].port'), { allowed: 'places without gaps', origin: 'environment MBS_LISTENERS_2_PORT' })
})

test('text that is no value of its setting is a mistake that names the variable', async (t) => {
  const env = {
    MBS_HTTP_PORT: '80a', MBS_LISTENERS_0_ANONYMOUS: 'yes', MBS_EVENTS_OVERRIDES_EXTENSIONS: '{{', MBS_LIMITS_TOPIC_LEVELS: '1.5'
  }
  const mistakes = [...mistakesIn({ env }).values()]
  t.strictSame(mistakes.map(({ origin, found }) => [origin, found]).sort(), [
    ['environment MBS_EVENTS_OVERRIDES_EXTENSIONS', '"{{"'],
    ['environment MBS_HTTP_PORT', '"80a"'],
    ['environment MBS_LIMITS_TOPIC_LEVELS', '"1.5"'],
    ['environment MBS_LISTENERS_0_ANONYMOUS', '"yes"']
  ])
})

test('an unknown MBS_ variable is a mistake that names the nearest one and hides its value', async (t) => {
  const mistakes = mistakesIn({ env: { MBS_SINK_URI: 'sesame', MBS_LISTENERS_X_PORT: '1' } })
  t.strictSame([...mistakes.keys()], ['MBS_SINK_URI', 'MBS_LISTENERS_X_PORT'])
  t.equal(mistakes.get('MBS_SINK_URI')?.hint, 'did you mean MBS_SINK_URL?')
  t.notMatch(JSON.stringify([...mistakes.values()]), /sesame/)
})

test('what Kubernetes sets for a Service of the name mbs is explained', async (t) => {
  for (const name of ['MBS_SERVICE_HOST', 'MBS_PORT', 'MBS_MQTT_PORT_1883_TCP_ADDR', 'MBS_SERVICE_PORT_MQTT']) {
    t.match(mistakesIn({ env: { [name]: 'tcp://10.0.0.1:1883' } }).get(name)?.hint, /enableServiceLinks/, name)
  }
})

test('an empty variable counts as not set, and other variables are nobody\'s business', async (t) => {
  t.strictSame(load({ MBS_SINK_URL: '', MBS_HTTP_PORT: ' ', MBS_UNKNOWN: '', PATH: '/bin', SINK_URL: 'x' }), load({}))
})
