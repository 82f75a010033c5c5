/**
 * A device of the crash suite with a persistent session: it comes and goes, breaks its connection off, or connects a
 * second time while it is connected. It acknowledges what it gets, and knows what it got, in which order, and whether
 * its session was there each time.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { RawMqtt } from './raw-mqtt.ts'

/** A CONNECT that has no answer after this is tried again. */
const CONNECT_MS = 5000
/** A connection that was taken over is not waited for any longer. */
const TAKEOVER_MS = 35_000

export class CrashSubscriber {
  readonly id: string
  /** Numbers by publisher, in the order in which they came. */
  readonly got = new Map<string, number[]>()
  /** All that happened to it, to be read where something is wrong. */
  readonly history: string[] = []
  /** How often it came back, and to which of these its session was not there. */
  comebacks = 0
  lost = 0
  /** After how many milliseconds its first connection was closed when it made a second one. */
  readonly takeovers: number[] = []
  readonly #port: number
  readonly #filters: readonly string[]
  readonly #random: () => number
  /** Packet identifiers at QoS 2 that it has and that were not released. */
  readonly #unreleased = new Set<number>()
  #running = true
  #isClosed = false
  #run: Promise<void> = Promise.resolve()

  constructor (options: { id: string, port: number, filters: readonly string[], random: () => number }) {
    this.id = options.id
    this.#port = options.port
    this.#filters = options.filters
    this.#random = options.random
  }

  /** Comes no more. */
  close (): void {
    this.#running = false
    this.#isClosed = true
  }

  /** Makes its session; resolves when it has SUBACK. */
  async subscribe (): Promise<void> {
    const { client } = await this.#connect()
    client.send({
      cmd: 'subscribe', messageId: 1, subscriptions: this.#filters.map((topic) => ({ topic, qos: 2 as const }))
    })
    await client.next('suback')
    client.abort()
  }

  /** Comes and goes from now on. */
  start (): void {
    this.#run = this.#comeAndGo().catch((error: unknown) => { if (!this.#isClosed) throw error })
  }

  /** Comes a last time and stays until it has all of this, or the time is over. @returns what it did not get */
  async finish (expected: ReadonlyMap<string, ReadonlySet<number>>, timeoutMs: number): Promise<string[]> {
    this.#running = false
    await this.#run
    const endsAt = performance.now() + timeoutMs
    let missing = this.#missing(expected)
    while (missing.length > 0 && performance.now() < endsAt) {
      const client = await this.#comeBack()
      while (missing.length > 0 && !client.isClosed && performance.now() < endsAt) {
        await sleep(50)
        missing = this.#missing(expected)
      }
      client.abort()
    }
    return missing
  }

  #missing (expected: ReadonlyMap<string, ReadonlySet<number>>): string[] {
    return [...expected].flatMap(([client, numbers]) => {
      const got = new Set(this.got.get(client))
      return [...numbers].filter((number) => !got.has(number)).map((number) => `${client} ${number}`)
    })
  }

  async #comeAndGo (): Promise<void> {
    while (this.#running) {
      const client = await this.#comeBack()
      await Promise.race([client.closed, sleep(200 + 1300 * this.#random())])
      const how = this.#random()
      if (how < 0.3) {
        const startedAt = performance.now()
        const second = await this.#comeBack()
        await Promise.race([client.closed, sleep(TAKEOVER_MS, undefined, { ref: false })])
        this.takeovers.push(performance.now() - startedAt)
        await sleep(200 * this.#random())
        second.abort()
      } else if (how < 0.6) {
        client.send({ cmd: 'disconnect' })
        await Promise.race([client.closed, sleep(CONNECT_MS, undefined, { ref: false })])
      }
      client.abort()
      await sleep(800 * this.#random())
    }
  }

  async #comeBack (): Promise<RawMqtt> {
    const { client, isPresent } = await this.#connect()
    const connection = ++this.comebacks
    this.#note(`${connection} begins`)
    void client.closed.then(() => { this.#note(`${connection} closed`) })
    if (!isPresent) this.lost++
    void this.#take(client, connection).catch(() => {}) // it was closed
    void this.#release(client).catch(() => {})
    return client
  }

  /** Tries until it is let in. */
  async #connect (): Promise<{ client: RawMqtt, isPresent: boolean }> {
    for (;;) {
      if (this.#isClosed) throw new Error('it comes no more')
      let client: RawMqtt | undefined
      try {
        client = await RawMqtt.dial(this.#port)
        client.connect({ clientId: this.id, clean: false })
        const timer = setTimeout(() => { client?.abort() }, CONNECT_MS)
        const { returnCode, sessionPresent } = await client.next('connack').finally(() => { clearTimeout(timer) })
        if (returnCode === 0) return { client, isPresent: sessionPresent }
      } catch {
        // It was closed.
      }
      client?.abort()
      await sleep(50)
    }
  }

  async #take (client: RawMqtt, connection: number): Promise<void> {
    for (;;) {
      const { payload, qos, dup, messageId = 0 } = await client.next('publish')
      this.#note(`${connection} got ${payload.toString()} as ${messageId}${dup ? ' again' : ''}`)
      const isNew = qos < 2 || !this.#unreleased.has(messageId)
      if (isNew) {
        const { client: from, number } = JSON.parse(payload.toString()) as { client: string, number: number }
        let numbers = this.got.get(from)
        if (numbers === undefined) this.got.set(from, numbers = [])
        numbers.push(number)
      }
      if (qos === 2) this.#unreleased.add(messageId)
      client.send({ cmd: qos === 2 ? 'pubrec' : 'puback', messageId })
    }
  }

  #note (what: string): void {
    this.history.push(`${performance.now().toFixed(0)} ${what}`)
  }

  async #release (client: RawMqtt): Promise<void> {
    for (;;) {
      const { messageId = 0 } = await client.next('pubrel')
      this.#unreleased.delete(messageId)
      client.send({ cmd: 'pubcomp', messageId })
    }
  }
}
