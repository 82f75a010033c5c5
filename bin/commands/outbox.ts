import {
  createError, loadConfig, readDeadLetters, readOutboxStatus, requeueDeadLetters, type Config, type DeadLetter
} from '../../lib/index.ts'
import { parse, type Command } from './command.ts'

export const outbox: Command = {
  summary: 'look at the outbox and its dead letters while the program is stopped',
  help: `Usage: mqtt-broker-source outbox status        [--config FILE]
       mqtt-broker-source outbox dead-letters  [--config FILE]
       mqtt-broker-source outbox requeue       [--config FILE] [--sequence N ...]

  status        how many events wait, since when, how much of the space is used
  dead-letters  every event that was set aside, one JSON object a line, with its reason and its data in base64
  requeue       put dead letters back behind what waits: all of them, or those of the given sequence numbers

The program that uses the outbox has to be stopped: MBS_ERR_OUTBOX_LOCKED otherwise.
`,
  async execute (argv) {
    const { values, positionals } = parse(argv, {
      options: { config: { type: 'string' }, sequence: { type: 'string', multiple: true } }, allowPositionals: true
    })
    const [action, ...others] = positionals
    if (others.length > 0) throw createError('MBS_ERR_CLI_USAGE', { reason: `"${others[0]}" is one word too many` })
    if (values.sequence !== undefined && action !== 'requeue') {
      throw createError('MBS_ERR_CLI_USAGE', { reason: '--sequence goes with requeue' })
    }
    const { config } = loadConfig({ file: values.config })
    if (config.outbox.store !== 'disk') {
      throw createError('MBS_ERR_CLI_USAGE', { reason: `an outbox in ${config.outbox.store} is gone when the program is stopped` })
    }
    switch (action) {
      case 'status': return await status(config)
      case 'dead-letters': return await deadLetters(config)
      case 'requeue': return await requeue(config, values.sequence)
      case undefined:
      default: throw createError('MBS_ERR_CLI_USAGE', { reason: 'outbox takes status, dead-letters or requeue' })
    }
  }
}

async function status (config: Config): Promise<number> {
  const { waiting, oldestStoredAt, bytes, maxBytes, deadLetters, lostEvents } = await readOutboxStatus(config)
  const since = oldestStoredAt === undefined ? '' : `, the oldest since ${new Date(oldestStoredAt).toISOString()}`
  process.stdout.write([
    `waiting       ${waiting}${since}`,
    `space         ${bytes} of ${maxBytes} bytes`,
    `dead letters  ${deadLetters}`,
    ...(lostEvents > 0 ? [`damaged       ${lostEvents} cannot be read any more`] : [])
  ].join('\n') + '\n')
  return 0
}

async function deadLetters (config: Config): Promise<number> {
  await readDeadLetters(config, (letter) => { process.stdout.write(`${JSON.stringify(describe(letter))}\n`) })
  return 0
}

async function requeue (config: Config, sequences: readonly string[] | undefined): Promise<number> {
  const wanted = sequences?.map((text) => {
    if (!/^[1-9]\d*$/.test(text)) throw createError('MBS_ERR_CLI_USAGE', { reason: `--sequence takes a number, not "${text}"` })
    return Number(text)
  })
  const count = await requeueDeadLetters(config, wanted === undefined ? undefined : new Set(wanted))
  process.stdout.write(`${count} put back\n`)
  return 0
}

function describe ({ stored, reason, attempts, code, destination, data, diedAt, forwardedAt }: DeadLetter): object {
  const { data: payload, ...attributes } = stored.event
  return {
    sequence: stored.sequence,
    reason,
    attempts,
    code,
    destination,
    answer: data.toString(),
    diedAt: new Date(diedAt).toISOString(),
    ...(forwardedAt === undefined ? {} : { forwardedAt: new Date(forwardedAt).toISOString() }),
    storedAt: new Date(stored.storedAt).toISOString(),
    event: { ...attributes, data_base64: payload.toString('base64') }
  }
}
