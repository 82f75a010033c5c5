/**
 * Writes the files that are generated from the sources: `npm run generate`. Each has one source of truth: the schema of
 * the configuration, the table of errors, the registry of metrics, the values of the chart. A test holds the files
 * against it.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import {
  configurationPage, defaultYaml, errorTable, jsonSchema, listMetrics, type ErrorCode, type MetricDescription, VERSION
} from '../lib/index.ts'
import { programDefaults } from './chart/program-schema.ts'
import { chartReadme } from './chart/readme.ts'
import { readValues, valuesSchema } from './chart/values.ts'

/** The root of the project: this is bin/generate.ts, or dist/bin/generate.js. */
const root = new URL(import.meta.url.endsWith('.ts') ? '../' : '../../', import.meta.url)
const chart = 'charts/mqtt-broker-source'

/** Every generated file: its path from the root of the project, and its text. */
export function generatedFiles (): Map<string, string> {
  const values = readValues(readFileSync(new URL(`${chart}/values.yaml`, root), 'utf8'))
  return new Map([
    ['config/default.yaml', defaultYaml()],
    ['config/schema.json', `${JSON.stringify(jsonSchema(), null, 2)}\n`],
    ['docs/configuration.md', configurationPage()],
    ['docs/errors.md', errorsPage()],
    ['docs/metrics.md', metricsPage(listMetrics())],
    [`${chart}/values.schema.json`, `${JSON.stringify(valuesSchema(values), null, 2)}\n`],
    [`${chart}/README.md`, chartReadme(values, VERSION)],
    [`${chart}/files/program.yaml`, programDefaults()]
  ])
}

function errorsPage (): string {
  const codes = Object.keys(errorTable) as ErrorCode[]
  const stages = [...new Set(codes.map(stageOf))]
  return [
    '# Errors',
    '',
    'Generated from `lib/errors.ts` by `npm run generate`; do not edit. Every error has a code that stays, a sentence and a',
    'remedy. *Retryable*: the same may succeed later without anything being changed. *Exit code*: of the program, where the',
    'error ends it. *CONNACK*: the return code that a device sees [MQTT-3.2.2.3].',
    '',
    ...stages.flatMap((stage) => [
      `## ${stage}`, '', '| Code | What happened | What to do | Notes |', '|---|---|---|---|',
      ...codes.filter((code) => stageOf(code) === stage).map(errorRow), ''
    ])
  ].join('\n')
}

function stageOf (code: string): string {
  return code.split('_')[2]?.toLowerCase() ?? ''
}

function errorRow (code: ErrorCode): string {
  const { message, help, retryable, exitCode, connack } = errorTable[code]
  const notes = [
    retryable === true ? 'retryable' : '',
    exitCode === undefined ? '' : `exit code ${exitCode}`,
    connack === undefined ? '' : `CONNACK ${connack}`
  ].filter((note) => note !== '')
  return row([`\`${code}\``, message, help, notes.join(', ')])
}

function metricsPage (metrics: readonly MetricDescription[]): string {
  return [
    '# Metrics',
    '',
    'Generated from the registry by `npm run generate`; do not edit. `/metrics` of the HTTP server gives them in the text',
    'format of Prometheus. No label holds what a device chooses. Besides these there are the usual metrics of a Node.js',
    'process (`process_…`, `nodejs_…`).',
    '',
    '| Metric | Type | Labels | What it says |',
    '|---|---|---|---|',
    ...metrics.map(({ name, type, labelNames, help }) =>
      row([`\`${name}\``, type, labelNames.map((label) => `\`${label}\``).join(', '), help])),
    ''
  ].join('\n')
}

function row (cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [path, text] of generatedFiles()) writeFileSync(new URL(path, root), text)
}
