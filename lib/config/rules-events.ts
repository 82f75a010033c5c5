/** The rules about `events`; see rules.ts. */
import { parseClientTemplate } from '../mapping/client-template.ts'
import {
  compilePresets, compileRule, EventRules, reservedTopics, type CompiledRule, type PresetName
} from '../mapping/event-rules.ts'
import { neededFields } from '../mapping/filter.ts'
import { Schemas } from '../mapping/schema.ts'
import { levelsOf, overlaps, type Levels } from '../topic-filter.ts'
import { describeFound, type Report } from './problem.ts'
import type { DraftConfig } from './schema.ts'

/** What is allowed, in words, where it is no template. */
const ALLOWED: Readonly<Record<string, string>> = {
  topic: 'a topic filter, with {name} for a level, {name...} for the rest and {?name} for a property bag',
  contentType: 'a media type, or a text with placeholders; where there is a transform, a type of JSON',
  dataschema: 'an absolute URI, with placeholders behind its scheme',
  'properties.from': 'a name of the topic, as {bag}',
  transform: 'a JSONata expression',
  schema: 'a section with either file or inline',
  'schema.inline': 'a JSON Schema (draft-07 or 2020-12) that refers to nothing outside of it',
  filter: 'filters: exact, prefix, suffix, all, any, not, greaterThan, lessThan'
}

/** Warnings beyond this number are counted. */
const MAX_WARNINGS = 20

/** An id says nothing without its kind [authcontext: authtype is REQUIRED]. */
export function checkExtensions ({ events }: DraftConfig, report: Report): void {
  if (!report.sound(['events', 'extensions'])) return
  const { authid, authtype } = events.extensions
  if (!authid || authtype) return
  report.add(['events', 'extensions', 'authid'], {
    found: 'true', allowed: 'false while authtype is off', hint: 'set events.extensions.authtype to true'
  })
}

export function checkEventRules ({ events, access }: DraftConfig, report: Report): void {
  checkLifecycleSource(events, report)
  if (!report.sound(['events', 'rules'], ['events', 'presets']) || !Array.isArray(events.rules)) return
  if (report.sound(['access', 'permissions'])) warnOfReserved(access.permissions ?? [], events.presets, report)
  const reserved = reservedTopics(events.presets).publish
  const compiled: CompiledRule[] = []
  const schemas = new Schemas()
  for (const [index, rule] of events.rules.entries()) {
    const outcome = compileRule(rule, index, { schemas })
    if ('pattern' in outcome) {
      compiled.push(outcome)
      if (isReserved(outcome.pattern.levels) && !reserved.some((open) => overlaps(open, outcome.pattern.levels))) {
        report.add(['events', 'rules', index, 'topic'], {
          found: describeFound(rule.topic),
          allowed: 'a topic that does not begin with $, or one that a preset makes use of',
          hint: 'no device can publish to it with these events.presets'
        })
      }
      continue
    }
    for (const { path, reason } of outcome) {
      const found = path.reduce<unknown>((value, key) => (value as Record<string | number, unknown>)[key], rule)
      report.add(['events', 'rules', index, ...path], {
        found: Array.isArray(found) ? JSON.stringify(found) : describeFound(found),
        allowed: ALLOWED[path.join('.')] ?? 'a text with placeholders',
        hint: reason
      })
    }
  }
  if (compiled.length < events.rules.length) return
  warnOfFilters(events.rules, report)
  const rules = new EventRules([...compiled, ...compilePresets(events.presets)])
  warnOfPresets(rules, report)
  // That a preset is overridden is what it is for.
  const unreachable = rules.unreachable().filter(({ rule }) => rule.preset === undefined)
  for (const { rule, behind } of unreachable.slice(0, MAX_WARNINGS)) {
    report.warn(`events.rules[${rule.index}] (${rule.pattern.text}) never decides: ` +
      `events.rules[${behind.index}] (${behind.pattern.text}) comes before it and matches all its topics`)
  }
  if (unreachable.length > MAX_WARNINGS) report.warn(`${unreachable.length - MAX_WARNINGS} more of events.rules never decide`)
}

