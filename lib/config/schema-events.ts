/** The settings of events: what publishes become. A part of schema.ts. */
import { duration, oneOf, optionalSection, section, text, texts } from './setting.ts'
import { Type } from './type.ts'

/** Attributes that CloudEvents itself defines; an extension cannot have their names [CE 3.1]. */
export const CONTEXT_ATTRIBUTES = [
  'specversion', 'id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'dataschema', 'data'
] as const

/** What can become an event of the life of a client. */
const LIFECYCLE_EVENTS = ['connected', 'disconnected', 'subscribed', 'unsubscribed'] as const

const EXTENSION_NAMES = { pattern: '^[a-z0-9]{1,20}$', not: { enum: [...CONTEXT_ATTRIBUTES] } }
const NAMES_IN_WORDS = 'names of 1 to 20 characters of a-z and 0-9, none a CloudEvents attribute'
const TEMPLATE = 'a text with placeholders: docs/mapping.md'

const template = (description: string, example: string, allowed = TEMPLATE) =>
  Type.Optional(text({ description, maxLength: 4096, allowed, example }))

/** Platforms whose topics are known: docs/presets.md. */
const PRESETS = [
  'hono', 'aws-iot', 'azure-iot-hub', 'sparkplug-b', 'home-assistant', 'tasmota', 'zigbee2mqtt', 'drogue'
] as const

const set = (description: string, byDefault: boolean) => Type.Boolean({ description, default: byDefault })

/** A list of filters. @param effect what they do, in one sentence */
export const filterSetting = (effect: string) => Type.Optional(Type.Unsafe<unknown[]>({
  type: 'array',
  minItems: 1,
  maxItems: 256,
  description: `Filters of the CloudEvents Subscriptions API, on attributes and on fields of the payload (\`data.temperature\`). ${effect}`,
  allowed: 'a list of filters: exact, prefix, suffix, all, any, not, greaterThan, lessThan',
  example: [{ greaterThan: { 'data.temperature': 20 } }]
}))

const rule = Type.Object({
  topic: text({
    description: 'The topics it is for: a topic filter in which a level may have a name, `{site}`, and the rest of the topic, `{rest...}`, or its property bag, `{?bag}`.',
    maxLength: 65_535,
    allowed: 'a topic filter, with {name} for a level, {name...} for the rest and {?name} for a property bag',
    example: 'sites/{site}/devices/{device}/telemetry'
  }),
  drop: Type.Boolean({
    description: 'Makes no events of these topics. Their publishes are acknowledged and sent to subscribers.', default: false
  }),
  type: template('`type` of the event.', 'com.example.telemetry'),
  source: template('`source` of the event; what placeholders bring in is percent-encoded.', '/sites/{site}/devices/{device}'),
  subject: template('`subject` of the event; left out where a placeholder has no value.', '{device}'),
  partitionKey: template('Events of one key reach the sink in the order in which they were stored. The client identifier, unless given.', '{device}'),
  contentType: template('`datacontenttype` of the event; found by the content where it is not given, has no value or is no media type.', 'application/json', `a media type, or ${TEMPLATE}`),
  properties: optionalSection('The property bag of the topic: `name=value` pairs, percent-encoded and separated by `&`. Placeholders `{property.NAME}` stand for its values.', {
    from: text({ description: 'The named level or rest of the topic that holds it.', maxLength: 256, allowed: 'a name of the topic, as {bag}', example: '{bag}' }),
    extensions: Type.Boolean({
      description: 'Makes extension attributes of the properties whose names, in lower case, can be one. Those of `extensions` stand above them.', default: false
    })
  }),
  dataschema: template(
    '`dataschema` of the event.', 'https://example.com/schemas/telemetry.json', 'an absolute URI with placeholders: docs/mapping.md'
  ),
  expiry: Type.Optional(duration({
    description: 'How long after its arrival an event is of use: `expirytime`. What is not delivered then is not delivered any more.', minimumMs: 1, maximumMs: 3660 * 86_400_000, example: 'PT1H'
  })),
  extensions: Type.Unsafe<Record<string, string>>({
    type: 'object',
    description: 'Extension attributes by name, over those that every event has; one is left out where a placeholder has no value.',
    default: {},
    allowed: `${NAMES_IN_WORDS}; each value ${TEMPLATE}`,
    propertyNames: EXTENSION_NAMES,
    additionalProperties: { type: 'string', minLength: 1, maxLength: 4096, allowed: TEMPLATE }
  }),
  filter: filterSetting('An event for which not all of them hold is left out.'),
  supersede: template('While an event is not delivered, a newer one with the same key makes it irrelevant, and only the newest is sent; `sampledrate` says for how many it stands.', '{device}'),
  ack: oneOf(['stored', 'received', 'delivered'], {
    description: 'When a publish at QoS 1 or 2 is acknowledged. `stored`: the event is on disk; `received`: at once, and what is not stored yet is lost in a crash; `delivered`: every sink has the event, or it is a dead letter.',
    default: 'stored'
  }),
  cloudevents: optionalSection('Takes payloads for CloudEvents that the device has made, in structured JSON, and passes them on with their own attributes.', {
    trustSource: texts({
      description: 'The `source` that a device may claim: texts with placeholders, with `*` at the end for anything that begins like this.',
      allowed: `${TEMPLATE}, with * at its end only`,
      minItems: 1,
      example: ['/devices/{clientid}/*']
    }),
    invalid: oneOf(['data', 'drop', 'refuse', 'deadLetter'], {
      description: 'What becomes of a payload that is no CloudEvent, or claims another source. `data`: an event of this rule, with it as data; `drop`: no event; `deadLetter`: a dead letter; `refuse`: it is not acknowledged, and its connection is closed.',
      default: 'data'
    })
  }),
  missing: oneOf(['omit', 'deadLetter'], {
    description: 'What becomes of an event for which a template has no value. `omit`: the attribute is left out, or as without rules; `deadLetter`: the event is a dead letter.',
    default: 'omit'
  }),
  transform: Type.Optional(text({
    description: 'JSONata that makes the data of the event out of a JSON payload. It can ask for `$event`, the attributes, and `$topic`.',
    maxLength: 65_535,
    allowed: 'a JSONata expression: https://docs.jsonata.org',
    example: '{ "celsius": (fahrenheit - 32) * 5 / 9 }'
  })),
  schema: optionalSection('What the data of the event has to be like, after the transform: a JSON Schema (draft-07 or 2020-12).', {
    file: Type.Optional(text({
      description: 'A file with the JSON Schema.', allowed: 'a path', example: '/etc/mqtt-broker-source/telemetry.schema.json'
    })),
    inline: Type.Optional(Type.Unsafe<Record<string, unknown>>({
      type: 'object',
      description: 'The JSON Schema itself, instead of a file.',
      allowed: 'a JSON Schema that refers to nothing outside of it',
      example: { required: ['value'] }
    })),
    otherwise: oneOf(['deadLetter', 'refuse', 'drop'], {
      description: 'What becomes of data that does not fit. `deadLetter`: the event is a dead letter; `refuse`: the publish is not acknowledged, and its connection is closed; `drop`: no event.',
      default: 'deadLetter'
    })
  })
}, { additionalProperties: false, description: 'One rule.' })

