/**
 * The house, held against its plan: which place may import what. A stage knows itself and the nouns; source.ts alone
 * puts stages together. Printed on failure: the file, its line and the import that does not belong there.
 */
import { test } from 'tap'
import { readdirSync, readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join, relative } from 'node:path'
import ts from 'typescript'
import { listSettings, type Setting } from '../lib/config/settings.ts'

/** What one place may import. A path that ends with `/` is a folder, any other one a file. */
interface Row {
  readonly place: string
  /** Other places; its own folder goes without saying. */
  readonly lib?: readonly string[]
  /** npm packages. One that stands in no row may not be imported at all. */
  readonly packages?: readonly string[]
}

/** What every stage may import: the nouns, the errors, telemetry. */
const COMMON = [
  'lib/message.ts', 'lib/errors.ts', 'lib/version.ts', 'lib/telemetry/', 'lib/address-key.ts', 'lib/topic-filter.ts',
  'lib/bounded-fetch.ts'
]

const PLAN: readonly Row[] = [
  { place: 'lib/address-key.ts' },
  { place: 'lib/bounded-fetch.ts', lib: ['lib/errors.ts'] },
  { place: 'lib/error-table.ts', lib: ['lib/error-table/'] },
  { place: 'lib/error-table/' },
  { place: 'lib/errors.ts', lib: ['lib/error-table.ts'] },
  { place: 'lib/message.ts' },
  { place: 'lib/topic-filter.ts' },
  { place: 'lib/version.ts' },
  { place: 'lib/index.ts', lib: ['lib/'] },
  // What is asked every few seconds imports little.
  {
    place: 'lib/light.ts',
    lib: ['lib/errors.ts', 'lib/version.ts', 'lib/config/probe-address.ts', 'lib/config/units.ts', 'lib/selftest/health.ts']
  },
  { place: 'lib/source.ts', lib: ['lib/'], packages: ['pino'] },
  { place: 'lib/parts.ts', lib: ['lib/'] },
  { place: 'lib/sink-parts.ts', lib: ['lib/'] },
  { place: 'lib/store-parts.ts', lib: ['lib/'] },
  { place: 'lib/maintenance.ts', lib: ['lib/'] },
  { place: 'lib/permission-check.ts', lib: ['lib/'] },
  { place: 'lib/map-preview.ts', lib: ['lib/'] },
  { place: 'lib/request-preview.ts', lib: ['lib/'] },
  { place: 'lib/ingest.ts', lib: [...COMMON, 'lib/ingest/', 'lib/outbox/outbox.ts'] },
  { place: 'lib/ingest/', lib: [...COMMON, 'lib/outbox/outbox.ts'] },
  { place: 'lib/pem/' },
  { place: 'lib/reload/', lib: COMMON },
  { place: 'lib/access/', lib: COMMON, packages: ['jose'] },
  {
    place: 'lib/config/',
    // The form of user files, files of keys, rules of events and secrets of sinks is judged where it is used.
    lib: [
      ...COMMON, 'lib/pem/', 'lib/access/client-id-pattern.ts', 'lib/access/password-hash.ts', 'lib/access/token-keys.ts',
      'lib/mapping/event-rules.ts', 'lib/mapping/client-template.ts', 'lib/mapping/schema.ts', 'lib/mapping/filter.ts',
      'lib/sink/secret-text.ts', 'lib/redis/node.ts'
    ],
    packages: ['typebox', 'ajv', 'yaml', 'fastest-levenshtein']
  },
  { place: 'lib/listener/', lib: [...COMMON, 'lib/pem/'], packages: ['ws'] },
  { place: 'lib/level/', lib: ['lib/errors.ts'], packages: ['classic-level'] },
  {
    place: 'lib/broker/',
    lib: [...COMMON, 'lib/level/', 'lib/redis/'],
    packages: ['aedes', 'aedes-persistence-redis', 'mqemitter-redis']
  },
  { place: 'lib/mapping/', lib: [...COMMON, 'lib/cloudevent/'], packages: ['ajv', 'jsonata'] },
  { place: 'lib/cloudevent/', lib: COMMON, packages: ['cloudevents'] },
  { place: 'lib/redis/', lib: COMMON, packages: ['ioredis'] },
  { place: 'lib/outbox/', lib: [...COMMON, 'lib/level/', 'lib/redis/'], packages: ['memory-level'] },
  { place: 'lib/delivery/', lib: [...COMMON, 'lib/outbox/outbox.ts', 'lib/sink/sink.ts'] },
  { place: 'lib/sink/', lib: [...COMMON, 'lib/cloudevent/'], packages: ['undici'] },
  {
    place: 'lib/tracing/',
    lib: [...COMMON, 'lib/sink/sink.ts'],
    packages: [
      '@opentelemetry/api', '@opentelemetry/core', '@opentelemetry/otlp-transformer', '@opentelemetry/resources',
      '@opentelemetry/sdk-trace'
    ]
  },
  { place: 'lib/admin/', lib: [...COMMON, 'lib/outbox/outbox.ts'], packages: ['fastify'] },
  { place: 'lib/telemetry/', lib: [...COMMON, 'lib/outbox/outbox.ts'], packages: ['pino', 'pino-pretty', 'prom-client'] },
  { place: 'lib/selftest/', lib: ['lib/errors.ts', 'lib/bounded-fetch.ts'], packages: ['mqtt'] },
  { place: 'bin/chart/', lib: ['lib/index.ts'], packages: ['yaml'] },
  { place: 'bin/', lib: ['lib/index.ts', 'lib/light.ts'] }
]

