/** What a publish would become, and how it would be sent: for people who write rules. Opens and sends nothing. */
import { topicProblem } from './broker/topics.ts'
import { encode, type HttpMessage } from './cloudevent/encode.ts'
import type { Config } from './config/schema.ts'
import type { Event, QoS } from './message.ts'
import { compileRules, type LeftOut } from './mapping/event-rules.ts'
import { createEventMapper } from './parts.ts'

export interface PublishExample {
  readonly topic: string
  readonly payload: Buffer
  readonly clientId?: string | undefined
  readonly username?: string | undefined
  readonly qos?: QoS | undefined
  readonly retain?: boolean | undefined
}

export interface EventPreview {
  /** The rule that decides, as it stands in the configuration; absent for the default rule. */
  readonly rule?: { readonly index: number, readonly topic: string }
  /** What becomes of it: why there is no event, or the event and the request that carries it. */
  readonly outcome:
    | { readonly kind: 'refused', readonly reason: string }
    | { readonly kind: 'left-out', readonly reason: LeftOut }
    | { readonly kind: 'event', readonly event: Event, readonly request: HttpMessage }
}

/**
 * What a publish would become with these settings. Its `id` is `example` and its `time` the present one.
 * @throws MBS_ERR_MAPPING_RULE
 */
export function previewEvent (config: Config, { topic, payload, clientId = 'example', username, qos = 0, retain = false }: PublishExample): EventPreview {
  const problem = topicProblem(topic, config.limits)
  if (problem !== undefined) return { outcome: { kind: 'refused', reason: problem } }
  const found = compileRules(config.events.rules).find(topic.split('/'))
  const rule = found === undefined ? {} : { rule: { index: found.index, topic: found.pattern.text } }
  const event = createEventMapper(config)({
    client: username === undefined ? { id: clientId } : { id: clientId, username },
    topic,
    payload,
    qos,
    retain,
    dup: false,
    will: false,
    receivedAt: Date.now()
  }, 'example')
  if (typeof event === 'string') return { ...rule, outcome: { kind: 'left-out', reason: event } }
  return { ...rule, outcome: { kind: 'event', event, request: encode(event, config.sink.contentMode) } }
}
