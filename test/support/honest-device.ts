/**
 * An honest device in a process of its own, so that what it measures is the broker and not the attackers beside it:
 * publishes at QoS 1 at a steady pace and notes how long each PUBACK takes.
 */
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { RawMqtt } from './raw-mqtt.ts'

/** What became of the publishes. */
export interface HonestReport {
  /** Milliseconds from each publish to its PUBACK, in order. */
  readonly latenciesMs: readonly number[]
  readonly sent: number
  /** Why it ended early; undefined where it did not. */
  readonly problem?: string
}

export interface HonestDevice {
  /** Ends it; resolves when everything it sent is acknowledged. */
  stop (): Promise<HonestReport>
}

export interface HonestOptions {
  readonly port: number
  readonly perSecond: number
  readonly topic: string
}

/** Starts it; its payloads are the numbers from 1. */
export function startHonestDevice (t: Test, options: HonestOptions): HonestDevice {
  const child = fork(fileURLToPath(import.meta.url), [JSON.stringify(options)])
  t.teardown(() => { child.kill('SIGKILL') })
  child.on('error', () => {}) // of the channel, when it has ended
  const report = new Promise<HonestReport>((resolve, reject) => {
    child.once('message', (message) => { resolve(message as HonestReport) })
    child.once('exit', (code) => { reject(new Error(`the honest device ended with ${code}`)) })
  })
  report.catch(() => {})
  return {
    stop: async () => {
      child.send('stop')
      return await report
    }
  }
}

/** The value below which this share of them lies. */
export function percentile (values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN
}

async function run ({ port, perSecond, topic }: HonestOptions): Promise<void> {
  const device = await RawMqtt.open(port, { clientId: 'honest', keepalive: 60 })
  const sentAt: number[] = []
  const latenciesMs: number[] = []
  let acknowledged = 0
  let stopping = false
  const finish = (problem?: string): void => {
    const report: HonestReport = { latenciesMs, sent: sentAt.length, ...(problem !== undefined && { problem }) }
    process.send?.(report, () => { process.exit() })
  }
  device.socket.on('data', () => {
    const now = performance.now()
    for (const { cmd } of device.received.splice(0)) {
      if (cmd === 'puback') latenciesMs.push(now - (sentAt[acknowledged++] as number))
    }
    device.bytes = Buffer.alloc(0)
    if (stopping && acknowledged === sentAt.length) finish()
  })
  void device.closed.then(() => { finish('its connection was closed') })
  process.once('message', () => {
    stopping = true
    if (acknowledged === sentAt.length) finish()
  })
  const begun = performance.now()
  setInterval(() => {
    if (stopping) return
    while (sentAt.length < (performance.now() - begun) / 1000 * perSecond) {
      sentAt.push(performance.now())
      device.publish({ topic, payload: String(sentAt.length), qos: 1, messageId: 1 + (sentAt.length - 1) % 65_535 })
    }
  }, 5)
}

if (process.send !== undefined && process.argv[1] === fileURLToPath(import.meta.url)) {
  await run(JSON.parse(process.argv[2] as string) as HonestOptions)
}