/** The type of the configuration is a noun, too: every place may name it. */
const CONFIG_TYPES = 'lib/config/schema.ts'

/** `process.env`, `process['env']`, and `env` taken out of `process`. */
const READS_ENVIRONMENT =
  /\bprocess\s*(?:\.\s*env\b|\[\s*['"]env['"]\s*\])|\{[^}]*\benv\b[^}]*\}\s*(?:from\s*['"](?:node:)?process|=\s*process\b)/

const root = join(import.meta.dirname, '..')

interface Import {
  readonly file: string
  readonly line: number
  readonly specifier: string
  readonly typeOnly: boolean
  readonly dynamic?: boolean
}

test('every import belongs where it stands', async (t) => {
  const imports = sourceFiles().flatMap(importsOf)
  t.ok(imports.length > 100, 'imports were found at all')
  t.strictSame(imports.filter((found) => !isAllowed(found)).map(describe), [])
})

test('every file has a row in the plan', async (t) => {
  t.strictSame(sourceFiles().filter((file) => rowOf(file) === undefined), [])
})

test('every row of the plan is needed: its place is there and imports each of its packages', async (t) => {
  const imports = sourceFiles().flatMap(importsOf)
  for (const { place, packages = [] } of PLAN) {
    t.ok(sourceFiles().some((file) => isIn(file, place)), place)
    for (const name of packages) {
      t.ok(imports.some(({ file, specifier }) => isIn(file, place) && packageOf(specifier) === name), `${place} imports ${name}`)
    }
  }
})

test('the environment is read in lib/config alone', async (t) => {
  const readers = sourceFiles().filter((file) => READS_ENVIRONMENT.test(readCode(file)))
  t.strictSame(readers.filter((file) => !isIn(file, 'lib/config/')), [])
  t.ok(readers.length > 0)
})

test('the health check loads little: no package, nothing of a stage', async (t) => {
  const loaded = new Set(['bin/mqtt-broker-source.ts', 'bin/commands/health.ts'])
  for (const file of loaded) {
    for (const { specifier } of importsOf(file).filter(({ typeOnly, dynamic }) => !typeOnly && !dynamic)) {
      if (specifier.startsWith('.')) loaded.add(join(dirname(file), specifier).replaceAll('\\', '/'))
      else t.ok(specifier.startsWith('node:'), `${file} imports ${specifier}`)
    }
  }
  t.ok(loaded.has('lib/selftest/health.ts') && loaded.size < 25, `${loaded.size} files`)
  const rooms = new Set([...loaded].filter((file) => file.startsWith('lib/')).map((file) => dirname(file)))
  t.strictSame([...rooms].toSorted(), ['lib', 'lib/config', 'lib/error-table', 'lib/selftest'])
})

test('no setting is accepted and ignored: each one that leaves a choice is read by a stage', async (t) => {
  const texts = sourceFiles().filter((file) => isIn(file, 'lib/') && !isIn(file, 'lib/config/')).map(readCode)
  const leavesChoice = ({ node }: Setting) => node.items === undefined && node.enum?.length !== 1 && node.allowed !== 'true'
  const isRead = ({ keys }: Setting) => texts.some((text) => new RegExp(`\\b${keys.at(-1)}\\b`).test(text))
  t.strictSame(listSettings().filter(leavesChoice).filter((setting) => !isRead(setting)).map(({ path }) => path), [])
})

test('a file of lib says at its top what it is', async (t) => {
  const files = sourceFiles().filter((file) => isIn(file, 'lib/'))
  t.strictSame(files.filter((file) => !/^(?:#!.*\n)?\/\*\*/.test(readFileSync(join(root, file), 'utf8'))), [])
})

test('a file holds one thing: no more than 400 lines', async (t) => {
  const lines = (file: string) => readFileSync(join(root, file), 'utf8').split('\n').length - 1
  t.strictSame(sourceFiles().filter((file) => lines(file) > 400).map((file) => `${file}: ${lines(file)} lines`), [])
})

test('the guard itself sees what it has to see', async (t) => {
  const at = (file: string, specifier: string, typeOnly = false) => isAllowed({ file, line: 1, specifier, typeOnly })
  t.equal(at('lib/sink/http-sink.ts', 'undici'), true)
  t.equal(at('lib/delivery/dispatcher.ts', 'undici'), false, 'a package of another place')
  t.equal(at('lib/delivery/dispatcher.ts', '../sink/sink.ts'), true)
  t.equal(at('lib/delivery/dispatcher.ts', '../sink/http-sink.ts'), false, 'more of a stage than its contract')
  t.equal(at('lib/listener/listener.ts', '../broker/contract.ts', true), false, 'another stage, if only a type')
  t.equal(at('lib/sink/http-sink.ts', '../config/schema.ts', true), true)
  t.equal(at('lib/sink/http-sink.ts', '../config/schema.ts'), false, 'more than a type of the configuration')
  t.equal(at('bin/generate.ts', '../lib/errors.ts'), false, 'the program uses the public API')
  t.equal(at('bin/commands/run.ts', './command.ts'), true)
  t.equal(at('lib/source.ts', 'left-pad'), false, 'a package without a row')
  t.equal(at('lib/errors.ts', 'fs'), false, 'a built-in module without node:')
  t.equal(at('lib/errors.ts', 'node:fs'), true)
})

function sourceFiles (): string[] {
  return ['lib', 'bin'].flatMap((folder) => readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/')))
}

/** Imports, exports from elsewhere, `import()` of values and of types. */
function importsOf (file: string): Import[] {
  const source = ts.createSourceFile(file, readFileSync(join(root, file), 'utf8'), ts.ScriptTarget.Latest)
  const found: Import[] = []
  const add = (node: ts.Node, specifier: ts.Node, typeOnly: boolean, dynamic = false) => {
    const { line } = source.getLineAndCharacterOfPosition(node.pos)
    const text = ts.isStringLiteralLike(specifier) ? specifier.text : `an expression: ${specifier.getText(source)}`
    found.push({ file, line: line + 1, specifier: text, typeOnly, dynamic })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) {
      add(node, node.moduleSpecifier, node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword)
    } else if (ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined) {
      add(node, node.moduleSpecifier, node.isTypeOnly)
    } else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      add(node, node.arguments[0]!, false, true)
    } else if (ts.isCallExpression(node) && ts.isIdentifier(node.expression) && node.expression.text === 'require') {
      add(node, node.arguments[0]!, false)
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node, node.argument.literal, true)
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

function isAllowed ({ file, specifier, typeOnly }: Import): boolean {
  const row = rowOf(file)
  if (row === undefined) return false
  if (specifier.startsWith('node:')) return isBuiltin(specifier)
  if (!specifier.startsWith('.')) return row.packages?.includes(packageOf(specifier)) ?? false
  const target = join(dirname(file), specifier).replaceAll('\\', '/')
  if (row.place.endsWith('/') && isIn(target, row.place)) return true
  if (target === CONFIG_TYPES && typeOnly) return true
  return row.lib?.some((place) => isIn(target, place)) ?? false
}

function rowOf (file: string): Row | undefined {
  return PLAN.find(({ place }) => isIn(file, place))
}

function isIn (file: string, place: string): boolean {
  return place.endsWith('/') ? file.startsWith(place) : file === place
}

function packageOf (specifier: string): string {
  return specifier.split('/').slice(0, specifier.startsWith('@') ? 2 : 1).join('/')
}

function describe ({ file, line, specifier, typeOnly }: Import): string {
  return `${file}:${line} imports ${specifier}${typeOnly ? ' (types)' : ''}`
}

/** The text of a file without its comments. */
function readCode (file: string): string {
  return readFileSync(join(root, file), 'utf8').replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, '')
}
