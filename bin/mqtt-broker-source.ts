#!/usr/bin/env node
/**
 * The program: command line in, exit code out. Exit codes: 0, 1 (it failed while running), 78 (configuration or command
 * line). An error is told on standard error as its code, its sentence and its remedy.
 */
import { createError, isMbsError, VERSION } from '../lib/light.ts'
import type { Command } from './commands/command.ts'
import { endOnSignals } from './early-signals.ts'

/** Each is loaded when it is asked for: a health check must not take the time that a broker takes to load. */
const commands: Readonly<Record<string, () => Promise<Command>>> = {
  run: async () => (await import('./commands/run.ts')).run,
  check: async () => (await import('./commands/check.ts')).check,
  map: async () => (await import('./commands/map.ts')).map,
  passwd: async () => (await import('./commands/passwd.ts')).passwd,
  display: async () => (await import('./commands/display.ts')).display,
  outbox: async () => (await import('./commands/outbox.ts')).outbox,
  selftest: async () => (await import('./commands/selftest.ts')).selftest,
  health: async () => (await import('./commands/health.ts')).health,
  schema: async () => (await import('./commands/schema.ts')).schema
}

async function help (): Promise<string> {
  const lines = await Promise.all(Object.entries(commands).map(async ([name, load]) =>
    `  ${name.padEnd(9)} ${(await load()).summary}`))
  return `mqtt-broker-source ${VERSION}: an MQTT broker whose publishes become CloudEvents at a sink

Usage: mqtt-broker-source [command] [options]

Commands (run, when none is given):
${lines.join('\n')}

Options:
  --help     this text, or that of a command
  --version  the version

Exit codes: 0, 1 (failed while running), 78 (configuration or command line).
`
}

async function main (argv: readonly string[]): Promise<number> {
  const first = argv[0]
  if (first === '--version' || first === '-v') {
    process.stdout.write(`${VERSION}\n`)
    return 0
  }
  if (first === '--help' || first === '-h' || first === 'help') {
    process.stdout.write(await help())
    return 0
  }
  const named = first !== undefined && !first.startsWith('-')
  const name = named ? first : 'run'
  // A broker that is stopped while it is still loading was stopped in order.
  endOnSignals(name === 'run' ? 0 : undefined)
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (load === undefined) throw createError('MBS_ERR_CLI_USAGE', { reason: `there is no command "${name}"` })
  const command = await load()
  const rest = named ? argv.slice(1) : argv
  if (rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(command.help)
    return 0
  }
  return await command.execute(rest)
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (isMbsError(error)) {
    process.stderr.write(`${error.code}: ${error.message}\n  ${error.help}\n`)
    process.exitCode = error.exitCode
  } else {
    process.stderr.write(`${error instanceof Error ? error.stack ?? error.message : String(error)}\n`)
    process.exitCode = 1
  }
}
