/** What a publish would become, and how it would be sent: for people who write rules. Opens and sends nothing. */
import { topicProblem } from './broker/topics.ts'
import type { Config } from './config/schema.ts'
import { isMbsError, type MbsError } from './errors.ts'
import type { Aside, Event, QoS } from './message.ts'
import { compileRules, reservedTopics, type CompiledRule, type LeftOut, type PresetName } from './mapping/event-rules.ts'
import { createEventMapper } from './parts.ts'
import { previewRequests, type RequestPreview } from './request-preview.ts'

export interface PublishExample {
  readonly topic: string
  readonly payload: Buffer
  readonly clientId?: string | undefined
  readonly username?: string | undefined
  readonly qos?: QoS | undefined
  readonly retain?: boolean | undefined
}

export interface EventPreview {
  /** The rule that decides, as it stands in the configuration or in a preset; absent for the default rule. */
  readonly rule?: { readonly index: number, readonly topic: string, readonly preset?: PresetName }
  /** What becomes of it: why there is no event, or the event and the requests that carry it. */
  readonly outcome:
    /** No device can publish to this topic. */
    | { readonly kind: 'impossible', readonly reason: string }
    /** It is not acknowledged: MBS_ERR_MAPPING_*. */
    | { readonly kind: 'refused', readonly error: MbsError }
    | { readonly kind: 'left-out', readonly reason: LeftOut }
    /** It is stored as a dead letter. */
    | { readonly kind: 'set-aside', readonly aside: Aside, readonly event: Event }
    | { readonly kind: 'event', readonly event: Event, readonly requests: readonly RequestPreview[] }
}

/** Nobody is told what happens to the process of transforms: the outcome says it. */
const NO_TELEMETRY = { transformStopped: () => {}, transformPaused: () => {} }

/**
 * What a publish would become with these settings. Its `id` is `example` and its `time` the present one.
 * @throws MBS_ERR_MAPPING_RULE, MBS_ERR_MAPPING_SCHEMA, MBS_ERR_MAPPING_TRANSFORMER, as a rejection
 */
export async function previewEvent (
  config: Config, { topic, payload, clientId = 'example', username, qos = 0, retain = false }: PublishExample
): Promise<EventPreview> {
  const { rules, presets } = config.events
  const problem = topicProblem(topic, { ...config.limits, reserved: reservedTopics(presets) })
  if (problem !== undefined) return { outcome: { kind: 'impossible', reason: problem } }
  const found = compileRules(rules, presets).find(topic.split('/'))
  const rule = found === undefined ? {} : { rule: toPlace(found) }
  const mapper = createEventMapper(config, NO_TELEMETRY)
  try {
    const mapped = await mapper.map({
      client: username === undefined ? { id: clientId, method: 'anonymous' } : { id: clientId, method: 'password', username },
      topic,
      payload,
      qos,
      retain,
      dup: false,
      will: false,
      receivedAt: Date.now()
    }, 'example')
    if (typeof mapped === 'string') return { ...rule, outcome: { kind: 'left-out', reason: mapped } }
    if (isMbsError(mapped)) return { ...rule, outcome: { kind: 'refused', error: mapped } }
    const aside = mapped.handling?.aside
    if (aside !== undefined) return { ...rule, outcome: { kind: 'set-aside', aside, event: mapped } }
    return { ...rule, outcome: { kind: 'event', event: mapped, requests: previewRequests(mapped, config) } }
  } finally {
    await mapper.close()
  }
}

function toPlace ({ index, pattern, preset }: CompiledRule): NonNullable<EventPreview['rule']> {
  return { index, topic: pattern.text, ...(preset !== undefined && { preset }) }
}
