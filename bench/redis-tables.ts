/**
 * What redis-programs.ts has measured, as tables: for each load what was delivered and what it cost, and what was asked
 * of Redis for it.
 */

export interface Setup {
  readonly name: string
  readonly programs: number
  readonly settings?: Readonly<Record<string, unknown>>
  /** Redis writes and syncs before it answers, as the outbox on disk does. */
  readonly fsync?: boolean
}

export interface Load {
  readonly clients: number
  readonly inflight: number
  readonly messages: number
}

/** For each message. */
export interface Asked {
  /** Of the whole process of Redis, in microseconds. */
  readonly cpuMicros: number
  /** Commands that the programs send: scripts that store, scripts that read, PUBLISH for sessions, everything else. */
  readonly stores: number
  readonly reads: number
  readonly publishes: number
  readonly others: number
  /** Commands that scripts call in Redis: no round trips. */
  readonly inside: number
  /** How often Redis read from a connection. */
  readonly socketReads: number
}

export interface Row {
  readonly setup: Setup
  readonly load: Load
  readonly perSecond: number
  readonly p50Ms: number
  /** Of all programs together, for each message. */
  readonly cpuMicros: number
  readonly redis?: Asked
}

/** @param rows of all rounds; of each setup and load the one in the middle is shown */
export function showTables (rows: readonly Row[]): void {
  for (const load of new Set(rows.map((row) => row.load))) {
    const ofLoad = rows.filter((row) => row.load === load)
    const setups = [...new Set(ofLoad.map(({ setup }) => title(setup)))]
    const medians = setups.map((name) => median(ofLoad.filter(({ setup }) => title(setup) === name)))
    const disk = medians.find(({ redis }) => redis === undefined)
    console.log(`\n${load.clients} devices, ${load.inflight} in flight each: ${load.messages} messages, QoS 1, from publish to sink`)
    line('', 'programs', 'delivered', 'of disk', 'PUBACK p50', 'CPU programs', 'CPU Redis', 'CPU, of disk')
    for (const row of medians) showRate(row, disk)
    console.log('for each message: commands that the programs send | commands that scripts call in Redis | reads of sockets')
    line('', 'programs', 'store', 'read', 'PUBLISH', 'others', '| in scripts', '| reads')
    for (const row of medians) showAsked(row)
  }
}

export function title ({ name, programs }: Setup): string {
  return `${name.padEnd(26)}${String(programs).padStart(10)}`
}

function showRate ({ setup, perSecond, p50Ms, cpuMicros, redis }: Row, disk: Row | undefined): void {
  const ofDisk = (value: number, whole: number | undefined): string => whole === undefined ? '' : `${Math.round(100 * value / whole)} %`
  line(
    setup.name, setup.programs, `${Math.round(perSecond)}/s`, ofDisk(perSecond, disk?.perSecond), `${p50Ms.toFixed(1)} ms`,
    `${cpuMicros.toFixed(0)} µs`, redis === undefined ? '' : `${redis.cpuMicros.toFixed(0)} µs`,
    ofDisk(cpuMicros + (redis?.cpuMicros ?? 0), disk?.cpuMicros)
  )
}

function showAsked ({ setup, redis }: Row): void {
  if (redis === undefined) return
  const { stores, reads, publishes, others, inside, socketReads } = redis
  const columns = [stores, reads, publishes, others, inside, socketReads]
  line(setup.name, setup.programs, ...columns.map((value) => value.toFixed(2)))
}

function line (name: string, ...columns: ReadonlyArray<string | number>): void {
  console.log([name.padEnd(26), ...columns.map((column, at) => String(column).padStart(at === 0 ? 8 : 14))].join('').trimEnd())
}

function median (rows: readonly Row[]): Row {
  const sorted = rows.toSorted((a, b) => a.perSecond - b.perSecond)
  return sorted[Math.floor(sorted.length / 2)] as Row
}
