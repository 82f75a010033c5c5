/**
 * Messages between pods: mqemitter-redis, with another part for each that fails. A filter is subscribed in Redis once
 * for all who have it here, again after every reconnect, and none of its characters means anything but `+` and `#`.
 * While Redis is away messages reach those who are connected to this pod; nothing waits, and nobody is closed for it.
 *
 * What the broker tells itself ($SYS) stays here. What pods tell each other is a message of its own; it may be lost,
 * and nothing may depend on it.
 */
import MQEmitterRedis from 'mqemitter-redis'
import type { MbsError } from '../../errors.ts'
import type { RedisClient } from '../../redis/link.ts'
import { Readiness } from './readiness.ts'
import { toSessionsError } from './requests.ts'

/** What one pod tells the others. */
export type PodMessage =
  /** It has let this connection in; who has another one of that client closes it. */
  | { readonly kind: 'taken', readonly clientId: string, readonly serial: number }
  /** Subscriptions have changed. */
  | { readonly kind: 'changed' }
  /** Something is in the queues of these sessions that no message brings. */
  | { readonly kind: 'waiting', readonly clientIds: readonly string[] }
  /** Messages for sessions have been lost, whatever comes after this one; who sent it hears it as well. */
  | { readonly kind: 'lost' }

export interface PodMessagesOptions {
  readonly pod: string
  /** What channels begin with. */
  readonly prefix: string
  readonly publisher: RedisClient
  readonly subscriber: RedisClient
  readonly timeoutMs: number
  /** Told of each message, from whichever pod, before those who have subscribed to it. */
  readonly live: (message: object) => void
  /** Told of what did not reach other pods. */
  readonly failed: (error: MbsError) => void
}

interface Message {
  readonly topic: string
  readonly qos?: number
  readonly from?: string
}

type Listener = (message: Message, done: () => void) => void
type Done = (error?: Error) => void

/** What mqemitter-redis has; those with an underscore are what is local of it. */
interface Emitter {
  readonly state: { on (event: 'error', listener: (error: Error) => void): void }
  on (topic: string, listener: Listener, done?: Done): Emitter
  removeListener (topic: string, listener: Listener, done?: Done): Emitter
  emit (message: Message, done?: Done): void
  close (done?: Done): void
  _on (topic: string, listener: Listener): void
  _removeListener (topic: string, listener: Listener, done?: Done): void
  _emit (message: Message, done?: Done): void
  _close (done: Done): void
}

/** A channel or pattern that somebody here wants. */
interface Channel {
  readonly name: string
  readonly isPattern: boolean
  wanted: number
  subscribed: Promise<void>
}

const PODS = '$SYS/pods'

export class PodMessages {
  /** What Aedes gets. */
  readonly emitter: Emitter
  readonly #options: PodMessagesOptions
  readonly #channels = new Map<string, Channel>()
  readonly #readiness: Readiness
  readonly #emit: Emitter['emit']
  /** A message for sessions was not sent. */
  #hasLost = false
  #isClosed = false
  #heard: Promise<void> = Promise.resolve()

  constructor (options: PodMessagesOptions, heard: (message: PodMessage) => void) {
    const { publisher, subscriber, prefix, pod, live } = options
    this.#options = options
    this.#readiness = new Readiness(subscriber, options.timeoutMs)
    // By itself it would do so with nobody to hear that it may not.
    if (!subscriber.isCluster) (subscriber.options as { autoResubscribe?: boolean }).autoResubscribe = false
    const emitter = MQEmitterRedis({
      matchEmptyLevels: true,
      concurrency: 0,
      // It uses nothing else of them; their errors are told by who made them.
      pubConn: {
        on: () => {},
        publish: async (topic: string, bytes: Buffer) => { await publishTo(publisher, prefix + topic, bytes) }
      },
      subConn: {
        on: (event: string, listener: (...args: unknown[]) => void) => { subscriber.on(event, listener) }
      }
    } as unknown as Parameters<typeof MQEmitterRedis>[0]) as unknown as Emitter
    this.emitter = emitter
    this.#emit = emitter.emit.bind(emitter)
    // Fatal without a listener.
    emitter.state.on('error', () => {})
    emitter.on = (topic, listener, done) => {
      emitter._on(topic, listener)
      this.#subscribe(topic).then(() => { done?.() }, (error: unknown) => { done?.(toSessionsError(error)) })
      return emitter
    }
    emitter.removeListener = (topic, listener, done) => {
      emitter._removeListener(topic, listener, done)
      this.#unsubscribe(topic)
      return emitter
    }
    emitter.emit = (message, done) => { this.#publish(message, done ?? (() => {})) }
    const handOut = emitter._emit.bind(emitter)
    emitter._emit = (message, done) => {
      live(message)
      handOut(message, done)
    }
    emitter.close = (done) => {
      this.#isClosed = true
      emitter._close(done ?? (() => {}))
    }
    emitter.on(PODS, (packet, done) => {
      const { from, ...message } = packet as unknown as { from: string } & PodMessage
      if (from !== pod || message.kind === 'lost') heard(message)
      done()
    }, () => {})
  }

  /** Tells the other pods. May be lost, and is not told any more by a pod that has ended. */
  tell (message: PodMessage): void {
    if (this.#isClosed || this.#options.publisher.status !== 'ready') return
    this.#emit({ topic: PODS, from: this.#options.pod, ...message } as Message, (error) => {
      if (error === undefined || error === null) return
      this.#options.failed(toSessionsError(error))
      if (message.kind === 'lost') this.#hasLost = true
    })
  }

