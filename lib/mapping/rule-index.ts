/**
 * Finds the first of many rules whose pattern matches a topic, without looking at the others: a tree of levels, in
 * which each branch knows the first rule below it. With thousands of rules a topic meets a few dozen nodes. Pure.
 *
 * A wildcard at the first level matches no topic that begins with `$` [MQTT-4.7.2-1].
 */
import type { Levels } from '../topic-filter.ts'
import { PROPERTY_BAG } from './rule-pattern.ts'

interface Node {
  readonly literals: Map<string, Node>
  single: Node | undefined
  /** The first rule that ends here, and the first that ends in `#` below; Infinity: none. */
  end: number
  tail: number
  /** The first rule that ends here in a property bag, which may be absent. */
  bag: number
  /** The first rule of this branch. */
  least: number
}

const DOLLAR = 0x24
const QUESTION_MARK = 0x3f

function createNode (): Node {
  return { literals: new Map(), single: undefined, end: Infinity, tail: Infinity, bag: Infinity, least: Infinity }
}

export class RuleIndex {
  readonly #root = createNode()
  #size = 0

  /** Adds a rule behind those that are there. */
  add (levels: Levels): void {
    const index = this.#size++
    let node = this.#root
    node.least = Math.min(node.least, index)
    for (const level of levels) {
      if (level === '#') {
        node.tail = Math.min(node.tail, index)
        return
      }
      if (level === PROPERTY_BAG) {
        node.bag = Math.min(node.bag, index)
        break
      }
      node = childOf(node, level)
      node.least = Math.min(node.least, index)
    }
    node.end = Math.min(node.end, index)
  }

  /** The place of the first rule that matches a topic, counted from 0; undefined: none does. */
  find (topicLevels: readonly string[]): number | undefined {
    const found = search(this.#root, topicLevels, 0, Infinity)
    return found === Infinity ? undefined : found
  }

  /** The place of the first rule that matches every topic that a pattern does; it may be the pattern's own. */
  findContaining (levels: Levels): number {
    return search(this.#root, levels, 0, Infinity)
  }
}

/**
 * The first rule below a node, if it is before `best`. Of a pattern, whose `+` and `#` are no names of levels, the
 * same search finds what holds it whole: `+` has only `+` to follow, `#` only `#`, a property bag both.
 */
function search (node: Node, levels: readonly string[], at: number, best: number): number {
  if (node.least >= best) return best
  const level = levels[at]
  const isReserved = at === 0 && level !== undefined && level.charCodeAt(0) === DOLLAR
  if (node.tail < best && !isReserved) best = node.tail
  if (level === undefined) return Math.min(best, node.end)
  if (level === '#') return best
  if (node.bag < best && level.charCodeAt(0) === QUESTION_MARK) best = node.bag
  if (level === PROPERTY_BAG) return best
  const literal = level === '+' ? undefined : node.literals.get(level)
  if (literal !== undefined) best = search(literal, levels, at + 1, best)
  if (node.single !== undefined && !isReserved) best = search(node.single, levels, at + 1, best)
  return best
}

function childOf (node: Node, level: string): Node {
  if (level === '+') {
    node.single ??= createNode()
    return node.single
  }
  let child = node.literals.get(level)
  if (child === undefined) {
    child = createNode()
    node.literals.set(level, child)
  }
  return child
}
