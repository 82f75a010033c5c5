import { test } from 'tap'
import { loadConfig } from '../../../lib/config/load.ts'
import { mistakesIn } from '../../support/config-files.ts'

const warningsOf = (settings: object) => loadConfig({ env: {}, settings }).warnings
const mistakes = (settings: object) => [...mistakesIn({ settings }).entries()].map(([path, { allowed }]) => `${path}: ${allowed}`)

test('presets are names, each once, from a file or the environment', async (t) => {
  t.same(loadConfig({ env: { MBS_EVENTS_PRESETS: '[hono, tasmota]' } }).config.events.presets, ['hono', 'tasmota'])
  t.match(mistakes({ events: { presets: ['honno'] } }), [/^events\.presets\[0\]: hono, aws-iot, azure-iot-hub, sparkplug-b, home-assistant, tasmota, zigbee2mqtt, drogue$/])
  t.match(mistakes({ events: { presets: ['hono', 'hono'] } }), [/^events\.presets: .*each once$/])
})

test('a preset behind one that takes its topics is warned of; in the other order it is not', async (t) => {
  const all = ['hono', 'aws-iot', 'azure-iot-hub', 'sparkplug-b', 'home-assistant', 'tasmota', 'zigbee2mqtt', 'drogue']
  t.same(warningsOf({ events: { presets: all } }), [])
  t.match(warningsOf({ events: { presets: ['drogue', 'sparkplug-b', 'home-assistant'] } }), [
    'events.presets: drogue comes before sparkplug-b and matches all topics of 1 of its 10 rules, which never decide; put it behind',
    'events.presets: drogue comes before home-assistant and matches all topics of 1 of its 6 rules, which never decide; put it behind'
  ])
})

test('a preset that takes some topics of one behind it is warned of; in the other order it is not', async (t) => {
  const warnings = (...presets: string[]) => warningsOf({ events: { presets } })
  t.same(warnings('drogue', 'zigbee2mqtt'), ['events.presets: drogue comes before zigbee2mqtt and takes some topics of 2 of its 22 rules; put it behind'])
  t.same(warnings('drogue', 'hono'), ['events.presets: drogue comes before hono and takes some topics of 4 of its 20 rules; put it behind'])
  t.same(warnings('zigbee2mqtt', 'hono', 'drogue'), [])
  for (const free of ['aws-iot', 'azure-iot-hub', 'tasmota']) t.same(warnings('drogue', free), [], free)
  t.same(warningsOf({ events: { presets: ['drogue', 'zigbee2mqtt'], rules: [{ topic: 'zigbee2mqtt/#' }] } }), [], 'what is taken before')
})

test('that a rule of the user stands before a preset is no mistake', async (t) => {
  t.same(warningsOf({ events: { presets: ['tasmota'], rules: [{ topic: 'tele/#', type: 'own' }] } }), [])
  t.match(warningsOf({ events: { presets: ['tasmota'], rules: [{ topic: 'tele/#' }, { topic: 'tele/+/LWT' }] } }), [/^events\.rules\[1\].*never decides: events\.rules\[0\]/])
})

test('a rule for topics that begin with $ needs the preset that opens them', async (t) => {
  const events = (topic: string, presets: string[]) => mistakes({ events: { presets, rules: [{ topic, type: 'own' }] } })
  t.same(events('$aws/things/{thing}/shadow/update', ['aws-iot']), [])
  t.same(events('$aws/rules/r/{rest...}', ['aws-iot']), [])
  t.same(events('$iothub/twin/GET/{?bag}', ['azure-iot-hub']), [])
  for (const [topic, presets] of [['$aws/rules/r', []], ['$aws/rules/r', ['azure-iot-hub']], ['$SYS/a', ['aws-iot']], ['$aws/events/a', ['aws-iot']]] as const) {
    t.match(events(topic, [...presets]), [/^events\.rules\[0\]\.topic: a topic that does not begin with \$/], topic)
  }
})

test('a permission for topics that no preset opens is warned of', async (t) => {
  const warnings = (publish: string, presets: string[]) =>
    warningsOf({ access: { permissions: [{ who: '*', publish: [publish] }] }, events: { presets } })
  t.same(warnings('$aws/things/{clientid}/shadow/#', ['aws-iot']), [])
  t.same(warnings('$iothub/#', ['azure-iot-hub']), [])
  t.match(warnings('$aws/things/{clientid}/shadow/#', []), [/^access\.permissions\[0\]\.publish\[0\] .* allows nothing: no preset/])
  t.match(warnings('$aws/events/#', ['aws-iot']), [/allows nothing/])
})

test('a content type is a media type, or a text with placeholders', async (t) => {
  const contentType = (text: string, properties = {}) => mistakes({ events: { rules: [{ topic: 'a/{?bag}', contentType: text, ...properties }] } })
  t.same(contentType('application/senml+json'), [])
  t.same(contentType('{property.content-type|text/plain}', { properties: { from: '{bag}' } }), [])
  t.match(contentType('text'), [/^events\.rules\[0\]\.contentType: a media type/])
  t.match(contentType('{property.x}'), [/^events\.rules\[0\]\.contentType: /])
  t.match(contentType('text/plain', { properties: { from: 'bag' } }), [/^events\.rules\[0\]\.properties\.from: a name of the topic/])
})

test('a transform that calls what there is not is a mistake', async (t) => {
  const transform = (text: string) => mistakesIn({ settings: { events: { rules: [{ topic: 'a', transform: text }] } } })
  t.match(transform('{ "a": $rond(b) }').get('events.rules[0].transform'), { allowed: 'a JSONata expression', hint: 'there is no function $rond, at character 12' })
  t.equal(transform('{ "a": $round(b) }').size, 0)
})

test('a filter that keeps what is wrong from the schema is warned of', async (t) => {
  const warnings = (filter: object[], otherwise = 'deadLetter') =>
    warningsOf({ events: { rules: [{ topic: 'a', filter, schema: { inline: { required: ['x'] }, otherwise } }] } })
  t.same(warnings([{ greaterThan: { 'data.x': 0 } }]), [
    'events.rules[0].filter leaves out what has no data.x, or one of another type, before the schema sees it: that is dropped, ' +
    'and never a dead letter. Where the schema is to judge it, write the filter with `not` (docs/mapping.md, Filters)'
  ])
  t.match(warnings([{ greaterThan: { 'data.x': 0 } }], 'refuse'), [/never refused/])
  t.same(warnings([{ greaterThan: { 'data.x': 0 } }], 'drop'), [])
  t.same(warnings([{ not: { lessThan: { 'data.x': 0 } } }, { exact: { type: 'a' } }]), [])
  t.same(warningsOf({ events: { rules: [{ topic: 'a', filter: [{ greaterThan: { 'data.x': 0 } }] }] } }), [], 'without a schema it is just a filter')
})

test('many such filters are counted', async (t) => {
  const rules = Array.from({ length: 22 }, (_, at) => ({ topic: `a/${at}`, filter: [{ exact: { 'data.x': 1 } }], schema: { inline: {} } }))
  const warnings = warningsOf({ events: { rules } })
  t.equal(warnings.length, 21)
  t.match(warnings.at(-1), /^2 more of events\.rules/)
})
