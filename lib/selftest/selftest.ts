/**
 * Proves that a broker works by doing what a device does: connect, subscribe, publish, be acknowledged, get the
 * message; and, where its HTTP server can be asked, by looking whether the event went on to the sinks. A step is told
 * as it is done; the first one that fails ends it. It changes nothing but that there is one event more.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { fetchBounded } from '../bounded-fetch.ts'
import { createError } from '../errors.ts'
import { progressOf, readCounts, type Counts } from './counters.ts'
import { Deadline } from './deadline.ts'
import { askHealth, jsonOf } from './health.ts'
import { Session, type SessionOptions } from './session.ts'

export interface SelfTestOptions extends Omit<SessionOptions, 'clientId' | 'topic'> {
  /** `selftest-` and something random, unless given. */
  readonly clientId?: string | undefined
  /** Where to publish; `{clientid}` and `{username}` stand for those of the session. */
  readonly topic?: string | undefined
  /** Where the HTTP server is, such as `http://127.0.0.1:8080`. */
  readonly http?: string | undefined
  /** False: without a subscription; it ends with PUBACK, and with the sinks where `http` is given. */
  readonly receives?: boolean | undefined
  /** For all steps together. */
  readonly timeoutMs: number
}

/** One step that is done. */
export interface SelfTestStep {
  readonly name: 'ready' | 'connect' | 'subscribe' | 'publish' | 'receive' | 'event'
  readonly detail: string
  readonly durationMs: number
}

/** The topic unless one is given: what permissions like `devices/{clientid}/#` allow. */
export const SELFTEST_TOPIC = 'devices/{clientid}/selftest'

/** How often the counters are looked at, in milliseconds. */
const LOOK_MS = 100
const MAX_METRICS_BYTES = 8 * 1024 * 1024

/**
 * Runs it.
 * @param tell is called after each step
 * @throws MBS_ERR_SELFTEST_*, MBS_ERR_HTTP_UNHEALTHY: the first step that fails, within the time that is given
 */
export async function selfTest (options: SelfTestOptions, tell: (step: SelfTestStep) => void): Promise<void> {
  const { url, http, username, receives = true, timeoutMs, clientId = `selftest-${randomBytes(6).toString('hex')}` } = options
  const topic = topicOf(options.topic ?? SELFTEST_TOPIC, clientId, username)
  const payload = Buffer.from(JSON.stringify({ selftest: randomBytes(16).toString('hex') }))
  const deadline = new Deadline(timeoutMs)
  const monitor = http === undefined ? undefined : new Monitor(http, deadline)
  const step = async <T>(name: SelfTestStep['name'], detail: string, act: () => Promise<T>): Promise<T> => {
    const since = performance.now()
    const result = await act()
    tell({ name, detail: typeof result === 'string' ? result : detail, durationMs: performance.now() - since })
    return result
  }

  if (monitor !== undefined) await step('ready', `${http} says that publishes can be stored`, () => monitor.begin())
  const session = await step('connect', `session at ${url} as ${clientId}`,
    () => Session.open({ ...options, clientId, topic }, deadline))
  try {
    if (receives) await step('subscribe', `to ${topic}`, () => session.subscribe())
    await step('publish', `to ${topic} at QoS 1, ${payload.length} bytes, acknowledged`, () => session.publish(payload))
    const acknowledged = await monitor?.counts()
    if (receives) await step('receive', 'the same message came back', () => session.receive(payload))
    if (monitor !== undefined) await step('event', '', () => monitor.follow(acknowledged!))
  } finally {
    await session.close()
  }
}

/** The topic with the placeholders filled in. */
export function topicOf (template: string, clientId: string, username: string | undefined): string {
  return template.replaceAll('{clientid}', () => clientId).replaceAll('{username}', () => username ?? '')
}

/** Asks the HTTP server of the broker. */
class Monitor {
  readonly #base: string
  readonly #deadline: Deadline
  #before!: Counts

  constructor (base: string, deadline: Deadline) {
    this.#base = base.replace(/\/+$/, '')
    this.#deadline = deadline
  }

  /** Holds what is counted before. @throws MBS_ERR_HTTP_UNHEALTHY where it is not ready */
  async begin (): Promise<void> {
    await this.#sinks()
    this.#before = await this.counts()
  }

  async counts (): Promise<Counts> {
    const url = `${this.#base}/metrics`
    const outcome = await fetchBounded(url, { method: 'GET' }, { timeoutMs: this.#deadline.leftMs, maxBytes: MAX_METRICS_BYTES })
    if (outcome.kind === 'failed') throw createError('MBS_ERR_HTTP_UNHEALTHY', { url, reason: outcome.reason })
    if (outcome.status !== 200) throw createError('MBS_ERR_HTTP_UNHEALTHY', { url, reason: `status ${outcome.status}` })
    return readCounts(outcome.body.toString())
  }

  /** Waits until the event has gone on. @returns where to @throws MBS_ERR_SELFTEST_EVENT */
  async follow (acknowledged: Counts): Promise<string> {
    let now = acknowledged
    let reason = ''
    try {
      for (;;) {
        const progress = progressOf(this.#before, acknowledged, now, await this.#sinks())
        if (progress.kind === 'done') return progress.told
        reason = progress.reason
        if (progress.kind === 'failed' || this.#deadline.leftMs <= LOOK_MS) break
        await sleep(LOOK_MS)
        now = await this.counts()
      }
    } catch (error) {
      // An answer that came too late says less than the last one that was there.
      if (reason === '' || !this.#deadline.isOver) throw error
    }
    throw createError('MBS_ERR_SELFTEST_EVENT', { reason })
  }

  /** How each sink is, by name. */
  async #sinks (): Promise<ReadonlyMap<string, string>> {
    const { checks } = jsonOf(await askHealth(`${this.#base}/readyz`, this.#deadline.leftMs)) as { checks?: { sinks?: object } }
    return new Map(Object.entries(checks?.sinks ?? {}))
  }
}
