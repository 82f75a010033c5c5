/**
 * What a preset is: rules as a user writes them, and the topics beginning with `$` that its devices need. Data,
 * compiled by event-rules.ts like every other rule. Pure.
 *
 * Invariant: within a preset no rule stands behind one that matches all its topics. What a platform's broker would not
 * take for data of a device is dropped, and only topics that nothing else can mean.
 */
import type { EventRule } from '../event-rules.ts'

export interface Preset {
  readonly rules: readonly EventRule[]
  /** Topic filters that begin with `$` and may be used all the same, as far as permissions go. */
  readonly reserved?: { readonly publish: readonly string[], readonly subscribe: readonly string[] }
}

/** A rule with what it does not say. */
export function rule (given: Partial<EventRule> & Pick<EventRule, 'topic'>): EventRule {
  return { drop: false, extensions: {}, ...given }
}

/** A rule for what no device publishes. */
export function dropped (topic: string): EventRule {
  return rule({ topic, drop: true })
}
