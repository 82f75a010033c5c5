/**
 * A device of the crash suites that publishes retained messages one after the other, each again until it is
 * acknowledged. Not with MQTT.js: what its connectAsync returns never settles when the connection is closed before
 * CONNACK and it is told not to come back.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { RawMqtt } from './raw-mqtt.ts'

const PAUSE_MS = 20

export class Retaining {
  /** The last number that was acknowledged, and the last that was sent. */
  acknowledged = 0
  sent = 0
  readonly #run: Promise<void>
  #running = true

  constructor (port: number) {
    this.#run = this.#retain(port)
  }

  /** Sends nothing new; resolves when the last one is acknowledged, or its connection is gone. */
  async finish (): Promise<void> {
    this.#running = false
    await this.#run
  }

  async #retain (port: number): Promise<void> {
    while (this.#running) {
      try {
        const client = await RawMqtt.open(port, { clientId: 'retaining' })
        try {
          while (this.#running) {
            const number = ++this.sent
            client.publish({ topic: 'retained', payload: String(number), qos: 1, retain: true, messageId: 1 })
            await client.next('puback')
            this.acknowledged = number
            await sleep(PAUSE_MS)
          }
        } finally {
          client.abort()
        }
      } catch {
        await sleep(20) // it was killed
      }
    }
  }
}