  /** Tells that messages were lost, if so, before any other message: sessions find them in their queues. */
  tellLost (): void {
    if (!this.#hasLost || this.#options.publisher.status !== 'ready') return
    this.#hasLost = false
    this.tell({ kind: 'lost' })
  }

  /** Resolves when everything that is wanted is subscribed after a reconnect; at once while it is. Never rejects. */
  async heard (): Promise<void> {
    await this.#heard
  }

  /** Subscribes again what is wanted: the connection is a new one. */
  resubscribe (): void {
    const all: Array<Promise<void>> = []
    for (const channel of this.#channels.values()) {
      channel.subscribed = this.#send(channel)
      all.push(channel.subscribed.catch((error: unknown) => { this.#options.failed(toSessionsError(error)) }))
    }
    this.#heard = Promise.all(all).then(() => {})
  }

  #publish (message: Message, done: Done): void {
    if (isOfThisPod(message.topic)) {
      this.emitter._emit(message, done)
      return
    }
    this.tellLost()
    if (this.#options.publisher.status === 'ready') {
      this.#emit(message, (error) => {
        if (error !== undefined && error !== null) this.#lost(message, error)
        done()
      })
    } else {
      this.#lost(message, new Error('there is no connection'))
      this.emitter._emit(message, done)
    }
  }

  #lost ({ qos = 0 }: Message, error: Error): void {
    if (qos > 0) this.#hasLost = true
    this.#options.failed(toSessionsError(error))
  }

  async #subscribe (topic: string): Promise<void> {
    if (isOfThisPod(topic)) return
    const channel = this.#channelOf(topic)
    const known = this.#channels.get(keyOf(channel))
    if (known !== undefined) {
      known.wanted++
      await known.subscribed
      return
    }
    this.#channels.set(keyOf(channel), channel)
    channel.subscribed = this.#send(channel)
    await channel.subscribed
  }

  #unsubscribe (topic: string): void {
    if (isOfThisPod(topic)) return
    const key = keyOf(this.#channelOf(topic))
    const channel = this.#channels.get(key)
    if (channel === undefined || --channel.wanted > 0) return
    this.#channels.delete(key)
    const { subscriber } = this.#options
    if (subscriber.status !== 'ready') return
    const gone = channel.isPattern ? subscriber.punsubscribe(channel.name) : subscriber.unsubscribe(channel.name)
    // At worst it is heard in vain.
    gone.catch(() => {})
  }

  async #send ({ name, isPattern }: Channel): Promise<void> {
    await this.#readiness.ask(async (subscriber) => {
      await (isPattern ? subscriber.psubscribe(name) : subscriber.subscribe(name))
    })
  }

  /** `a/#` matches `a` as well, so its pattern is `a*`: what comes is compared with the filter here. */
  #channelOf (topic: string): Channel {
    const { prefix } = this.#options
    const isPattern = /[+#]/.test(topic)
    const name = isPattern
      ? escapeGlob(prefix) + escapeGlob(topic).replace(/\/?#$/, '*').replaceAll('+', '*')
      : prefix + topic
    return { name, isPattern, wanted: 1, subscribed: Promise.resolve() }
  }
}

/**
 * In a Cluster a message may be handed to any node, and one after the other to different ones, where the second may be
 * faster. Here all of a topic go to the node that its name belongs to, and keep their order [MQTT-4.6.0-6].
 */
async function publishTo (client: RedisClient, channel: string, bytes: Buffer): Promise<void> {
  if (client.isCluster) await client.callBuffer('EVAL', "return redis.call('PUBLISH', KEYS[1], ARGV[1])", 1, channel, bytes)
  else await client.publish(channel, bytes)
}

function isOfThisPod (topic: string): boolean {
  return topic.startsWith('$SYS/') && topic !== PODS
}

function keyOf ({ name, isPattern }: Channel): string {
  return `${isPattern ? 'p' : 's'} ${name}`
}

function escapeGlob (text: string): string {
  return text.replace(/[\\*?[\]]/g, '\\$&')
}
