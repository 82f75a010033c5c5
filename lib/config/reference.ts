/**
 * What is generated from the schema: the JSON Schema, the file with all defaults, the page for users. Pure: the same
 * schema gives the same texts.
 */
import { stringify } from 'yaml'
import { allowedBy, NOTES, type SchemaNode } from './setting.ts'
import { listSettings, schemaRoot } from './settings.ts'
import { inputSchema } from './validate.ts'

/** The JSON Schema (2020-12) of a configuration file, for editors and other programs. */
export function jsonSchema (): Record<string, unknown> {
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'Configuration of mqtt-broker-source',
    ...withoutNotes(inputSchema(schemaRoot))
  }
}

function withoutNotes (node: SchemaNode): Record<string, unknown> {
  const notes = new Set<string>(NOTES)
  return Object.fromEntries(Object.entries(node).filter(([keyword]) => !notes.has(keyword)).map(([keyword, value]) => {
    if (keyword === 'properties') return [keyword, mapped(value as Record<string, SchemaNode>)]
    return [keyword, keyword === 'items' || keyword === 'additionalProperties' ? nested(value) : value as unknown]
  }))
}

/** The keys of `properties` are names of settings, and one may be called like a note. */
function mapped (properties: Readonly<Record<string, SchemaNode>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(properties).map(([key, child]) => [key, withoutNotes(child)]))
}

function nested (value: unknown): unknown {
  return typeof value === 'object' && value !== null ? withoutNotes(value as SchemaNode) : value
}

// ---- config/default.yaml --------------------------------------------------------------------------------------------

/** A configuration file that says what is the case without one; what has no default stands in it as a comment. */
export function defaultYaml (): string {
  const head = [
    '# All settings with their defaults: the same as no file at all. Generated from lib/config/schema.ts.',
    '# yaml-language-server: $schema=schema.json'
  ]
  return [...head, ...yamlOf(schemaRoot)].join('\n') + '\n'
}

function yamlOf (section: SchemaNode, indent = '', top = true): string[] {
  return Object.entries(section.properties ?? {}).flatMap(([key, node]) => [
    ...(top ? [''] : []),
    ...wrap(`${node.description ?? ''}${node.computed === undefined ? '' : ` Default: ${node.computed}.`}`, `${indent}# `),
    ...yamlEntry(key, node, indent, section.required?.includes(key) === true && node.computed === undefined)
  ])
}

function yamlEntry (key: string, node: SchemaNode, indent: string, required: boolean): string[] {
  if (node.items?.properties !== undefined && Array.isArray(node.default) && node.default.length > 0) {
    return [`${indent}${key}:`, `${indent}  -`, ...yamlOf(node.items, `${indent}    `, false)]
  }
  if (node.properties !== undefined) {
    const lines = [`${key}:`, ...yamlOf(node, '  ', false)]
    // A section in which nothing is set would not be a section, but nothing.
    const isEmpty = lines.slice(1).every((line) => /^\s*#/.test(line))
    return lines.map((line) => indent + (node.default === undefined || isEmpty ? `# ${line}` : line))
  }
  if (node.default !== undefined) return [`${indent}${key}: ${scalar(node.default)}`]
  return [`${indent}${required ? '' : '# '}${key}: ${scalar(node.example)}`]
}

/** A value on one line of YAML. */
function scalar (value: unknown): string {
  return stringify(value, { lineWidth: 0, blockQuote: false, collectionStyle: Array.isArray(value) ? 'flow' : 'any', flowCollectionPadding: false }).trimEnd()
}

function wrap (text: string, prefix: string): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const line = lines.at(-1)
    if (line === undefined || line.length + word.length + 1 > 110) lines.push(prefix + word)
    else lines[lines.length - 1] = `${line} ${word}`
  }
  return lines
}

// ---- docs/configuration.md ------------------------------------------------------------------------------------------

/** The page that lists every setting. */
export function configurationPage (): string {
  const settings = listSettings()
  const entries = Object.entries(schemaRoot.properties ?? {})
  const sections = entries.filter(([, node]) => node.properties !== undefined || node.items !== undefined)
  const single = new Set(entries.filter((entry) => !sections.includes(entry)).map(([key]) => key))
  const table = (of: (top: string) => boolean) => [
    '| Setting | Environment | Allowed | Default | What it is |',
    '|---|---|---|---|---|',
    ...settings.filter(({ keys }) => of(keys[0]!)).map(({ path, environment, node }) => row([
      `\`${path}\``,
      [environment, node.knative].filter((name) => name !== undefined).map((name) => `\`${name}\``).join(', '),
      allowedBy(node),
      defaultText(node),
      node.description ?? ''
    ]))
  ]
  return [
    INTRODUCTION,
    '## The broker', '', ...table((top) => single.has(top)), '',
    ...sections.flatMap(([key, node]) => [
      `## ${key}`, '', node.description ?? '', '', ...table((top) => top === key), ''
    ])
  ].join('\n')
}

/** The only list of sections that is not empty by default; a test holds that. */
const LISTENERS = 'one `mqtt` listener on 127.0.0.1:1883'

function defaultText (node: SchemaNode): string {
  if (node.computed !== undefined) return node.computed
  // A section in which all is default would be shown as `{}`.
  if (Array.isArray(node.default) && node.default.length > 0 && node.items?.properties !== undefined) return LISTENERS
  return node.default === undefined ? 'none' : `\`${scalar(node.default)}\``
}

function row (cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}

