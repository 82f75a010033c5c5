import {
  createError, discardDeadLetters, loadConfig, readDeadLetters, readOutboxStatus, requeueDeadLetters, type Config,
  type DeadLetter, type OutboxReport
} from '../../lib/index.ts'
import { parse, type Command } from './command.ts'

export const outbox: Command = {
  summary: 'look at the outbox and its dead letters',
  help: `Usage: mqtt-broker-source outbox status        [--config FILE]
       mqtt-broker-source outbox dead-letters  [--config FILE]
       mqtt-broker-source outbox requeue       [--config FILE] [--sequence N ...]
       mqtt-broker-source outbox discard       [--config FILE] --sequence N ... | --all

  status        how many events wait, since when, how much of the space is used
  dead-letters  every event that was set aside, one JSON object a line, with its reason and its data in base64
  requeue       put dead letters back behind what waits: those of sinks, or those of the given sequence numbers. What
                the mapping set aside has to be named, and goes to the sinks as it is
  discard       remove dead letters for good

The program that uses an outbox on disk has to be stopped: MBS_ERR_OUTBOX_LOCKED otherwise. One in Redis is that of a
whole group, which goes on meanwhile; its sequence numbers tell the partition, too.
`,
  async execute (argv) {
    const { values, positionals } = parse(argv, {
      options: { config: { type: 'string' }, sequence: { type: 'string', multiple: true }, all: { type: 'boolean' } },
      allowPositionals: true
    })
    const [action, ...others] = positionals
    if (others.length > 0) throw createError('MBS_ERR_CLI_USAGE', { reason: `"${others[0]}" is one word too many` })
    if (values.sequence !== undefined && action !== 'requeue' && action !== 'discard') {
      throw createError('MBS_ERR_CLI_USAGE', { reason: '--sequence goes with requeue and discard' })
    }
    if ((values.all === true) !== (action === 'discard' && values.sequence === undefined)) {
      throw createError('MBS_ERR_CLI_USAGE', { reason: 'discard takes --sequence or --all, nothing else takes --all' })
    }
    const { config } = loadConfig({ file: values.config })
    if (config.outbox.store === 'memory') {
      throw createError('MBS_ERR_CLI_USAGE', { reason: `an outbox in ${config.outbox.store} is gone when the program is stopped` })
    }
    switch (action) {
      case 'status': return await status(config)
      case 'dead-letters': return await deadLetters(config)
      case 'requeue': return await forLetters(config, values.sequence, requeueDeadLetters, 'put back')
      case 'discard': return await forLetters(config, values.sequence, discardDeadLetters, 'removed')
      case undefined:
      default: throw createError('MBS_ERR_CLI_USAGE', { reason: 'outbox takes status, dead-letters, requeue or discard' })
    }
  }
}

async function status (config: Config): Promise<number> {
  const report = await readOutboxStatus(config)
  const { directory, sinks, bytes, maxBytes, deadLetters, lostEvents, group } = report
  const waiting = sinks.map(({ name, waiting, oldestStoredAt }) =>
    `waiting       ${waiting}${sinks.length > 1 || name !== 'default' ? ` for ${name}` : ''}${since(oldestStoredAt)}`)
  process.stdout.write([
    `directory     ${directory}`,
    ...waiting,
    `space         ${bytes} of ${maxBytes} bytes`,
    `dead letters  ${deadLetters}`,
    ...(lostEvents > 0 ? [`damaged       ${lostEvents} cannot be read any more`] : []),
    ...(group === undefined ? [] : describeGroup(group))
  ].join('\n') + '\n')
  return 0
}

function since (oldestStoredAt: number | undefined): string {
  return oldestStoredAt === undefined ? '' : `, the oldest since ${new Date(oldestStoredAt).toISOString()}`
}

/** A line for each program: what it delivers, and what waits there. */
function describeGroup ({ members, partitions, unowned }: NonNullable<OutboxReport['group']>): string[] {
  const what = ({ partitions, waiting, oldestStoredAt }: typeof unowned): string =>
    `${partitions.length === 0 ? 'no partition' : `partitions ${partitions.join(', ')}`}: ${waiting} waiting${since(oldestStoredAt)}`
  return [
    `group         ${members.length} programs, ${partitions} partitions`,
    ...members.map((member) => `  ${member.name} on ${member.host}, process ${member.pid}: ${what(member)}`),
    ...(unowned.partitions.length === 0 ? [] : [`  delivered by nobody at the moment: ${what(unowned)}`])
  ]
}

async function deadLetters (config: Config): Promise<number> {
  await readDeadLetters(config, (letter) => { process.stdout.write(`${JSON.stringify(describe(letter))}\n`) })
  return 0
}

/** Exit code 1 where a letter that was named is not there. */
async function forLetters (
  config: Config, sequences: readonly string[] | undefined, act: typeof requeueDeadLetters, done: string
): Promise<number> {
  const wanted = sequences?.map((text) => {
    if (!/^[1-9]\d*$/.test(text)) throw createError('MBS_ERR_CLI_USAGE', { reason: `--sequence takes a number, not "${text}"` })
    return Number(text)
  })
  const named = wanted === undefined ? undefined : new Set(wanted)
  // Asked before: afterwards they are gone.
  const missing = new Set(named)
  if (named !== undefined) await readDeadLetters(config, ({ stored }) => { missing.delete(stored.sequence) })
  const { done: count, left } = await act(config, named)
  process.stdout.write(`${count} ${done}
`)
  if (left > 0) {
    process.stdout.write(`${left} left that the mapping set aside: --sequence puts them back, as they are
`)
  }
  if (missing.size === 0) return 0
  process.stderr.write(`there is no dead letter ${[...missing].join(', ')}: outbox dead-letters lists those that there are
`)
  return 1
}

function describe (letter: DeadLetter): object {
  const { stored, sink, reason, attempts, code, destination, data, diedAt, forwardedAt } = letter
  const { data: payload, handling: { aside } = {}, ...attributes } = stored.event
  return {
    sequence: stored.sequence,
    sink,
    reason,
    attempts,
    code,
    destination,
    answer: data.toString(),
    ...(aside !== undefined && { topic: aside.topic, clientId: aside.clientId }),
    diedAt: new Date(diedAt).toISOString(),
    ...(forwardedAt === undefined ? {} : { forwardedAt: new Date(forwardedAt).toISOString() }),
    storedAt: new Date(stored.storedAt).toISOString(),
    event: { ...attributes, data_base64: payload.toString('base64') }
  }
}
