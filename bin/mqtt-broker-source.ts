#!/usr/bin/env node
/**
 * The program: command line in, exit code out. Exit codes: 0, 1 (it failed while running), 78 (configuration or command
 * line). An error is told on standard error as its code, its sentence and its remedy.
 */
import { createError, isMbsError, VERSION } from '../lib/index.ts'
import { check } from './commands/check.ts'
import type { Command } from './commands/command.ts'
import { display } from './commands/display.ts'
import { map } from './commands/map.ts'
import { outbox } from './commands/outbox.ts'
import { passwd } from './commands/passwd.ts'
import { run } from './commands/run.ts'
import { schema } from './commands/schema.ts'

const commands: Readonly<Record<string, Command>> = { run, check, map, passwd, display, outbox, schema }

function help (): string {
  const lines = Object.entries(commands).map(([name, command]) => `  ${name.padEnd(9)} ${command.summary}`)
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
    process.stdout.write(help())
    return 0
  }
  const named = first !== undefined && !first.startsWith('-')
  const command = named ? (Object.hasOwn(commands, first) ? commands[first] : undefined) : run
  if (command === undefined) throw createError('MBS_ERR_CLI_USAGE', { reason: `there is no command "${first}"` })
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
