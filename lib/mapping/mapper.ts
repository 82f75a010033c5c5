/**
 * Publish -> CloudEvent, between access and the outbox. The default rule: the device is the source, the topic is the
 * subject. Whatever topic and client id a device chooses, the event is valid; the same publish and id give the same
 * event. Pure but for the text of the last millisecond.
 */
import { assertExtension, toAttributeString } from '../cloudevent/attributes.ts'
import type { Event, ExtensionValue, Publish } from '../message.ts'
import { detectContentType } from './content-type.ts'

export interface MapperOptions {
  /** Names this broker in `source`. */
  readonly name: string
  /** Extensions put on every event, over those of the rule (K_CE_OVERRIDES). */
  readonly overrides: Readonly<Record<string, string>>
}

/** Makes the event of a publish. @param id the event's `id`, unique for its source */
export type Mapper = (publish: Publish, id: string) => Event

/** The `type` of every event of the default rule. */
export const DEFAULT_TYPE = 'dev.mqttbrokersource.publish'

/** Characters of a path segment that need no encoding [RFC 3986 2.3]. */
const UNRESERVED = /^[A-Za-z0-9._~-]*$/

/**
 * Makes the mapper of the default rule.
 *
 * Topics and client ids may hold characters that no CloudEvents String may (control characters, noncharacters): in
 * `subject` and `partitionkey` those are percent-encoded, in `source` everything that a path segment cannot hold.
 * `partitionKey` is the client id as it is.
 * @throws MBS_ERR_CLOUDEVENT_ATTRIBUTE for an override that no event may carry
 */
export function createMapper (options: MapperOptions): Mapper {
  const prefix = `/mqtt-broker-source/${pathSegment(options.name)}/clients/`
  const overrides = { ...options.overrides }
  for (const [name, value] of Object.entries(overrides)) assertExtension(name, value)
  const hasOverrides = Object.keys(overrides).length > 0
  const timestamp = createTimestamp()

  return (publish, id) => {
    const clientId = publish.client.id
    const partitionkey = toAttributeString(clientId)
    const extensions: Record<string, ExtensionValue> = publish.retain
      ? { partitionkey, mqttqos: publish.qos, mqttretain: true }
      : { partitionkey, mqttqos: publish.qos }
    if (hasOverrides) Object.assign(extensions, overrides)

    const event: Writable<Event> = {
      id,
      source: prefix + pathSegment(clientId),
      type: DEFAULT_TYPE,
      subject: toAttributeString(publish.topic),
      time: timestamp(publish.receivedAt),
      extensions,
      partitionKey: clientId,
      data: publish.payload
    }
    const datacontenttype = detectContentType(publish.payload)
    if (datacontenttype !== undefined) event.datacontenttype = datacontenttype
    return event
  }
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** One segment of a path, percent-encoded [RFC 3986 3.3]. A lone surrogate becomes U+FFFD. */
function pathSegment (text: string): string {
  if (UNRESERVED.test(text)) return text
  return encodeURIComponent(text.replace(/\p{Surrogate}/gu, '\ufffd'))
}

/** RFC 3339 with milliseconds. Thousands of publishes share one: it is written once per millisecond. */
function createTimestamp (): (ms: number) => string {
  let lastMs = NaN
  let last = ''
  return (ms) => {
    if (ms !== lastMs) {
      last = new Date(ms).toISOString()
      lastMs = ms
    }
    return last
  }
}
