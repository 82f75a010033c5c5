/**
 * The rules of `events.rules` and of presets, compiled once: which one a topic meets, and what it gives to the event.
 * Pure.
 *
 * The first rule whose pattern matches decides. A rule that says nothing about an attribute, or whose template has no
 * value for it, leaves it as the default rule has it.
 */
import { readFileSync } from 'node:fs'
import { contentKind, isMediaType } from '../cloudevent/media-type.ts'
import type { Config } from '../config/schema.ts'
import { createError, reasonOf } from '../errors.ts'
import { levelsOf, type Levels } from '../topic-filter.ts'
import { compileDeviceEvents, type CompiledDeviceEvents, type DeviceEventRule } from './device-event.ts'
import { compileFilter, type Filter } from './filter.ts'
import { PRESETS } from './presets/presets.ts'
import { RuleIndex } from './rule-index.ts'
import { parseRulePattern, patternsOverlap, type Capture, type RulePattern } from './rule-pattern.ts'
import { hasScheme, isUri } from './schema-formats.ts'
import { parseSchema, Schemas, type CompiledSchema } from './schema.ts'
import { parseTemplate, type Template, type TemplateKind } from './template.ts'
import { parseTransform, type Transform } from './transform.ts'

export type PresetName = Config['events']['presets'][number]

/** One of `events.rules`. */
export interface EventRule {
  readonly topic: string
  readonly drop: boolean
  readonly type?: string
  readonly source?: string
  readonly subject?: string
  readonly partitionKey?: string
  readonly contentType?: string
  /** The property bag of the topic. */
  readonly properties?: PropertiesRule
  readonly dataschema?: string
  readonly supersede?: string
  readonly ack?: 'stored' | 'received' | 'delivered'
  /** Milliseconds. */
  readonly expiry?: number
  readonly extensions: Readonly<Record<string, string>>
  /** Filters of the CloudEvents Subscriptions API; all of them have to hold. */
  readonly filter?: readonly unknown[]
  /** Payloads may be CloudEvents. */
  readonly cloudevents?: DeviceEventRule
  /** What becomes of an event for which a template has no value; `omit` unless given. */
  readonly missing?: 'omit' | 'deadLetter'
  /** JSONata that makes the data of the event out of the payload. */
  readonly transform?: string
  readonly schema?: SchemaRule
}

/** The part of a rule about what its data has to be like: a JSON Schema, in a file or in place. */
export interface SchemaRule {
  readonly file?: string
  readonly inline?: unknown
  /** What becomes of data that does not fit. */
  readonly otherwise: 'deadLetter' | 'refuse' | 'drop'
}

/** The part of a rule about them. */
export interface PropertiesRule {
  /** The named level or rest that holds them, as `{name}`. */
  readonly from: string
  /** True where those that can be extension attributes become some. */
  readonly extensions: boolean
}

/** What is wrong with a rule, and where in it. */
export interface RuleProblem {
  readonly path: readonly (string | number)[]
  readonly reason: string
}

/** What is a template, and what kind of text each is. */
const ATTRIBUTES = {
  type: 'text',
  source: 'uri',
  subject: 'text',
  partitionKey: 'text',
  dataschema: 'uri',
  contentType: 'text',
  supersede: 'text'
} as const

type Attribute = keyof typeof ATTRIBUTES

export interface CompiledRule {
  /** Its place among the rules, or among those of its preset, counted from 0. */
  readonly index: number
  /** Undefined: it is one of `events.rules`. */
  readonly preset: PresetName | undefined
  readonly pattern: RulePattern
  readonly drop: boolean
  readonly templates: Readonly<Partial<Record<Attribute, Template>>>
  readonly extensions: ReadonlyArray<readonly [name: string, template: Template]>
  readonly ack: 'received' | 'delivered' | undefined
  readonly properties: { readonly capture: Capture, readonly extensions: boolean } | undefined
  /** An event that is not delivered so long after its arrival is not delivered any more. */
  readonly expiryMs: number | undefined
  readonly filter: Filter | undefined
  readonly deviceEvents: CompiledDeviceEvents | undefined
  readonly missing: 'omit' | 'deadLetter'
  readonly transform: Transform | undefined
  readonly schema: { readonly compiled: CompiledSchema, readonly otherwise: SchemaRule['otherwise'] } | undefined
}

/** Why a publish becomes no event; a label of a metric, so the list is closed. */
export type LeftOut = 'drop' | 'filter' | 'invalid' | 'schema'

export class EventRules {
  readonly #rules: readonly CompiledRule[]
  readonly #index = new RuleIndex()

