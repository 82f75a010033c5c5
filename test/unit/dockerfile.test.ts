/** The Dockerfile, read by a parser of Dockerfiles: it is valid, and keeps what docs/container.md says of the image. */
import { test } from 'tap'
import { DockerfileParser, type Copy, type From, type Instruction, type Label } from 'dockerfile-ast'
import { validate } from 'dockerfile-utils'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')
const text = readFileSync(join(root, 'Dockerfile'), 'utf8')
const dockerfile = DockerfileParser.parse(text)
const instructions = dockerfile.getInstructions()
const lastFrom = instructions.findLastIndex((instruction) => instruction.getKeyword() === 'FROM')
const final = instructions.slice(lastFrom + 1)

function last (keyword: string): Instruction {
  const found = final.findLast((instruction) => instruction.getKeyword() === keyword)
  if (found === undefined) throw new Error(`no ${keyword} in the last stage`)
  return found
}

test('it is a valid Dockerfile', async (t) => {
  t.strictSame(validate(text).map(({ message, range }) => `${range.start.line + 1}: ${message}`), [])
  t.ok(validate('FROM node\nCOPPY a b\n').length > 0, 'the linter sees mistakes')
})

test('the last stage runs nothing while it is built: it needs neither a shell nor the processor of the target', async (t) => {
  t.strictSame(final.filter((instruction) => ['RUN', 'ADD', 'SHELL', 'ONBUILD'].includes(instruction.getKeyword())).map(String), [])
  t.match(text, /^ARG RUNTIME_IMAGE=gcr\.io\/distroless\/nodejs\$\{NODE_VERSION\}-debian13:nonroot$/m)
  t.equal((instructions[lastFrom] as From).getImage(), '${RUNTIME_IMAGE}') // eslint-disable-line no-template-curly-in-string
})

test('what starts is the program itself, not a shell', async (t) => {
  const exec = (keyword: string) => JSON.parse(/\[.*\]/s.exec(last(keyword).toString())![0]) as string[]
  t.strictSame(exec('ENTRYPOINT'), ['/nodejs/bin/node', 'dist/bin/mqtt-broker-source.js'])
  t.strictSame(exec('CMD'), ['run'])
  t.strictSame(exec('HEALTHCHECK'), ['/nodejs/bin/node', 'dist/bin/mqtt-broker-source.js', 'health'])
})

test('it is nobody who runs it, and owns the volume alone', async (t) => {
  t.equal(last('USER').getArgumentsContent(), '65532:65532')
  t.equal(last('VOLUME').getArgumentsContent(), '/data')
  const owned = final.map(String).filter((line) => line.startsWith('COPY') && line.includes('--chown'))
  t.strictSame(owned, ['COPY --from=build --chown=65532:65532 /data /data'])
})

test('the files are put together by the script whose result is tested, for the processor of the target', async (t) => {
  const runs = instructions.map(String).filter((line) => line.startsWith('RUN'))
  // eslint-disable-next-line no-template-curly-in-string
  t.ok(runs.includes('RUN node .ci/image-files.mjs --out /app --arch "${TARGETARCH}"'))
  const copies = final.map(String).filter((line) => line.startsWith('COPY'))
  t.strictSame(copies.filter((line) => !line.startsWith('COPY --from=build ')), [], 'nothing comes from beside the script')
})

test('it says what it is', async (t) => {
  const labels = final.filter((instruction) => instruction.getKeyword() === 'LABEL')
    .flatMap((label) => (label as Label).getProperties()).map((property) => [property.getName(), property.getValue()])
  const { title, licenses, version, revision, created, source, ...more } = Object.fromEntries(
    labels.map(([name, value]) => [name!.replace('org.opencontainers.image.', ''), value])) as Record<string, string>
  t.match([title, licenses], ['mqtt-broker-source', 'Apache-2.0'])
  t.ok([version, revision, created, source].every((value) => /^\$\{[A-Z]+\}$/.test(value!)), 'arguments of the build')
  t.equal(more['dev.mqttbrokersource.sbom'], '/app/sbom.cdx.json')
})

test('all that it copies is there, and let through by .dockerignore', async (t) => {
  const ignore = readFileSync(join(root, '.dockerignore'), 'utf8').split('\n')
  const through = ignore.filter((line) => line.startsWith('!')).map((line) => line.slice(1))
  t.ok(ignore.includes('*'))
  const copies = dockerfile.getCOPYs().filter((copy) => !/--from/.test(copy.toString())) as Copy[]
  const sources = copies.flatMap((copy) => copy.getArguments().slice(0, -1).map((argument) => argument.getValue()))
  t.strictSame(sources.toSorted(), through.toSorted())
  for (const source of sources) t.ok(existsSync(join(root, source)), source)
})
