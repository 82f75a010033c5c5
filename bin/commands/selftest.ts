import { readFile } from 'node:fs/promises'
import { createError, selfTest, SELFTEST_TOPIC, type SelfTestStep } from '../../lib/index.ts'
import { duration, parse, type Command } from './command.ts'

export const selftest: Command = {
  summary: 'prove that a running broker works: publish, be acknowledged, get the message',
  help: `Usage: mqtt-broker-source selftest --url URL [--username U] [--password-file FILE] [--ca FILE]
                                   [--cert FILE --key FILE] [--client-id ID] [--topic TOPIC]
                                   [--publish-only] [--http URL] [--timeout PT10S]

  --url URL             a listener of the broker: mqtt://, mqtts://, ws:// or wss://host:port
  --username U          the name of the user
  --password-file FILE  the password, or token: the first line of the file; - is standard input
  --ca FILE             the CA of the broker's certificate, in PEM
  --cert FILE           a client certificate, in PEM, and
  --key FILE            its key
  --client-id ID        the client identifier; selftest- and something random, unless given
  --topic TOPIC         where to publish, ${SELFTEST_TOPIC} unless given; {clientid} and
                        {username} stand for those of the session
  --publish-only        subscribe to nothing: what is proven ends with PUBACK
  --http URL            the HTTP server of the broker, such as http://127.0.0.1:8080: it has to be ready, and its
                        counters have to say that the event went on to the sinks, or waits because there is none
  --timeout T           for all of it, as an ISO 8601 duration

Connects with a clean session, subscribes, publishes at QoS 1, waits for PUBACK and for the message. The event is real:
it goes to the sinks. One line for each step. Exit code 0: it works. 1: it does not; the error says where it ended.
`,
  async execute (argv) {
    const { values } = parse(argv, {
      options: {
        url: { type: 'string' },
        username: { type: 'string' },
        'password-file': { type: 'string' },
        ca: { type: 'string' },
        cert: { type: 'string' },
        key: { type: 'string' },
        'client-id': { type: 'string' },
        topic: { type: 'string' },
        'publish-only': { type: 'boolean', default: false },
        http: { type: 'string' },
        timeout: { type: 'string', default: 'PT10S' }
      }
    })
    const { username, topic, http } = values
    if (values['password-file'] !== undefined && username === undefined) throw usage('--password-file goes with --username')
    if ((values.cert === undefined) !== (values.key === undefined)) throw usage('--cert and --key go together')
    if (topic !== undefined && !/^[^+#\0]+$/.test(topic)) throw usage('--topic takes a topic without wildcards')
    const url = brokerUrl(values.url)
    if ((values.ca ?? values.cert) !== undefined && !/^(?:mqtts|wss):/.test(url)) {
      throw usage('--ca, --cert and --key go with mqtts:// and wss://')
    }
    await selfTest({
      url,
      username,
      password: firstLine(await read('--password-file', values['password-file'])),
      ca: await read('--ca', values.ca),
      cert: await read('--cert', values.cert),
      key: await read('--key', values.key),
      clientId: values['client-id'],
      topic,
      http: http === undefined ? undefined : httpUrl(http),
      receives: !values['publish-only'],
      timeoutMs: duration('--timeout', values.timeout)
    }, tell)
    process.stdout.write('The broker works.\n')
    return 0
  }
}

const PROTOCOLS = new Set(['mqtt:', 'mqtts:', 'ws:', 'wss:'])

function usage (reason: string, cause?: unknown) {
  return createError('MBS_ERR_CLI_USAGE', { reason }, cause)
}

/** A WebSocket without a path has the one that listeners have by themselves. */
function brokerUrl (text: string | undefined): string {
  if (text === undefined) throw usage('--url is missing')
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !PROTOCOLS.has(url.protocol) || url.hostname === '') {
    throw usage('--url takes mqtt://, mqtts://, ws:// or wss:// with host and port')
  }
  // They would stand in the list of processes.
  if (url.username !== '' || url.password !== '') throw usage('--url takes no credentials: give --username and --password-file')
  if (url.search !== '' || url.hash !== '') throw usage('--url takes no query')
  if (url.protocol.startsWith('ws') && url.pathname === '/') url.pathname = '/mqtt'
  return url.href
}

function httpUrl (text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol)) throw usage('--http takes a URL such as http://127.0.0.1:8080')
  return url.href.replace(/\/+$/, '')
}

async function read (option: string, file: string | undefined): Promise<Buffer | undefined> {
  if (file === undefined) return undefined
  try {
    return await readFile(option === '--password-file' && file === '-' ? '/dev/stdin' : file)
  } catch (error) {
    throw usage(`${option} ${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`, error)
  }
}

/** A line end belongs to no password. */
function firstLine (bytes: Buffer | undefined): Buffer | undefined {
  if (bytes === undefined) return undefined
  const end = bytes.findIndex((byte) => byte === 0x0a || byte === 0x0d)
  return end < 0 ? bytes : bytes.subarray(0, end)
}

function tell ({ name, detail, durationMs }: SelfTestStep): void {
  process.stdout.write(`${name.padEnd(10)} ok ${`${Math.round(durationMs)} ms`.padStart(8)}  ${detail}\n`)
}