  /** @param rules without mistakes; see `compileRule` */
  constructor (rules: readonly CompiledRule[]) {
    this.#rules = rules
    for (const { pattern } of rules) this.#index.add(pattern.levels)
  }

  get size (): number {
    return this.#rules.length
  }

  /** The rule for a topic; undefined: the default rule. */
  find (topicLevels: readonly string[]): CompiledRule | undefined {
    const index = this.#index.find(topicLevels)
    return index === undefined ? undefined : this.#rules[index]
  }

  /** Rules that never decide, each with the earlier one that matches all its topics. */
  unreachable (): ReadonlyArray<{ readonly rule: CompiledRule, readonly behind: CompiledRule }> {
    return this.#rules.flatMap((rule, at) => {
      const behindAt = this.#index.findContaining(rule.pattern.levels)
      return behindAt < at ? [{ rule, behind: this.#rules[behindAt] as CompiledRule }] : []
    })
  }

  /**
   * Rules of presets that do not get some of their topics, each with the rule of an earlier preset that takes them: one
   * for any first level, where the rule is for one by name. Without those of which nothing is left.
   */
  narrowed (): ReadonlyArray<{ readonly rule: CompiledRule, readonly behind: CompiledRule }> {
    const ofPresets = this.#rules.filter((rule, at) =>
      rule.preset !== undefined && this.#index.findContaining(rule.pattern.levels) === at)
    return ofPresets.flatMap((rule, at) => {
      if (isOpen(rule)) return []
      const behind = ofPresets.slice(0, at).find((earlier) =>
        earlier.preset !== rule.preset && isOpen(earlier) && patternsOverlap(earlier.pattern, rule.pattern))
      return behind === undefined ? [] : [{ rule, behind }]
    })
  }
}

/** Its first level can be any. */
function isOpen ({ pattern: { levels: [first] } }: CompiledRule): boolean {
  return first === '+' || first === '#'
}

/**
 * Compiles the rules of a configuration, which has found them to be without mistakes, and reads the files they name.
 * @param presets whose rules stand behind them
 * @throws MBS_ERR_MAPPING_RULE, MBS_ERR_MAPPING_SCHEMA
 */
export function compileRules (rules: readonly EventRule[], presets: readonly PresetName[] = []): EventRules {
  const schemas = new Schemas()
  const read = (file: string): CompiledSchema => readSchema(file, schemas)
  const compiled = rules.map((rule, index) => sound(compileRule(rule, index, { schemas, read }), index))
  return new EventRules([...compiled, ...compilePresets(presets)])
}

/** The rules of presets, in their order. */
export function compilePresets (presets: readonly PresetName[]): readonly CompiledRule[] {
  return presets.flatMap((preset) => {
    return PRESETS[preset].rules.map((rule, index) => sound(compileRule(rule, index, { preset }), index))
  })
}

/** The topics that begin with `$` and are in use all the same, because a preset asks for them. */
export function reservedTopics (presets: readonly PresetName[]): ReservedTopics {
  const of = (action: keyof ReservedTopics): Levels[] =>
    presets.flatMap((preset) => PRESETS[preset].reserved?.[action] ?? []).map(levelsOf)
  return { publish: of('publish'), subscribe: of('subscribe') }
}

/** Topic filters. */
export interface ReservedTopics {
  readonly publish: readonly Levels[]
  readonly subscribe: readonly Levels[]
}

function sound (outcome: CompiledRule | readonly RuleProblem[], index: number): CompiledRule {
  if ('pattern' in outcome) return outcome
  throw createError('MBS_ERR_MAPPING_RULE', { index, reason: outcome[0]?.reason ?? '' })
}

function readSchema (file: string, schemas: Schemas): CompiledSchema {
  try {
    return parseSchema(readFileSync(file, 'utf8'), schemas)
  } catch (error) {
    throw createError('MBS_ERR_MAPPING_SCHEMA', { file, reason: reasonOf(error) }, error)
  }
}

/** With what a rule is compiled. */
export interface Compilation {
  /** Compiles the schemas of several rules together. */
  readonly schemas?: Schemas
  /** The schema that a file holds; unless given, files are not looked at, and the rule goes without. */
  readonly read?: (file: string) => CompiledSchema
  /** The preset that the rule is of. */
  readonly preset?: PresetName
}

