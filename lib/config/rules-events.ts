/** The rules about `events`; see rules.ts. */
import { compileRule, EventRules, type CompiledRule } from '../mapping/event-rules.ts'
import { parseClientTemplate } from '../mapping/client-template.ts'
import { Schemas } from '../mapping/schema.ts'
import { describeFound, type Report } from './problem.ts'
import type { DraftConfig } from './schema.ts'

/** What is allowed, in words, where it is no template. */
const ALLOWED: Readonly<Record<string, string>> = {
  topic: 'a topic filter, with {name} for a level and {name...} for the rest',
  contentType: 'a type of JSON, where there is a transform',
  transform: 'a JSONata expression',
  schema: 'a section with either file or inline',
  'schema.inline': 'a JSON Schema (draft-07 or 2020-12) that refers to nothing outside of it',
  filter: 'filters: exact, prefix, suffix, all, any, not, greaterThan, lessThan'
}

/** Warnings beyond this number are counted. */
const MAX_WARNINGS = 20

export function checkEventRules ({ events }: DraftConfig, report: Report): void {
  checkLifecycleSource(events, report)
  if (!report.sound(['events', 'rules']) || !Array.isArray(events.rules)) return
  const compiled: CompiledRule[] = []
  const schemas = new Schemas()
  for (const [index, rule] of events.rules.entries()) {
    const outcome = compileRule(rule, index, schemas)
    if ('pattern' in outcome) {
      compiled.push(outcome)
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
  const unreachable = new EventRules(compiled).unreachable()
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
