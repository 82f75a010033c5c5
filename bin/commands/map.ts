import { isUtf8 } from 'node:buffer'
import { readFile } from 'node:fs/promises'
import { createError, loadConfig, previewEvent, type Event, type EventPreview, type RequestPreview } from '../../lib/index.ts'
import { parse, type Command } from './command.ts'

export const map: Command = {
  summary: 'show what a publish would become, and the request that would carry it',
  help: `Usage: mqtt-broker-source map [--config FILE] --topic TOPIC [--payload TEXT | --payload-file FILE]
                              [--client ID] [--username NAME] [--qos N] [--retain]

  --config FILE        the configuration, in YAML
  --topic TOPIC        the topic that is published to
  --payload TEXT       what is published; nothing unless given
  --payload-file FILE  the same, from a file
  --client ID          the client identifier of the device; "example" unless given
  --username NAME      the name of its user
  --qos N              0, 1 or 2; 0 unless given
  --retain             the publish is to be retained

Prints the rule that decides, the event, and the HTTP request of each sink in its content mode. What comes from files is
named, not shown. Starts nothing and sends nothing. Exit code 0: there is an event. 1: there is none, or it is a dead letter. 78: the configuration cannot be used.
`,
  async execute (argv) {
    const { values } = parse(argv, {
      options: {
        config: { type: 'string' },
        topic: { type: 'string' },
        payload: { type: 'string' },
        'payload-file': { type: 'string' },
        client: { type: 'string' },
        username: { type: 'string' },
        qos: { type: 'string', default: '0' },
        retain: { type: 'boolean', default: false }
      }
    })
    const { topic, payload = '', 'payload-file': file, client, username, qos, retain } = values
    if (topic === undefined) throw usage('--topic is missing')
    if (qos !== '0' && qos !== '1' && qos !== '2') throw usage(`--qos is 0, 1 or 2, not "${qos}"`)
    if (values.payload !== undefined && file !== undefined) throw usage('--payload and --payload-file exclude each other')
    const { config } = loadConfig({ file: values.config })
    const preview = await previewEvent(config, {
      topic,
      payload: file === undefined ? Buffer.from(payload) : await readPayload(file),
      clientId: client,
      username,
      qos: Number(qos) as 0 | 1 | 2,
      retain
    })
    process.stdout.write(textOf(preview))
    return preview.outcome.kind === 'event' ? 0 : 1
  }
}

const WHY = {
  drop: 'the rule drops its topics',
  filter: 'its filter does not hold',
  invalid: 'the payload is no CloudEvent that this device may make',
  schema: 'its data does not fit the schema'
} as const

function usage (reason: string) {
  return createError('MBS_ERR_CLI_USAGE', { reason })
}

async function readPayload (file: string): Promise<Buffer> {
  try {
    return await readFile(file)
  } catch (error) {
    throw usage(`--payload-file ${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`)
  }
}

function textOf ({ rule, outcome }: EventPreview): string {
  const place = rule?.preset === undefined ? `events.rules[${rule?.index}]` : `preset ${rule.preset}, rule ${rule.index + 1}`
  const decides = rule === undefined ? 'the default rule' : `${place}, ${rule.topic}`
  switch (outcome.kind) {
    case 'impossible': return `No event: no device can publish to this topic, because ${outcome.reason}.\n`
    case 'refused': return `Rule: ${decides}\nNo event: ${outcome.error.message}\n`
    case 'left-out': {
      return `Rule: ${decides}\nNo event: ${WHY[outcome.reason]}.\n`
    }
    case 'set-aside': {
      const { reason, detail } = outcome.aside
      return `Rule: ${decides}\nDead letter: ${reason}: ${detail}.\n${eventText(outcome.event)}\n`
    }
    case 'event': {
      const { event, requests } = outcome
      return `Rule: ${decides}\n${eventText(event)}\n${requests.map((request) => requestText(request, requests.length > 1)).join('')}`
    }
  }
}

/** What stands in an event beside its data. */
function eventText ({ data, partitionKey, handling, ...attributes }: Event): string {
  return `Event: ${JSON.stringify(attributes, null, 2)}\nOrdered with: ${JSON.stringify(partitionKey)}`
}

function requestText ({ sink, destination, request }: RequestPreview, isOneOfSeveral: boolean): string {
  const title = isOneOfSeveral || sink !== 'default' ? `Request to ${sink}` : 'Request'
  if (request === undefined) return `${title}: none, for the filter of the sink does not hold\n`
  const { headers, body } = request
  const lines = [`${title}: POST ${destination ?? 'to the sink'}`]
  for (let at = 0; at < headers.length; at += 2) lines.push(`  ${headers[at]}: ${headers[at + 1]}`)
  const shown = isUtf8(body) ? body.toString() : `${body.length} bytes: ${body.toString('base64')} (base64)`
  return `${[...lines, '', ...shown.split('\n').map((line) => `  ${line}`)].join('\n')}\n`
}
