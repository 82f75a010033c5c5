/** Signals before there is anything to end: the first process of a container has to hear them as well. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { test } from 'tap'
import { spawnProgram } from '../support/process.ts'

/** Holds up the loading of the command, and says when it is asked for. */
const HOOKS = `export async function load (url, context, next) {
  if (url.endsWith('/commands/run.js')) {
    process._rawDebug('the command is asked for')
    await new Promise((resolve) => { setTimeout(resolve, 20000) })
  }
  return await next(url, context)
}`
const dataUrl = (text: string) => `data:text/javascript,${encodeURIComponent(text)}`
const REGISTER = `import { register } from 'node:module'; register(${JSON.stringify(dataUrl(HOOKS))})`

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} while the program is still loading ends it at once, with exit code 0`, async (t) => {
    const env = { NODE_OPTIONS: `--import=${dataUrl(REGISTER)}` }
    const program = spawnProgram(t, ['run'], { env })
    await program.until(() => program.stderr === 'the command is asked for\n')
    program.signal(signal)
    t.same(await program.exited, { code: 0, signal: null })
  })
}

test('other commands end with the code of the signal, and handlers of their own take its place', async (t) => {
  const module = fileURLToPath(new URL('../../dist/bin/early-signals.js', import.meta.url))
  const run = async (more: string) => {
    const script = `import { endOnSignals, takeSignals } from ${JSON.stringify(module)}
      endOnSignals()
      ${more}
      console.log('there')
      setTimeout(() => {}, 20000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
    t.teardown(() => child.kill('SIGKILL'))
    await once(child.stdout, 'data')
    child.kill('SIGTERM')
    return await once(child, 'exit')
  }
  t.same(await run(''), [143, null])
  t.same(await run("takeSignals(); process.once('SIGTERM', () => { process.exit(7) })"), [7, null])
  t.same(await run('takeSignals()'), [null, 'SIGTERM'])
})