const INTRODUCTION = `# Configuration

Generated from \`lib/config/schema.ts\` by \`npm run generate\`; do not edit. \`config/default.yaml\` shows the same as a file,
\`config/schema.json\` is the JSON Schema (also: \`mqtt-broker-source schema\`), and \`mqtt-broker-source check --config FILE\`
says everything that is wrong with a file at once, with the line of each mistake. \`mqtt-broker-source\` stands for
\`node dist/bin/mqtt-broker-source.js\` in a clone, and for \`npx mqtt-broker-source\` where the package is installed.

## How it works

* **Precedence**: defaults < file (\`--config FILE\`, YAML or JSON) < environment < flags (\`--sink URL\` is \`sink.url\`, \`--port N\`
  the port of the first listener). A list in a higher place replaces the lower one; sections are merged.
* **Environment**: every setting has a variable, listed below. \`<n>\` counts the places of a list from 0. A list or map as a
  whole is written as JSON or YAML. An empty variable counts as not set; one that begins with \`MBS_\` and belongs to no
  setting is a mistake.
* **Unknown settings are mistakes**, and so are values outside of what is allowed: the program does not start (exit code 78).
* **Durations** are ISO 8601: \`PT0.2S\`, \`PT1M30S\`, \`PT1H\`, \`P1D\`, \`P2W\`; no years and months, whose length varies.
* **Sizes** are bytes as a number, or a whole number of \`KiB\`, \`MiB\`, \`GiB\` or \`TiB\`.
* **Paths** that are relative start at the working directory of the program.
* **Loopback** is 127.0.0.0/8, ::1, localhost and Unix sockets, unless a load balancer is in front (\`proxyProtocol\`). A
  listener on any other address is refused unless it takes credentials that \`access\` names, or \`anonymous: true\` stands
  at that listener.

## Knative

| Variable | What it does |
|---|---|
| \`K_SINK\` | sets \`sink.url\`, unless \`MBS_SINK_URL\` does |
| \`K_CE_OVERRIDES\` | its \`extensions\` are added to \`events.overrides.extensions\`, name by name; the empty string is nothing. Events that were stored before stay as they are |
| \`K_CA_CERTS\` | sets \`sink.caText\` |
| \`K_SINK_TIMEOUT\` | whole seconds for \`sink.timeout\`. Knative means "no timeout" by 0, negative and unreadable values; an attempt without an end would hold up its client's events for ever, so \`sink.timeout\` then stays as it is, with a warning |
| \`NAMESPACE\` | sets \`namespace\` |
| \`NAME\` | beside \`NAMESPACE\`, the \`name\` of the program where neither the file nor \`MBS_NAME\` says one. \`name\` is part of the \`source\` of events: whoever renames the source in Knative gives its events another \`source\` |
| \`K_LOGGING_CONFIG\` | sets \`log.level\`: the \`level\` in its \`zap-logger-config\`; \`dpanic\`, \`panic\` and \`fatal\` are \`fatal\` |
| \`K_OBSERVABILITY_CONFIG\` | \`tracing.protocol\` \`http/protobuf\` sets \`tracing.enabled\`, \`tracing.endpoint\` and \`tracing.samplingRate\` (left out, it is 0, as with Knative); \`none\` sets \`tracing.enabled\` to false. \`grpc\`, \`stdout\` and metrics that are pushed are a warning: [tracing.md](tracing.md) |

| Mount | What it does |
|---|---|
| \`/oidc/token\` | sets \`sink.auth.bearer.file\` where \`K_SINK\` gives the URL, unless \`sink.auth\` or \`sink.headers\` says how the sink is told who sends. It is read again when it changes, and after a 401 |
| \`/knative-custom-certs\` | its PEM certificates are trusted by all sinks, also those that come later. A file without a usable certificate is left out, with a warning |

Variables rank as environment, below the \`MBS_\` variable of the same setting, but for \`NAME\`, which ranks below the file.
What a platform injects about logs and traces never keeps the program from starting: what is wrong with it is a warning.
Other variables of Knative's contract (\`K_METRICS_CONFIG\`, \`K_TRACING_CONFIG\`, \`K_LEADER_ELECTION_CONFIG\`, …) may be
there and have no effect.

## OpenTelemetry

The variables that OpenTelemetry has for every program rank as environment, below those of Knative and \`MBS_\`. What is
wrong with them is a warning. [tracing.md](tracing.md) says more.

| Variable | What it does |
|---|---|
| \`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT\` | sets \`tracing.endpoint\` |
| \`OTEL_EXPORTER_OTLP_ENDPOINT\` | sets \`tracing.endpoint\` with \`/v1/traces\` behind it, where there is no other one for traces |
| \`OTEL_EXPORTER_OTLP_PROTOCOL\`, \`OTEL_EXPORTER_OTLP_TRACES_PROTOCOL\` | \`grpc\`: the endpoint is not one for this program, and is left out |
| \`OTEL_EXPORTER_OTLP_HEADERS\`, \`OTEL_EXPORTER_OTLP_TRACES_HEADERS\` | are added to \`tracing.headers\`, name by name |
| \`OTEL_EXPORTER_OTLP_TIMEOUT\`, \`OTEL_EXPORTER_OTLP_TRACES_TIMEOUT\` | milliseconds for \`tracing.timeout\` |
| \`OTEL_TRACES_SAMPLER\`, \`OTEL_TRACES_SAMPLER_ARG\` | set \`tracing.samplingRate\`; whatever the sampler, what a device has decided is followed |
| \`OTEL_SERVICE_NAME\` | sets \`tracing.serviceName\` |
| \`OTEL_SDK_DISABLED\` | \`true\` sets \`tracing.enabled\` to false, and the other ones have no effect |
| \`OTEL_TRACES_EXPORTER\` | \`none\`, and any that this program does not have, sets \`tracing.enabled\` to false |
`