function checkLifecycleSource ({ lifecycle }: DraftConfig['events'], report: Report): void {
  const path = ['events', 'lifecycle', 'source']
  if (!report.sound(path) || lifecycle?.source === undefined) return
  const parsed = parseClientTemplate(lifecycle.source, 'uri')
  if (typeof parsed !== 'string') return
  report.add(path, { found: describeFound(lifecycle.source), allowed: 'a text with placeholders', hint: parsed })
}

/** What a filter leaves out is not held against the schema: it is gone without a word where a dead letter was meant. */
function warnOfFilters (rules: DraftConfig['events']['rules'], report: Report): void {
  const found = [...rules.entries()].flatMap(([index, { filter, schema }]) => {
    if (filter === undefined || schema === undefined || schema.otherwise === 'drop') return []
    const fields = neededFields(filter)
    return fields.length === 0 ? [] : [{ index, fields, otherwise: schema.otherwise }]
  })
  for (const { index, fields, otherwise } of found.slice(0, MAX_WARNINGS)) {
    const never = otherwise === 'refuse' ? 'refused' : 'a dead letter'
    report.warn(`events.rules[${index}].filter leaves out what has no ${fields.join(', ')}, or one of another type, ` +
      `before the schema sees it: that is dropped, and never ${never}. ` +
      'Where the schema is to judge it, write the filter with `not` (docs/mapping.md, Filters)')
  }
  if (found.length > MAX_WARNINGS) report.warn(`${found.length - MAX_WARNINGS} more of events.rules have such a filter`)
}

/** A preset that stands before another one may leave it nothing; in the other order both have their topics. */
function warnOfPresets (rules: EventRules, report: Report): void {
  for (const { preset, before, count, total } of betweenPresets(rules.unreachable())) {
    report.warn(`events.presets: ${before} comes before ${preset} and matches all topics of ` +
      `${count === total ? 'all its rules' : `${count} of its ${total} rules`}, which never decide; put it behind`)
  }
  for (const { preset, before, count, total } of betweenPresets(rules.narrowed())) {
    report.warn(`events.presets: ${before} comes before ${preset} and takes some topics of ` +
      `${count === total ? 'all its rules' : `${count} of its ${total} rules`}; put it behind`)
  }
}

/** How many rules of a preset, of all that it has, are behind rules of another one. */
interface BehindPreset {
  readonly preset: PresetName
  readonly before: PresetName
  count: number
  readonly total: number
}

function betweenPresets (pairs: ReturnType<EventRules['narrowed']>): BehindPreset[] {
  const counts = new Map<string, BehindPreset>()
  for (const { rule: { preset }, behind: { preset: before } } of pairs) {
    if (preset === undefined || before === undefined || preset === before) continue
    const key = `${before} ${preset}`
    const found = counts.get(key) ?? { preset, before, count: 0, total: compilePresets([preset]).length }
    found.count++
    counts.set(key, found)
  }
  return [...counts.values()]
}

type Permission = NonNullable<DraftConfig['access']['permissions']>[number]

/** What is allowed of topics beginning with `$` and no preset makes use of is allowed in vain. */
function warnOfReserved (permissions: readonly Permission[], presets: readonly PresetName[], report: Report): void {
  const reserved = reservedTopics(presets)
  for (const [index, permission] of permissions.entries()) {
    for (const action of ['publish', 'subscribe'] as const) {
      for (const [at, text] of permission[action].entries()) {
        const levels = levelsOf(text.replaceAll(/[^/]*\{[^{}]*\}[^/]*/g, '+'))
        if (!isReserved(levels) || reserved[action].some((open) => overlaps(open, levels))) continue
        report.warn(`access.permissions[${index}].${action}[${at}] (${text}) allows nothing: no preset of events.presets makes use of such topics`)
      }
    }
  }
}

function isReserved (levels: Levels): boolean {
  return levels[0]?.startsWith('$') === true
}
