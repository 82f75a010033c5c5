/**
 * What a session may do: the rules of `access.permissions`, compiled once per identity and asked for every publish,
 * will, subscription and delivery. Pure but for what it remembers of identities.
 *
 * Denied unless a rule allows it, and a denial of any rule that applies stands above every allowance, wherever it is
 * written: to see that something is denied, nobody has to read the rules in order. Without rules all is allowed.
 */
import type { Identity } from '../message.ts'
import { claimOf, parseTemplate, resolveDenial, resolveTemplate, type Template } from './placeholders.ts'
import { containsFilter, levelsOf, matchesTopic, overlaps, type Levels } from '../topic-filter.ts'

/** Topic patterns: filters of MQTT with placeholders. */
export interface TopicPatterns {
  readonly publish: readonly string[]
  readonly subscribe: readonly string[]
}

/** One of `access.permissions`. */
export interface PermissionRule extends TopicPatterns {
  /** `*`: every session; `anonymous`: those that proved nothing; else the name that was proven. */
  readonly who: string | readonly string[]
  /** Claims that the token has to have as well: the value itself, or a list with it. */
  readonly claims: Readonly<Record<string, string>>
  readonly deny: TopicPatterns
}

export type Action = 'publish' | 'subscribe'

/** An answer with its reason. */
export interface Verdict {
  readonly allowed: boolean
  /** What decided, as `[0].publish[1]`; absent where no rule says anything. */
  readonly place?: string
  /** The pattern at that place. */
  readonly pattern?: string
}

export interface Permissions {
  /** Whether a session may publish to a topic. */
  mayPublish (identity: Identity, topic: string): boolean
  /** Whether a session may have a subscription: every topic that the filter matches has to be allowed. */
  maySubscribe (identity: Identity, filter: string): boolean
  /** Whether a message of this topic may be sent to a session. */
  mayReceive (identity: Identity, topic: string): boolean
  /** The same for publish and subscribe, with the place that decides. For people: it is slower. */
  explain (identity: Identity, action: Action, topic: string): Verdict
  /** Puts other rules in force, also for sessions that are there. */
  replace (rules: readonly PermissionRule[] | undefined): void
}

/** @param rules those of the configuration; undefined: everything is allowed */
export function createPermissions (rules: readonly PermissionRule[] | undefined): Permissions {
  return new RulePermissions(rules)
}

const EVERYONE = '*'
const ANONYMOUS = 'anonymous'

class RulePermissions implements Permissions {
  #rules!: RuleSet | undefined
  /** Identities are never changed, so an identity stands for all that was worked out for it. */
  #compiled!: WeakMap<Identity, Compiled>

  constructor (rules: readonly PermissionRule[] | undefined) {
    this.replace(rules)
  }

  replace (rules: readonly PermissionRule[] | undefined): void {
    this.#rules = rules === undefined ? undefined : new RuleSet(rules)
    this.#compiled = new WeakMap()
  }

  mayPublish (identity: Identity, topic: string): boolean {
    const { publish } = this.#for(identity) ?? ALL
    return publish === undefined || allowsTopic(publish, topic)
  }

  maySubscribe (identity: Identity, filter: string): boolean {
    const { subscribe } = this.#for(identity) ?? ALL
    return subscribe === undefined || explainFilter(subscribe, levelsOf(filter)).allowed
  }

  mayReceive (identity: Identity, topic: string): boolean {
    const { subscribe } = this.#for(identity) ?? ALL
    return subscribe === undefined || allowsTopic(subscribe, topic)
  }

  explain (identity: Identity, action: Action, topic: string): Verdict {
    const patterns = this.#for(identity)?.[action]
    if (patterns === undefined) return { allowed: true }
    return action === 'publish' ? explainTopic(patterns, topic) : explainFilter(patterns, levelsOf(topic))
  }

  #for (identity: Identity): Compiled | undefined {
    if (this.#rules === undefined) return undefined
    let compiled = this.#compiled.get(identity)
    if (compiled === undefined) {
      compiled = this.#rules.compile(identity)
      this.#compiled.set(identity, compiled)
    }
    return compiled
  }
}

/** A pattern of one session, and where it comes from. */
interface Pattern {
  readonly levels: Levels
  readonly place: string
  readonly text: string
}

interface Patterns {
  readonly allow: readonly Pattern[]
  readonly deny: readonly Pattern[]
}

type Compiled = Readonly<Record<Action, Patterns>>

/** Stands for the patterns of a session while there are no rules. */
const ALL: Readonly<Partial<Compiled>> = {}

