/**
 * What the keys in Redis are called, all of it in one place. The keys of one session have one tag, so that a Cluster
 * keeps them together and a script can change them at once; so have those of the group, of retained messages, and of
 * wills. Nothing else may make a key.
 */

/** The keys of one session. */
export interface SessionKeys {
  /** Hash: whose it is, which pod and connection has it, the last serial and the bytes of its queue. */
  readonly session: string
  /** Hash: QoS by filter, as aedes-persistence-redis lays it out. */
  readonly subscriptions: string
  /** Sorted set: what waits, by serial. */
  readonly order: string
  /** Hash: the messages that wait; none where PUBREL has taken its place. */
  readonly bodies: string
  /** Hash: the packet identifiers of what was sent, and whether it was released. */
  readonly sent: string
  /** Hash: packet identifiers at QoS 2 that the client has not released, and the server process that noted each. */
  readonly received: string
  /** All of them, in the order that the scripts expect. */
  readonly all: readonly string[]
}

export class Keys {
  /** Sorted set: client identifiers of all persistent sessions, by the time at which each ends if nobody renews it. */
  readonly index: string
  /** Hash: how often subscriptions have changed, and since when it is counted. */
  readonly version: string
  /** Stream: whose subscriptions changed last. */
  readonly changes: string
  /** The serial of the last connection. */
  readonly connections: string
  /** Sorted set, hash and number: the topics, messages and bytes of what is retained. */
  readonly retained: { readonly topics: string, readonly messages: string, readonly bytes: string }
  /** Set: pods that may have left wills. */
  readonly pods: string
  /** What channels begin with. */
  readonly channels: string
  readonly #prefix: string

  /**
   * @param prefix without braces
   * @param database its number: keys are in it, channels are not
   */
  constructor (prefix: string, database = 0) {
    this.#prefix = prefix
    const group = `{${prefix}sessions}`
    this.index = `${group}:index`
    this.version = `${group}:version`
    this.changes = `${group}:changes`
    this.connections = `${group}:connections`
    const retained = `{${prefix}retained}`
    this.retained = { topics: `${retained}:topics`, messages: `${retained}:messages`, bytes: `${retained}:bytes` }
    this.pods = `{${prefix}wills}:pods`
    this.channels = database === 0 ? `${prefix}mqtt:` : `${prefix}mqtt@${database}:`
  }

  session (clientId: string): SessionKeys {
    const subscriptions = `${this.#prefix}client:${encodeURIComponent(clientId)}`
    const [session, order, bodies, sent, received] = ['session', 'order', 'bodies', 'sent', 'received']
      .map((name) => `{${subscriptions}}:${name}`) as [string, string, string, string, string]
    const all = [session, subscriptions, order, bodies, sent, received]
    return { session, subscriptions, order, bodies, sent, received, all }
  }

  /** There as long as the pod shows that it lives. */
  life (pod: string): string {
    return `{${this.#prefix}wills}:life:${pod}`
  }

  /** Hash: the wills of the sessions of a pod, by client identifier. */
  wills (pod: string): string {
    return `{${this.#prefix}wills}:of:${pod}`
  }
}