export const eventsSection = section('How a publish becomes a CloudEvent: docs/mapping.md.', {
  rules: Type.Array(rule, {
    description: 'What topics become. The first rule whose `topic` matches decides; what it does not say, and topics that no rule is for, are as without rules.',
    default: [],
    maxItems: 100_000,
    allowed: 'a list of rules'
  }),
  lifecycle: optionalSection('Makes events of what happens to clients, beside what they publish: docs/lifecycle.md. `lifecycle: {}` makes all of them; without this section there are none.', {
    events: Type.Unsafe<Array<(typeof LIFECYCLE_EVENTS)[number]>>({
      type: 'array',
      description: 'What becomes an event.',
      default: [...LIFECYCLE_EVENTS],
      minItems: 1,
      uniqueItems: true,
      allowed: `a list of ${LIFECYCLE_EVENTS.join(', ')}`,
      items: { type: 'string', enum: [...LIFECYCLE_EVENTS] }
    }),
    source: Type.Optional(text({
      description: '`source` of these events; what placeholders bring in is percent-encoded. That of the events without rules, unless given.',
      maxLength: 4096,
      allowed: 'a text with the placeholders {clientid}, {username}, {name}, {cert.…}: docs/lifecycle.md',
      example: '/devices/{clientid}'
    }))
  }),
  transformTimeout: duration({
    description: 'Longest time for the transform of one event; one that takes longer makes it a dead letter.',
    default: 'PT0.25S',
    minimumMs: 10,
    maximumMs: 10_000
  }),
  presets: Type.Unsafe<Array<typeof PRESETS[number]>>({
    type: 'array',
    description: 'Rules for the topics of other platforms, whose devices connect unchanged: docs/presets.md. They stand behind `rules`, in this order.',
    default: [],
    uniqueItems: true,
    allowed: `a list of ${PRESETS.join(', ')}, each once`,
    items: { type: 'string', enum: [...PRESETS] }
  }),
  extensions: section('Which extension attributes are set on every event that has them. One that is off is left to rules, overrides and devices: docs/mapping.md.', {
    partitionkey: set('`partitionkey`: the key by which events are ordered.', true),
    mqttqos: set('`mqttqos`: the quality of service of the publish.', true),
    mqttretain: set('`mqttretain`: true where the publish was to be retained.', true),
    recordedtime: set('`recordedtime`: the arrival, where the device gave a `time` of its own.', true),
    expirytime: set('`expirytime`: when the event is of no use any more, by `expiry` of its rule or by its device.', true),
    sampledrate: set('`sampledrate`: for how many events one stands that others were superseded by.', true),
    sequence: set('`sequence`: a number without gaps for each `source`, from 0000000000000001 on, by which a receiver sees that nothing is missing. Kept for `limits.sequenceSources` sources.', false),
    traceparent: set('`traceparent`: begins a trace (W3C Trace Context) where the device brings none.', false),
    authtype: set('`authtype`: how the device proved who it is.', false),
    authid: set('`authid`: the name that the device proved. Needs `authtype`.', false)
  }),
  overrides: section('What is set on every event, whatever the mapping says.', {
    extensions: Type.Unsafe<Record<string, string>>({
      type: 'object',
      description: 'Extension attributes by name.',
      knative: 'K_CE_OVERRIDES',
      default: {},
      allowed: `${NAMES_IN_WORDS}; values non-empty texts without control characters`,
      propertyNames: EXTENSION_NAMES,
      additionalProperties: {
        type: 'string',
        minLength: 1,
        pattern: '^[^\\u0000-\\u001f\\u007f-\\u009f]*$',
        allowed: 'a non-empty text without control characters'
      }
    })
  })
})
