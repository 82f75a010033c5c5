/**
 * The MQTT session of the self-test, by MQTT.js, which is loaded when a session is opened and not before. Whatever the
 * other side does, each call ends within the deadline: as it should, or with an error that says what was seen.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { IClientOptions, MqttClient } from 'mqtt'
import { createError } from '../errors.ts'
import type { Deadline } from './deadline.ts'
import { faultOf, type Phase, type Sight } from './faults.ts'

/** How long a DISCONNECT may take, in milliseconds; then the connection is cut. */
const END_MS = 1000

const PACKETS = { connack: 'CONNACK', suback: 'SUBACK', puback: 'PUBACK', message: 'message' } as const

export interface SessionOptions {
  readonly url: string
  readonly clientId: string
  readonly topic: string
  readonly username?: string | undefined
  readonly password?: Buffer | undefined
  /** PEM */
  readonly ca?: Buffer | undefined
  readonly cert?: Buffer | undefined
  readonly key?: Buffer | undefined
}

export class Session {
  readonly #options: SessionOptions
  readonly #deadline: Deadline
  readonly #client: MqttClient
  #phase: Phase = 'connack'
  /** Rejects when the session breaks. */
  readonly #broken: Promise<never>
  /** The payloads that came on the topic. */
  readonly #messages: Buffer[] = []
  #onMessage = (): void => {}

  private constructor (options: SessionOptions, deadline: Deadline, client: MqttClient) {
    this.#options = options
    this.#deadline = deadline
    this.#client = client
    this.#broken = new Promise((_resolve, reject) => {
      const see = (sight: Sight): void => { reject(faultOf(sight, { ...options, phase: this.#phase })) }
      client.on('error', (error) => { see(isOfTransport(error) ? { kind: 'transport', error } : { kind: 'mqtt', error }) })
      // MQTT.js keeps those without a code to itself, such as that there is no WebSocket at this path.
      client.stream.on('error', (error: Error) => { see({ kind: 'transport', error }) })
      client.on('close', () => { see({ kind: 'closed' }) })
    })
    this.#broken.catch(() => {}) // it may break when nobody waits, at the end
    client.on('message', (_topic, payload) => {
      this.#messages.push(payload)
      this.#onMessage()
    })
  }

  /**
   * Connects with a clean session.
   * @throws MBS_ERR_SELFTEST_CONNECT, _REFUSED, _SILENT, _PROTOCOL, _CLOSED
   */
  static async open (options: SessionOptions, deadline: Deadline): Promise<Session> {
    const { connect } = await import('mqtt')
    const session = new Session(options, deadline, connect(options.url, clientOptions(options, deadline)))
    try {
      await session.#wait('connack', new Promise<void>((resolve) => { session.#client.once('connect', () => { resolve() }) }))
      return session
    } catch (error) {
      session.#cut()
      throw error
    }
  }

  /** @throws MBS_ERR_SELFTEST_SUBSCRIBE, and what breaks sessions */
  async subscribe (): Promise<void> {
    const { url, topic } = this.#options
    const isDenied = await this.#wait('suback', this.#client.subscribeAsync(topic, { qos: 1 }).then(
      () => false,
      // A SUBACK that came with it denies it. Any other error says that the session has broken.
      (error: unknown) => isDenial(error) || this.#broken
    ))
    if (isDenied) throw createError('MBS_ERR_SELFTEST_SUBSCRIBE', { url, topic })
  }

  /** Publishes at QoS 1 and waits for PUBACK. @throws MBS_ERR_SELFTEST_PUBLISH, and what breaks sessions */
  async publish (payload: Buffer): Promise<void> {
    await this.#wait('puback', this.#client.publishAsync(this.#options.topic, payload, { qos: 1 }).catch(() => this.#broken))
  }

  /** Waits until this payload has come on the topic. @throws MBS_ERR_SELFTEST_MESSAGE, and what breaks sessions */
  async receive (payload: Buffer): Promise<void> {
    await this.#wait('message', new Promise<void>((resolve) => {
      this.#onMessage = () => { if (this.#messages.some((message) => message.equals(payload))) resolve() }
      this.#onMessage()
    }))
  }

  /** Ends it in order, where that is possible. Never rejects. */
  async close (): Promise<void> {
    const cut = new AbortController()
    await Promise.race([this.#client.endAsync(), sleep(END_MS, undefined, { signal: cut.signal })]).catch(() => {})
    cut.abort()
    this.#cut()
  }

  async #wait<T> (phase: Phase, promise: Promise<T>): Promise<T> {
    this.#phase = phase
    return await this.#deadline.within(Promise.race([promise, this.#broken]), () => this.#late(phase))
  }

  #late (phase: Phase): Error {
    const { url, topic } = this.#options
    const { timeoutMs } = this.#deadline
    if (phase !== 'message') return createError('MBS_ERR_SELFTEST_SILENT', { url, packet: PACKETS[phase], timeoutMs })
    const count = this.#messages.length
    const others = count === 0 ? '' : `; ${count} other message(s) came instead`
    return createError('MBS_ERR_SELFTEST_MESSAGE', { topic, timeoutMs, others })
  }

  #cut (): void {
    this.#client.end(true)
    this.#client.stream.destroy()
  }
}

function clientOptions (options: SessionOptions, deadline: Deadline): IClientOptions {
  const { clientId, username, password, ca, cert, key } = options
  return {
    protocolVersion: 4,
    clean: true,
    clientId,
    reconnectPeriod: 0,
    // The deadline comes first and says more.
    connectTimeout: deadline.timeoutMs + END_MS,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key })
  }
}

/** True for the error of MQTT.js that carries a SUBACK with 0x80 [MQTT-3.9.3-2]. */
function isDenial (error: unknown): boolean {
  const { granted = [] } = (error as { packet?: { granted?: readonly number[] } }).packet ?? {}
  return granted.some((code) => code >= 0x80)
}

/** Errors of sockets and of TLS have a name as code, those of MQTT a number or none. */
function isOfTransport (error: unknown): boolean {
  return typeof (error as { code?: unknown }).code === 'string'
}
