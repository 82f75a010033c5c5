/**
 * What happened to a session -> CloudEvent: docs/lifecycle.md. Rules for topics are not asked; overrides are. Whatever
 * a device calls itself, the event is valid. Pure.
 */
import { assertExtension, toAttributeString } from '../cloudevent/attributes.ts'
import { createError } from '../errors.ts'
import type { Event, LifecycleChange, SessionFacts } from '../message.ts'
import { parseClientTemplate } from './client-template.ts'

export interface LifecycleMapperOptions {
  /** Names this broker in `source`. */
  readonly name: string
  /** Extensions put on every event (K_CE_OVERRIDES). */
  readonly overrides: Readonly<Record<string, string>>
  /** False where the outbox numbers the events of each source: two numberings of one source would tell nothing. */
  readonly sequence?: boolean
  /** The template of `source`; that of the default rule, unless given. */
  readonly source?: string | undefined
}

/** What marks one event among all. */
export interface LifecycleMark {
  /** Unique for its source. */
  readonly id: string
  /** Later ones are greater, as texts [CE sequence]. */
  readonly sequence: string
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** Makes the event of something that happened. */
export type LifecycleMapper = (change: LifecycleChange, mark: LifecycleMark) => Event

/** What the `type` of each begins with. */
export const LIFECYCLE_TYPE_PREFIX = 'dev.mqttbrokersource.client.'

const DEFAULT_SOURCE = '/mqtt-broker-source/{name}/clients/{clientid}'

/**
 * Makes the mapper.
 * @throws MBS_ERR_MAPPING_SOURCE; MBS_ERR_CLOUDEVENT_ATTRIBUTE for an override that no event may carry
 */
export function createLifecycleMapper (options: LifecycleMapperOptions): LifecycleMapper {
  const { name, overrides, source, sequence: numbered = true } = options
  for (const [extension, value] of Object.entries(overrides)) assertExtension(extension, value)
  const byDefault = sourceOf(DEFAULT_SOURCE)
  const wanted = source === undefined ? byDefault : sourceOf(source)
  return (change, { id, sequence, at }) => {
    const { client } = change.session
    const partitionkey = toAttributeString(client.id)
    return {
      id,
      source: wanted.render(client, name) ?? byDefault.render(client, name) ?? '',
      type: LIFECYCLE_TYPE_PREFIX + change.kind,
      subject: partitionkey,
      time: new Date(at).toISOString(),
      datacontenttype: 'application/json',
      extensions: { partitionkey, ...(numbered && { sequence }), ...overrides },
      partitionKey: client.id,
      data: Buffer.from(JSON.stringify(dataOf(change)))
    }
  }
}

function sourceOf (text: string) {
  const template = parseClientTemplate(text, 'uri')
  if (typeof template === 'string') throw createError('MBS_ERR_MAPPING_SOURCE', { reason: template })
  return template
}

/** Members without a value are left out. */
function dataOf (change: LifecycleChange): Record<string, unknown> {
  const { session } = change
  switch (change.kind) {
    case 'connected': return { ...connectionOf(session), willTopic: session.willTopic }
    case 'disconnected': {
      const { reason, code, durationMs, messagesReceived } = change.end
      return { ...connectionOf(session), reason, code, durationSeconds: durationMs / 1000, messagesReceived }
    }
    case 'subscribed': return { ...identityOf(session), subscriptions: change.subscriptions }
    case 'unsubscribed': return { ...identityOf(session), filters: change.filters }
  }
}

function identityOf ({ client, authMethod, listener, address }: SessionFacts) {
  return { clientId: client.id, username: client.username, authMethod, listener, address }
}

function connectionOf (session: SessionFacts) {
  const { protocolVersion, cleanSession, sessionPresent, keepAliveSeconds } = session
  return { ...identityOf(session), protocolVersion, cleanSession, sessionPresent, keepAliveSeconds }
}
