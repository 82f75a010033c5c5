/**
 * The rules of `events.rules`, compiled once: which one a topic meets, and what it gives to the event. Pure.
 *
 * The first rule whose pattern matches decides. A rule that says nothing about an attribute, or whose template has no
 * value for it, leaves it as the default rule has it.
 */
import { readFileSync } from 'node:fs'
import { contentKind } from '../cloudevent/media-type.ts'
import { createError, reasonOf } from '../errors.ts'
import { compileDeviceEvents, type CompiledDeviceEvents, type DeviceEventRule } from './device-event.ts'
import { compileFilter, type Filter } from './filter.ts'
import { RuleIndex } from './rule-index.ts'
import { parseRulePattern, type RulePattern } from './rule-pattern.ts'
import { parseSchema, Schemas, type CompiledSchema } from './schema.ts'
import { parseTemplate, type Template, type TemplateKind } from './template.ts'
import { parseTransform, type Transform } from './transform.ts'

/** One of `events.rules`. */
export interface EventRule {
  readonly topic: string
  readonly drop: boolean
  readonly type?: string
  readonly source?: string
  readonly subject?: string
  readonly partitionKey?: string
  readonly contentType?: string
  readonly dataschema?: string
  readonly supersede?: string
  readonly ack?: 'stored' | 'received' | 'delivered'
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

/** What is wrong with a rule, and where in it. */
export interface RuleProblem {
  readonly path: readonly (string | number)[]
  readonly reason: string
}

/** What is a template, and what kind of text each is. */
const ATTRIBUTES = {
  type: 'text', source: 'uri', subject: 'text', partitionKey: 'text', dataschema: 'uri', supersede: 'text'
} as const

type Attribute = keyof typeof ATTRIBUTES

export interface CompiledRule {
  /** Its place among the rules, counted from 0. */
  readonly index: number
  readonly pattern: RulePattern
  readonly drop: boolean
  readonly templates: Readonly<Partial<Record<Attribute, Template>>>
  readonly extensions: ReadonlyArray<readonly [name: string, template: Template]>
  readonly contentType: string | undefined
  readonly ack: 'received' | 'delivered' | undefined
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
    return this.#rules.flatMap((rule) => {
      const behind = this.#rules[this.#index.findContaining(rule.pattern.levels)] as CompiledRule
      return behind.index < rule.index ? [{ rule, behind }] : []
    })
  }
}

/**
 * Compiles the rules of a configuration, which has found them to be without mistakes, and reads the files they name.
 * @throws MBS_ERR_MAPPING_RULE, MBS_ERR_MAPPING_SCHEMA
 */
export function compileRules (rules: readonly EventRule[]): EventRules {
  const schemas = new Schemas()
  return new EventRules(rules.map((rule, index) => {
    const compiled = compileRule(rule, index, schemas, (file) => readSchema(file, schemas))
    if ('pattern' in compiled) return compiled
    throw createError('MBS_ERR_MAPPING_RULE', { index, reason: compiled[0]?.reason ?? '' })
  }))
}

function readSchema (file: string, schemas: Schemas): CompiledSchema {
  try {
    return parseSchema(readFileSync(file, 'utf8'), schemas)
  } catch (error) {
    throw createError('MBS_ERR_MAPPING_SCHEMA', { file, reason: reasonOf(error) }, error)
  }
}

/**
 * Compiles a rule, or says all that is wrong with it.
 * @param schemas compiles those of several rules together
 * @param read the schema that a file holds; unless given, files are not looked at, and the rule goes without
 */
export function compileRule (
  rule: EventRule, index: number, schemas = new Schemas(), read?: (file: string) => CompiledSchema
): CompiledRule | readonly RuleProblem[] {
  const pattern = parseRulePattern(rule.topic)
  if (typeof pattern === 'string') return [{ path: ['topic'], reason: pattern }]
  const problems: RuleProblem[] = []
  const template = (path: RuleProblem['path'], text: string, kind: TemplateKind): Template | undefined => {
    const parsed = parseTemplate(text, pattern.captures, kind)
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
  if (transform !== undefined && rule.contentType !== undefined && contentKind(rule.contentType) !== 'json') {
    problems.push({ path: ['contentType'], reason: 'a transform makes JSON, and this is no type of JSON' })
  }
  const schema = compileSchema(rule.schema, schemas, read)
  if (schema !== undefined && 'reason' in schema) problems.push(schema)
  if (problems.length > 0) return problems
  return {
    index,
    pattern,
    drop: rule.drop,
    templates,
    extensions,
    contentType: rule.contentType,
    ack: rule.ack === 'stored' ? undefined : rule.ack,
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