function allowsTopic ({ allow, deny }: Patterns, topic: string): boolean {
  for (let index = 0; index < deny.length; index++) if (matchesTopic(deny[index]!.levels, topic)) return false
  for (let index = 0; index < allow.length; index++) if (matchesTopic(allow[index]!.levels, topic)) return true
  return false
}

function explainTopic ({ allow, deny }: Patterns, topic: string): Verdict {
  const matches = ({ levels }: Pattern) => matchesTopic(levels, topic)
  return verdictOf(deny.find(matches), allow.find(matches))
}

/**
 * A filter of which a part is denied is denied as a whole: a subscription that is granted gets all that it matches, and
 * its client need not wonder what is held back.
 */
function explainFilter ({ allow, deny }: Patterns, filter: Levels): Verdict {
  return verdictOf(
    deny.find(({ levels }) => overlaps(levels, filter)), allow.find(({ levels }) => containsFilter(levels, filter))
  )
}

function verdictOf (denial: Pattern | undefined, allowance: Pattern | undefined): Verdict {
  const decisive = denial ?? allowance
  if (decisive === undefined) return { allowed: false }
  return { allowed: denial === undefined, place: decisive.place, pattern: decisive.text }
}

// ---- rules ---------------------------------------------------------------------------------------------------------

/** A rule with its patterns taken apart. */
interface PreparedRule {
  readonly index: number
  readonly claims: ReadonlyArray<readonly [name: string, value: string]>
  readonly templates: ReadonlyArray<{
    readonly action: Action
    readonly effect: keyof Patterns
    readonly place: string
    readonly template: Template
  }>
}

/** The rules by whom they are for: with a rule for each of ten thousand users, a session looks at its own. */
class RuleSet {
  readonly #everyone: PreparedRule[] = []
  readonly #anonymous: PreparedRule[] = []
  readonly #named = new Map<string, PreparedRule[]>()

  constructor (rules: readonly PermissionRule[]) {
    for (const [index, rule] of rules.entries()) {
      const prepared = prepare(rule, index)
      for (const who of new Set(typeof rule.who === 'string' ? [rule.who] : rule.who)) this.#listOf(who).push(prepared)
    }
  }

  compile (identity: Identity): Compiled {
    const compiled = { publish: { allow: [], deny: [] }, subscribe: { allow: [], deny: [] } } as
      Record<Action, Record<keyof Patterns, Pattern[]>>
    for (const rule of this.#rulesFor(identity)) {
      for (const { action, effect, place, template } of rule.templates) {
        const levels = effect === 'deny' ? resolveDenial(template, identity) : resolveTemplate(template, identity)
        if (levels !== undefined) compiled[action][effect].push({ levels, place, text: template.text })
      }
    }
    return compiled
  }

  /** Whoever is called `*` or `anonymous` gets nothing by that name. */
  #rulesFor ({ method, username, claims }: Identity): PreparedRule[] {
    const own = method === ANONYMOUS
      ? this.#anonymous
      : username === undefined ? [] : this.#named.get(username) ?? []
    return [...new Set([...this.#everyone, ...own])]
      .filter((rule) => rule.claims.every(([name, value]) => hasClaim(claims, name, value)))
      .sort((a, b) => a.index - b.index)
  }

  #listOf (who: string): PreparedRule[] {
    if (who === EVERYONE) return this.#everyone
    if (who === ANONYMOUS) return this.#anonymous
    const rules = this.#named.get(who) ?? []
    this.#named.set(who, rules)
    return rules
  }
}

function prepare ({ claims, publish, subscribe, deny }: PermissionRule, index: number): PreparedRule {
  const prepareAll = (action: Action, effect: keyof Patterns, texts: readonly string[]) => texts.map((text, at) => {
    const list = effect === 'deny' ? `deny.${action}` : action
    return { action, effect, place: `[${index}].${list}[${at}]`, template: parseTemplate(text) }
  })
  return {
    index,
    claims: Object.entries(claims),
    templates: [
      ...prepareAll('publish', 'allow', publish), ...prepareAll('publish', 'deny', deny.publish),
      ...prepareAll('subscribe', 'allow', subscribe), ...prepareAll('subscribe', 'deny', deny.subscribe)
    ]
  }
}

/** A claim as it would be written in a rule: numbers and truth values have one way to be. */
function textOf (claim: unknown): string | undefined {
  if (typeof claim === 'string') return claim
  return Number.isSafeInteger(claim) || typeof claim === 'boolean' ? String(claim) : undefined
}

function hasClaim (claims: Identity['claims'], name: string, value: string): boolean {
  const claim = claimOf(claims, name)
  return (Array.isArray(claim) ? claim : [claim]).some((one) => textOf(one) === value)
}
