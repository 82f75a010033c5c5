// Puts together what stands in /app of the image: the built program, the production packages without what is not needed
// to run, example configurations, and an SBOM. The Dockerfile calls it, and test/integration/image.test.ts runs the
// program from its result, so that both have the same files. It asks no registry: it copies from node_modules.
//
//   node .ci/image-files.mjs --out DIR [--arch amd64|arm64]      after `npm ci` and `npm run build`
import { execFileSync } from 'node:child_process'
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, extname, join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'

/** Docker's names of processors, and node's. */
const ARCHES = { amd64: 'x64', arm64: 'arm64' }

/** What runs, or is read by what runs. Everything else of a package is left out, but for its license. */
const RUNS = new Set(['.js', '.cjs', '.mjs', '.json', '.node', '.wasm'])
const LICENSE = /^(?:licen[cs]e|notice|copying|copyright|patents)\b/i

/** Folders at the top of a package that no program loads. */
const FOLDERS = new Set([
  'test', 'tests', '__tests__', 'spec', 'example', 'examples', 'bench', 'benchmark', 'benchmarks', 'doc', 'docs', 'types',
  'scripts', 'tools', 'man', 'coverage', 'node_modules'
])

/** What else is not loaded by this program: folders, and files by the beginning of their path. */
const LEFT_OUT = {
  'classic-level': ['deps/'], // the sources of what is in its prebuilt binary
  cloudevents: ['bundles/'], // for browsers
  mqtt: ['dist/', 'build/bin/'], // for browsers, and its own command line
  yaml: ['browser/'],
  typebox: ['build/cjs/']
}

/** The same again for bundlers. */
const BUNDLED = ['build/esm/', 'build/esnext/']

/** Names of types alone: nothing of them exists when the program runs. */
const isTypes = (name) => name.startsWith('@types/') || name === 'undici-types'

const root = resolve(import.meta.dirname ?? dirname(new URL(import.meta.url).pathname), '..')
const { values } = parseArgs({ options: { out: { type: 'string' }, arch: { type: 'string', default: dockerArch() } } })
if (values.out === undefined || ARCHES[values.arch] === undefined) {
  console.error('usage: node .ci/image-files.mjs --out DIR [--arch amd64|arm64]')
  process.exit(78)
}
const out = resolve(values.out)
if (existsSync(out) && readdirSync(out).length > 0) throw new Error(`${out} is not empty`)

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
copyProgram()
const packages = productionPackages()
for (const { path, name } of packages) copyPackage(path, name)
writeFileSync(join(out, 'sbom.cdx.json'), `${JSON.stringify(sbom(packages), null, 2)}\n`)
const files = seal(out)
console.log(`${files.length} files of ${packages.length} packages, ${(sizeOf(files) / 1024 / 1024).toFixed(1)} MiB, for ${values.arch}: ${out}`)

function dockerArch () {
  return Object.keys(ARCHES).find((name) => ARCHES[name] === process.arch) ?? 'amd64'
}

/** What makes files of the repository is no part of the program. */
function isGenerator (path) {
  return path === 'generate.js' || path.startsWith('chart/')
}

function copyProgram () {
  for (const folder of ['dist/bin', 'dist/lib']) {
    if (!existsSync(join(root, folder))) throw new Error(`${folder} is missing: npm run build`)
    copyFiles(join(root, folder), join(out, folder), (path) => path.endsWith('.js') && !isGenerator(path))
  }
  copyFiles(join(root, 'config'), join(out, 'config'), () => true)
  cpSync(join(root, 'LICENSE'), join(out, 'LICENSE'))
  const { name, version, description, license, type, engines, bin, dependencies } = manifest
  const kept = { name, version, description, license, private: true, type, engines, bin, dependencies }
  writeFileSync(join(out, 'package.json'), `${JSON.stringify(kept, null, 2)}\n`)
}

/** Every package that the lock file gives to production, with its place in node_modules. */
function productionPackages () {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  return Object.entries(lock.packages).flatMap(([path, entry]) => {
    if (path === '' || entry.dev === true || entry.devOptional === true) return []
    const name = path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length)
    if (isTypes(name)) return []
    if (!existsSync(join(root, path, 'package.json'))) {
      if (entry.optional === true) return []
      throw new Error(`${path} is missing: npm ci`)
    }
    return [{ path, name, version: entry.version }]
  })
}

function copyPackage (path, name) {
  const leftOut = LEFT_OUT[name] ?? (name.startsWith('@opentelemetry/') ? BUNDLED : [])
  copyFiles(join(root, path), join(out, path), (file) => {
    const parts = file.split('/')
    if (LICENSE.test(basename(file))) return true
    if (!RUNS.has(extname(file)) || parts.some((part) => part.startsWith('.'))) return false
    if (parts.length > 1 && FOLDERS.has(parts[0])) return false
    if (/^(?:tsconfig.*|package-lock|tslint|composer)\.json$/.test(basename(file))) return false
    if (leftOut.some((start) => file.startsWith(start))) return false
    return parts[0] !== 'prebuilds' || isForTarget(file)
  }, (folder) => folder !== 'node_modules')
}

/** The binaries of one processor, for glibc. */
function isForTarget (file) {
  return file.startsWith(`prebuilds/linux-${ARCHES[values.arch]}/`) && !file.includes('musl')
}

/** Copies the files of a folder for which `wants` holds, by their path in it. */
function copyFiles (from, to, wants, enters = () => true, below = '') {
  for (const entry of readdirSync(join(from, below), { withFileTypes: true })) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`
    if (entry.isDirectory()) {
      if (below !== '' || enters(entry.name)) copyFiles(from, to, wants, enters, path)
    } else if (entry.isFile() && wants(path)) {
      mkdirSync(dirname(join(to, path)), { recursive: true })
      cpSync(join(from, path), join(to, path))
    }
  }
}

/**
 * What npm says of the packages that are in the image. Not by `--omit dev`: that leaves out production packages, too,
 * where a package that only development names depends on them as well.
 */
function sbom (kept) {
  const args = ['sbom', '--sbom-format', 'cyclonedx', '--sbom-type', 'application', '--package-lock-only']
  const text = execFileSync('npm', args, { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 })
  const bom = JSON.parse(text)
  const ids = new Set(kept.map(({ name, version }) => `${name}@${version}`))
  // A package that stands in several places is told once.
  const told = new Set()
  const isNew = (ref) => !told.has(ref) && told.add(ref) !== undefined
  const isKept = (ref) => ids.has(ref) || ref === bom.metadata.component['bom-ref']
  // npm takes the name of the folder.
  bom.metadata.component.name = manifest.name
  bom.components = bom.components.filter((component) => isKept(component['bom-ref']) && isNew(component['bom-ref']))
  bom.dependencies = bom.dependencies.filter(({ ref }) => isKept(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter(isKept) }))
  return bom
}

/** Everyone may read all of it, nobody but root write. */
function seal (folder) {
  chmodSync(folder, 0o755)
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return seal(path)
    chmodSync(path, 0o644)
    return [relative(out, path)]
  })
}

function sizeOf (paths) {
  return paths.reduce((bytes, path) => bytes + statSync(join(out, path)).size, 0)
}
