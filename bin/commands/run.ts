import { isatty } from 'node:tty'
import { createSource, type Source } from '../../lib/index.ts'
import { takeSignals } from '../early-signals.ts'
import { parse, port, type Command } from './command.ts'

export const run: Command = {
  summary: 'run the broker (the default)',
  help: `Usage: mqtt-broker-source [run] [--config FILE] [--sink URL] [--port N]

  --config FILE  the configuration, in YAML; without it, everything has its default
  --sink URL     deliver to this URL; K_SINK in the environment does the same
  --port N       the port of the first listener

Defaults are overridden by the file, the file by the environment (MBS_..., K_...), and that by these options.
SIGTERM and SIGINT end it in order; a second one ends it at once. Both lose nothing that was acknowledged.
SIGHUP reads certificates, keys, CAs and revocation lists again; no connection is closed.
`,
  async execute (argv) {
    const { values } = parse(argv, {
      options: { config: { type: 'string' }, sink: { type: 'string' }, port: { type: 'string' } }
    })
    const source = createSource({
      file: values.config,
      flags: {
        ...(values.sink === undefined ? {} : { sink: values.sink }),
        ...(values.port === undefined ? {} : { port: port(values.port) })
      }
    })
    const stopped = stopOnSignal(source)
    reloadOnHangUp(source)
    await source.start()
    greet(source)
    return await stopped
  }
}

/**
 * Within this time a second signal is the first one again, in milliseconds: Ctrl-C reaches the program from the
 * terminal, and from npm, which passes on what it has got itself.
 */
const SAME_SIGNAL_MS = 1000

/** Resolves with the exit code when a signal has ended the source; a second signal ends the process at once. */
async function stopOnSignal (source: Source): Promise<number> {
  takeSignals()
  const signal = await new Promise<NodeJS.Signals>((resolve) => {
    process.once('SIGTERM', resolve)
    process.once('SIGINT', resolve)
  })
  const since = performance.now()
  const again = (): void => { if (performance.now() - since > SAME_SIGNAL_MS) process.exit(1) }
  process.on('SIGTERM', again)
  process.on('SIGINT', again)
  await source.close(signal)
  return 0
}

/**
 * SIGHUP has two meanings: an operator asks to read the files again, or the terminal that the program ran in is gone.
 * Then it ends as it would without this handler, losing nothing that was acknowledged. Windows sends it for the latter
 * alone: there it is left to itself.
 */
function reloadOnHangUp (source: Source): void {
  if (process.platform === 'win32') return
  const atTerminal = isatty(0)
  const hangUp = (): void => {
    if (!atTerminal || isatty(0)) {
      void source.reload('SIGHUP')
    } else {
      process.off('SIGHUP', hangUp)
      process.kill(process.pid, 'SIGHUP')
    }
  }
  process.on('SIGHUP', hangUp)
}

/** Tells a person what listens where and what to try next. For machines the log says the same. */
function greet (source: Source): void {
  const shown = source.config.sink.kind === 'display'
  const stream = shown ? process.stdout : process.stderr
  if (!shown && !process.stderr.isTTY) return
  const [first] = source.addresses.listeners
  const events = shown
    ? 'shown here; --sink URL or K_SINK delivers them over HTTP'
    : `delivered to ${source.config.sink.url ?? 'no sink yet: they wait in the outbox'}`
  const places = { disk: `on disk in ${source.config.dataDir}`, redis: 'in Redis', memory: 'in memory' }
  const outbox = places[source.config.outbox.store]
  const lines = [
    `mqtt-broker-source ${source.version}`,
    ...source.addresses.listeners.map(({ protocol, address }) => `  MQTT     ${protocol}://${address}`),
    `  events   ${events}`,
    `  outbox   ${outbox}`,
    `  health   http://${source.addresses.http}/readyz`,
    `  metrics  http://${source.addresses.http}/metrics`
  ]
  if (first?.protocol === 'mqtt') {
    const at = first.address.split(':').at(-1)
    const where = at === '1883' ? '' : ` -p ${at}`
    lines.push('', `Try it from another terminal:  npx mqtt pub${where} -t sensors/temperature -m 74.12`)
  }
  stream.write(`${lines.join('\n')}\n\n`)
}
