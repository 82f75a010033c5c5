/**
 * A device of the crash suite: MQTT.js, numbering its messages, with some of them in flight, reconnecting and sending
 * again by itself. It knows what was acknowledged and what it has sent.
 */
import { connect, Store, type Packet, type MqttClient } from 'mqtt'

/** MQTT.js leaves DUP at 0 when it sends again; every client must set it [MQTT-3.3.1-1]. */
class DupStore extends Store {
  readonly #kept = new Map<number, Parameters<Store['put']>[0]>()

  override put (packet: Parameters<Store['put']>[0], cb: Parameters<Store['put']>[1]): this {
    this.#kept.set(packet.messageId as number, packet)
    return super.put(packet, cb)
  }

  override createStream (): ReturnType<Store['createStream']> {
    for (const packet of this.#kept.values()) if (packet.cmd === 'publish') packet.dup = true
    return super.createStream()
  }
}

export class CrashPublisher {
  readonly id: string
  /** Numbers whose PUBACK or PUBCOMP has come. Others may not even have been sent: MQTT.js gives up some of them. */
  readonly acknowledged = new Set<number>()
  /** All packets, to be read where something is wrong. */
  readonly history: string[] = []
  /** Numbers used so far. */
  used = 0
  readonly #qos: 1 | 2
  readonly #inflight: number
  readonly #pauseMs: number
  readonly #client: MqttClient
  #open = 0
  #running = true
  #idle: Array<() => void> = []

  /** @param options with the time that it waits after each message, in milliseconds; 0 unless given */
  constructor (options: { id: string, port: number, qos: 1 | 2, inflight: number, pauseMs?: number }) {
    this.id = options.id
    this.#qos = options.qos
    this.#inflight = options.inflight
    this.#pauseMs = options.pauseMs ?? 0
    this.#client = connect({
      host: '127.0.0.1',
      port: options.port,
      clientId: options.id,
      clean: false,
      outgoingStore: new DupStore(),
      reconnectPeriod: 30,
      connectTimeout: 2_000
    })
    this.#client.on('error', () => {})
    this.#client.on('packetsend', (packet) => { this.#note('sends', packet) })
    this.#client.on('packetreceive', (packet) => { this.#note('gets', packet) })
    this.#client.on('close', () => { this.#note('is closed') })
    this.#client.on('connect', () => { this.#fill() })
  }

  /** Sends no new messages; resolves when everything under way has been acknowledged or given up. */
  async finish (): Promise<void> {
    this.#running = false
    if (this.#open > 0) await new Promise<void>((resolve) => { this.#idle.push(resolve) })
  }

  async close (): Promise<void> {
    this.#running = false
    await this.#client.endAsync(true)
  }

  #note (what: string, packet?: Packet): void {
    const { cmd = '', messageId = '', payload = '' } = (packet ?? {}) as Packet & { payload?: string }
    this.history.push(`${performance.now().toFixed(0)} ${what} ${cmd} ${messageId} ${payload}`.trim())
  }

  #fill (): void {
    while (this.#running && this.#client.connected && this.#open < this.#inflight) {
      const number = ++this.used
      this.#open++
      const payload = JSON.stringify({ client: this.id, number })
      this.#client.publish(`crash/${this.id}`, payload, { qos: this.#qos }, (error) => {
        this.#open--
        if (error != null) this.#note(`gives up ${number}: ${error.message}`)
        if (error == null) this.acknowledged.add(number)
        if (this.#open === 0) for (const resolve of this.#idle.splice(0)) resolve()
        if (this.#pauseMs === 0) setImmediate(() => { this.#fill() })
        else setTimeout(() => { this.#fill() }, this.#pauseMs)
      })
    }
  }
}
