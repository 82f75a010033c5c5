/**
 * Who gets in where, and may then do what: the one table of it. test/integration/access-matrix.test.ts holds every cell
 * against a running source, and docs/security.md against `renderMatrix`.
 */

export const TRANSPORTS = ['mqtt', 'mqtts', 'ws', 'wss', 'unix', 'anonymous'] as const
export type Transport = typeof TRANSPORTS[number]

/** `in`: a session; a number: the return code of CONNACK; `closed`: no CONNACK; `-`: cannot be shown there. */
export type Entry = 'in' | 4 | 5 | 'closed' | '-'

export interface Row {
  /** What the device shows. */
  readonly shows: string
  readonly entries: Readonly<Record<Transport, Entry>>
}

const everywhere = (entry: Entry): Row['entries'] =>
  ({ mqtt: entry, mqtts: entry, ws: entry, wss: entry, unix: entry, anonymous: entry })

/** A certificate is shown in TLS alone. */
const inTls = (entry: Entry): Row['entries'] => ({ ...everywhere('-'), mqtts: entry, wss: entry })

export const CREDENTIALS = {
  nothing: { shows: 'nothing', entries: { ...everywhere(5), anonymous: 'in' } },
  password: { shows: 'user name and password', entries: everywhere('in') },
  wrongPassword: { shows: 'a wrong password', entries: everywhere(4) },
  otherClientId: { shows: 'user name and password, and the client identifier of another', entries: everywhere(5) },
  certificate: { shows: 'a client certificate', entries: inTls('in') },
  token: { shows: 'a token', entries: everywhere('in') },
  expiredToken: { shows: 'a token that has expired', entries: everywhere(4) },
  forgedToken: { shows: 'a token signed by somebody else', entries: everywhere(4) },
  hookAllows: { shows: 'what the HTTP hook allows', entries: everywhere('in') },
  hookDenies: { shows: 'what the HTTP hook denies', entries: everywhere(5) },
  hookFails: { shows: 'what the HTTP hook cannot answer for', entries: everywhere('closed') }
} as const satisfies Record<string, Row>

export type Credential = keyof typeof CREDENTIALS

/** What whoever is in may do, where it may publish `devices/{clientid}/#` and subscribe `commands/{clientid}/#`. */
export const ACTIONS = [
  { does: 'publishes to its own topic, QoS 1', action: 'publish', topic: 'devices/{clientid}/x', outcome: 'PUBACK, and an event' },
  { does: 'publishes to its own topic, QoS 2', action: 'publish2', topic: 'devices/{clientid}/x', outcome: 'PUBREC, and an event' },
  { does: 'publishes to the topic of another', action: 'publish', topic: 'devices/another/x', outcome: 'closed, and no event' },
  { does: 'subscribes to its own commands', action: 'subscribe', topic: 'commands/{clientid}/#', outcome: 'granted' },
  { does: 'subscribes to the commands of all', action: 'subscribe', topic: 'commands/#', outcome: 'refused (0x80)' },
  { does: 'connects with a will for its own topic', action: 'will', topic: 'devices/{clientid}/x', outcome: 'in' },
  { does: 'connects with a will for the topic of another', action: 'will', topic: 'devices/another/x', outcome: 'CONNACK 5' }
] as const

/** The tables as they stand in docs/security.md. */
export function renderMatrix (): string {
  const cell = (entry: Entry): string => typeof entry === 'number' ? `CONNACK ${entry}` : entry
  return [
    `| shown | ${TRANSPORTS.join(' | ')} |`,
    `| --- |${' --- |'.repeat(TRANSPORTS.length)}`,
    ...Object.values(CREDENTIALS).map(({ shows, entries }: Row) =>
      `| ${shows} | ${TRANSPORTS.map((transport) => cell(entries[transport])).join(' | ')} |`),
    '',
    '| whoever is in | on | is answered with |',
    '| --- | --- | --- |',
    ...ACTIONS.map(({ does, topic, outcome }) => `| ${does} | \`${topic}\` | ${outcome} |`)
  ].join('\n')
}
