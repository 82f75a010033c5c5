/**
 * A device of the crash suite that leaves a will with each connection: it says goodbye, or breaks off, or its program
 * is killed. It knows of each of its wills whether it has to be published, must not be, or may be.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { bodyOf, type ArrivedBodies } from './arrivals.ts'
import { RawMqtt } from './raw-mqtt.ts'

/** What has to become of a will. `maybe`: its client came back before it was known that its program had died. */
export type Fate = 'published' | 'not published' | 'maybe'

const CONNECT_MS = 5000

export class CrashWill {
  readonly id: string
  /** Of its wills by their number, from 1 on; `maybe` where its CONNECT had no answer. */
  readonly fates = new Map<number, Fate>()
  /** All that happened to it, to be read where something is wrong. */
  readonly history: string[] = []
  readonly #options: CrashWillOptions
  readonly #run: Promise<void>
  #running = true

  constructor (options: CrashWillOptions) {
    this.id = options.id
    this.#options = options
    this.#run = this.#comeAndGo().catch((error: unknown) => { if (!options.isOver()) throw error })
  }

  /** Connects no more; resolves when every will has come that has to. */
  async finish (): Promise<void> {
    this.#running = false
    await this.#run
  }

  async #comeAndGo (): Promise<void> {
    const { random } = this.#options
    while (this.#running) {
      const client = await this.#connect()
      const number = this.fates.size
      this.#note(`${number} connected`)
      void client.closed.then(() => { this.#note(`${number} closed`) })
      // While Redis is away its program alone has it.
      const isSafe = this.#calm() !== undefined
      await Promise.race([client.closed, sleep(200 + 1300 * random())])
      const before = this.#calm()
      const wasClosed = client.isClosed
      if (!wasClosed && random() < 0.5) {
        this.#note(`${number} disconnects`)
        client.send({ cmd: 'disconnect' })
        await Promise.race([client.closed, sleep(CONNECT_MS)])
        await sleep(500)
        // Its program may have been killed before it had read that, or had told Redis, which may be away.
        if (before !== undefined && this.#calm() === before) this.fates.set(number, 'not published')
      } else if (isSafe && (!wasClosed || random() < 0.5)) {
        // Who comes back before its program is known to be dead has no will any more.
        client.abort()
        this.#note(`${number} breaks off`)
        this.fates.set(number, 'published')
        while (this.#options.arrived.idsOf(this.id, number).size === 0 && !this.#options.isOver()) await sleep(100)
      }
      client.abort()
    }
  }

  #note (what: string): void {
    this.history.push(`${performance.now().toFixed(0)} ${what}`)
  }

  /** Undefined while there is a fault. */
  #calm (): number | undefined {
    const faults = this.#options.faults()
    return faults % 2 === 0 ? faults : undefined
  }

  /** Tries until it is let in, each time with another will. */
  async #connect (): Promise<RawMqtt> {
    for (;;) {
      if (this.#options.isOver()) throw new Error('it comes no more')
      const number = this.fates.size + 1
      this.fates.set(number, 'maybe')
      const payload = Buffer.from(bodyOf(this.id, number))
      const will = { topic: `wills/${this.id}`, payload, qos: 1 as const, retain: false }
      let client: RawMqtt | undefined
      try {
        client = await RawMqtt.dial(this.#options.port)
        client.connect({ clientId: this.id, will })
        const timer = setTimeout(() => { client?.abort() }, CONNECT_MS)
        const { returnCode } = await client.next('connack').finally(() => { clearTimeout(timer) })
        if (returnCode === 0) return client
      } catch {
        // It was closed.
      }
      client?.abort()
      await sleep(50)
    }
  }
}

export interface CrashWillOptions {
  readonly id: string
  readonly port: number
  readonly random: () => number
  readonly arrived: ArrivedBodies
  /** Counts up when a fault begins and when all programs have got over it: odd while there is one. */
  readonly faults: () => number
  /** True when what has not come by now is not waited for any more. */
  readonly isOver: () => boolean
}
