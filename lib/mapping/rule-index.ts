/**
 * Finds the first of many rules whose pattern matches a topic, without looking at the others: a tree of levels, in
 * which each branch knows the first rule below it. With thousands of rules a topic meets a few dozen nodes. Pure.
 */
import type { Levels } from '../topic-filter.ts'

interface Node {
  readonly literals: Map<string, Node>
  single: Node | undefined
  /** The first rule that ends here, and the first that ends in `#` below; Infinity: none. */
  end: number
  tail: number
  /** The first rule of this branch. */
  least: number
}

function createNode (): Node {
  return { literals: new Map(), single: undefined, end: Infinity, tail: Infinity, least: Infinity }
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
 * same search finds what holds it whole: `+` has only `+` to follow, `#` only `#`.
 */
function search (node: Node, levels: readonly string[], at: number, best: number): number {
  if (node.least >= best) return best
  if (node.tail < best) best = node.tail
  const level = levels[at]
  if (level === undefined) return Math.min(best, node.end)
  if (level === '#') return best
  const literal = level === '+' ? undefined : node.literals.get(level)
  if (literal !== undefined) best = search(literal, levels, at + 1, best)
  if (node.single !== undefined) best = search(node.single, levels, at + 1, best)
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
