/**
 * The subscriptions at QoS 1 and 2 of all persistent sessions, as a tree of levels: who gets a message and may
 * be away. In memory, and asked for every publish. A client stands in an answer once, whichever filters match.
 *
 * A wildcard at the first level matches no topic that begins with `$` [MQTT-4.7.2-1].
 */

/** Who gets a message. */
export interface Match {
  readonly clientId: string
  readonly topic: string
}

interface Node {
  readonly children: Map<string, Node>
  /** Whose filter ends here. */
  readonly clients: Set<string>
}

/** What one level of a filter costs, and a filter beside its levels and letters, in bytes: as for Aedes' own. */
const LEVEL_BYTES = 250
const OVERHEAD_BYTES = 300
const DOLLAR = 0x24

export class SubscriptionTree {
  readonly #root = createNode()
  readonly #filters = new Map<string, ReadonlySet<string>>()
  #bytes = 0

  /** Clients that have any. */
  get clients (): number {
    return this.#filters.size
  }

  /** Bytes that it takes, as reckoned. */
  get bytes (): number {
    return this.#bytes
  }

  clientIds (): IterableIterator<string> {
    return this.#filters.keys()
  }

  has (clientId: string): boolean {
    return this.#filters.has(clientId)
  }

  /** A client has these filters from now on, and no others. */
  set (clientId: string, filters: ReadonlySet<string>): void {
    const before = this.#filters.get(clientId)
    for (const filter of before ?? []) if (!filters.has(filter)) this.#remove(clientId, filter)
    for (const filter of filters) if (before?.has(filter) !== true) this.#add(clientId, filter)
    if (filters.size === 0) this.#filters.delete(clientId)
    else this.#filters.set(clientId, filters)
  }

  /** Who gets a message of this topic. */
  match (topic: string): Match[] {
    const levels = topic.split('/')
    const found = new Map<string, Match>()
    const visit = (node: Node, at: number): void => {
      const mayBeWild = at > 0 || topic.charCodeAt(0) !== DOLLAR
      if (mayBeWild) collect(node.children.get('#'), topic, found)
      if (at === levels.length) {
        collect(node, topic, found)
        return
      }
      const child = node.children.get(levels[at] as string)
      if (child !== undefined) visit(child, at + 1)
      const any = mayBeWild ? node.children.get('+') : undefined
      if (any !== undefined) visit(any, at + 1)
    }
    visit(this.#root, 0)
    return [...found.values()]
  }

  #add (clientId: string, filter: string): void {
    let node = this.#root
    for (const level of filter.split('/')) {
      let child = node.children.get(level)
      if (child === undefined) node.children.set(level, child = createNode())
      node = child
    }
    node.clients.add(clientId)
    this.#bytes += bytesOf(filter)
  }

  #remove (clientId: string, filter: string): void {
    const path: Array<readonly [Node, string]> = []
    let node = this.#root
    for (const level of filter.split('/')) {
      const child = node.children.get(level)
      if (child === undefined) return
      path.push([node, level])
      node = child
    }
    if (!node.clients.delete(clientId)) return
    this.#bytes -= bytesOf(filter)
    for (const [parent, level] of path.toReversed()) {
      const child = parent.children.get(level) as Node
      if (child.clients.size > 0 || child.children.size > 0) return
      parent.children.delete(level)
    }
  }
}

function createNode (): Node {
  return { children: new Map(), clients: new Set() }
}

function collect (node: Node | undefined, topic: string, found: Map<string, Match>): void {
  for (const clientId of node?.clients ?? []) {
    if (!found.has(clientId)) found.set(clientId, { clientId, topic })
  }
}

function bytesOf (filter: string): number {
  return OVERHEAD_BYTES + 2 * filter.length + filter.split('/').length * LEVEL_BYTES
}