/** Compiles a rule, or says all that is wrong with it. */
export function compileRule (
  rule: EventRule, index: number, { schemas = new Schemas(), read, preset }: Compilation = {}
): CompiledRule | readonly RuleProblem[] {
  const pattern = parseRulePattern(rule.topic)
  if (typeof pattern === 'string') return [{ path: ['topic'], reason: pattern }]
  const problems: RuleProblem[] = []
  const template = (path: RuleProblem['path'], text: string, kind: TemplateKind): Template | undefined => {
    const parsed = parseTemplate(text, pattern.captures, kind, rule.properties !== undefined)
    if (typeof parsed !== 'string') return parsed
    problems.push({ path, reason: parsed })
    return undefined
  }
  const templates: Partial<Record<Attribute, Template>> = {}
  for (const [name, kind] of Object.entries(ATTRIBUTES) as Array<[Attribute, TemplateKind]>) {
    const text = rule[name]
    const parsed = text === undefined ? undefined : template([name], text, kind)
    if (parsed !== undefined) templates[name] = parsed
  }
  const extensions = Object.entries(rule.extensions).flatMap(([name, text]) => {
    const parsed = template(['extensions', name], text, 'text')
    return parsed === undefined ? [] : [[name, parsed] as const]
  })
  if (templates.contentType?.fixed === true && !isMediaType(templates.contentType.text)) {
    problems.push({ path: ['contentType'], reason: 'a media type is written like text/plain, or text/plain;charset=utf-8' })
  }
  const { dataschema } = templates
  // A value brings no scheme in: it is percent-encoded, and so is the colon behind one.
  if (dataschema !== undefined && !(dataschema.fixed ? isUri : hasScheme)(dataschema.text)) {
    problems.push({ path: ['dataschema'], reason: 'it is a URI that begins with a scheme of its own, as https://example.com/{site}' })
  }
  const properties = compileProperties(rule.properties, pattern.captures)
  if (typeof properties === 'string') problems.push({ path: ['properties', 'from'], reason: properties })
  const filter = rule.filter === undefined ? undefined : compileFilter(rule.filter, '')
  if (filter !== undefined && typeof filter !== 'function') {
    problems.push({ path: ['filter'], reason: `${filter.path === '' ? '' : `${filter.path}: `}${filter.reason}` })
  }
  const { cloudevents } = rule
  const deviceEvents = cloudevents === undefined ? undefined : compileDeviceEvents(cloudevents, pattern.captures)
  if (deviceEvents !== undefined && 'reason' in deviceEvents) {
    problems.push({ path: ['cloudevents', 'trustSource', deviceEvents.at], reason: deviceEvents.reason })
  }
  const transform = rule.transform === undefined ? undefined : parseTransform(rule.transform)
  if (typeof transform === 'string') problems.push({ path: ['transform'], reason: transform })
  const { contentType } = rule
  if (transform !== undefined && contentType !== undefined && (contentType.includes('{') || contentKind(contentType) !== 'json')) {
    problems.push({ path: ['contentType'], reason: 'a transform makes JSON, and this is no type of JSON' })
  }
  const schema = compileSchema(rule.schema, schemas, read)
  if (schema !== undefined && 'reason' in schema) problems.push(schema)
  if (problems.length > 0) return problems
  return {
    index,
    preset,
    pattern,
    drop: rule.drop,
    templates,
    extensions,
    ack: rule.ack === 'stored' ? undefined : rule.ack,
    properties: typeof properties === 'string' ? undefined : properties,
    expiryMs: rule.expiry,
    filter: typeof filter === 'function' ? filter : undefined,
    deviceEvents: deviceEvents as CompiledDeviceEvents | undefined,
    missing: rule.missing ?? 'omit',
    transform: transform as Transform | undefined,
    schema: schema as CompiledRule['schema']
  }
}

function compileSchema (
  rule: SchemaRule | undefined, schemas: Schemas, read: ((file: string) => CompiledSchema) | undefined
): CompiledRule['schema'] | RuleProblem {
  if (rule === undefined) return undefined
  const { file, inline, otherwise } = rule
  if ((file === undefined) === (inline === undefined)) {
    return { path: ['schema'], reason: 'it has either a file, or the schema itself as inline' }
  }
  if (file !== undefined) return read === undefined ? undefined : { compiled: read(file), otherwise }
  const compiled = schemas.compile(inline)
  return typeof compiled === 'string' ? { path: ['schema', 'inline'], reason: compiled } : { compiled, otherwise }
}

function compileProperties (
  rule: PropertiesRule | undefined, captures: readonly Capture[]
): CompiledRule['properties'] | string {
  if (rule === undefined) return undefined
  const capture = captures.find(({ name }) => rule.from === `{${name}}`)
  if (capture !== undefined) return { capture, extensions: rule.extensions }
  const names = captures.map(({ name }) => `{${name}}`).join(', ')
  return `it has to be a named level or rest of the topic: ${names === '' ? 'there is none here' : names}`
}
