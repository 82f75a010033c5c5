/** The rules about `events`; see rules.ts. */
import { parseClientTemplate } from '../mapping/client-template.ts'
import {
  compilePresets, compileRule, EventRules, reservedTopics, type CompiledRule, type PresetName
} from '../mapping/event-rules.ts'
import { Schemas } from '../mapping/schema.ts'
import { levelsOf, overlaps, type Levels } from '../topic-filter.ts'
import { describeFound, type Report } from './problem.ts'
import type { DraftConfig } from './schema.ts'

/** What is allowed, in words, where it is no template. */
const ALLOWED: Readonly<Record<string, string>> = {
  topic: 'a topic filter, with {name} for a level, {name...} for the rest and {?name} for a property bag',
  contentType: 'a media type, or a text with placeholders; where there is a transform, a type of JSON',
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
  const all = new EventRules([...compiled, ...compilePresets(events.presets)]).unreachable()
  warnOfPresets(all, report)
  // That a preset is overridden is what it is for.
  const unreachable = all.filter(({ rule }) => rule.preset === undefined)
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

/** A preset that stands before another one may leave it nothing; in the other order both have their topics. */
function warnOfPresets (unreachable: ReturnType<EventRules['unreachable']>, report: Report): void {
  const counts = new Map<string, { readonly preset: PresetName, readonly before: PresetName, rules: number }>()
  for (const { rule, behind } of unreachable) {
    if (rule.preset === undefined || behind.preset === undefined || rule.preset === behind.preset) continue
    const key = `${behind.preset} ${rule.preset}`
    const count = counts.get(key) ?? { preset: rule.preset, before: behind.preset, rules: 0 }
    count.rules++
    counts.set(key, count)
  }
  for (const { preset, before, rules } of counts.values()) {
    const rest = compilePresets([preset]).length - rules
    report.warn(`events.presets: ${before} comes before ${preset} and matches all topics of ` +
      `${rest === 0 ? 'all its rules' : `${rules} of its ${rules + rest} rules`}, which never decide; put it behind`)
  }
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
