/**
 * The configuration while its layers are laid over each other, lowest first: file, settings, environment, flags.
 * Remembers where each value came from. Knows nothing of what is allowed; values that are laid in are copied.
 */
import { formatPath, type Path } from './problem.ts'

type Section = Record<string, unknown>

function isSection (value: unknown): value is Section {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Own property in any case, also for a key such as `__proto__`. */
function put (target: Section, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true })
}

export class Draft {
  readonly #origins = new Map<string, string>()
  #values: Section = {}

  /** The values given so far. Validation completes and converts them in place. */
  get values (): Section {
    return this.#values
  }

  /** Lays a tree over what is there: sections are merged, lists and everything else replaced. */
  merge (values: Section, originAt: (path: Path) => string): void {
    this.#values = this.#merged(this.#values, values, [], originAt) as Section
  }

  /**
   * Lays one value over what is there, making the sections on its way.
   * @returns false where that is impossible: a place beyond the end of a list
   */
  set (path: Path, value: unknown, origin: string): boolean {
    let holder: Section | unknown[] = this.#values
    for (const [at, key] of path.slice(0, -1).entries()) {
      let next = childOf(holder, key)
      if (next === undefined || next === null) {
        const following = path[at + 1]
        if (typeof following === 'number' && following > 0) return false
        next = following === 0 ? [] : {}
        if (!place(holder, key, next)) return false
      }
      // Text where a section should be: validation will say so, and nothing can be laid into it.
      if (typeof next !== 'object' || next === null) return true
      holder = next as Section | unknown[]
    }
    return place(holder, path.at(-1)!, this.#merged(undefined, value, path, () => origin))
  }

  /** Where a value came from, or else what it stands in; `default` where nobody gave anything. */
  originOf (path: Path): string {
    for (let length = path.length; length > 0; length--) {
      const origin = this.#origins.get(formatPath(path.slice(0, length)))
      if (origin !== undefined) return origin
    }
    return 'default'
  }

  /** Where a value itself came from; `default` where nobody gave it. */
  exactOriginOf (path: Path): string {
    return this.#origins.get(formatPath(path)) ?? 'default'
  }

  #merged (base: unknown, over: unknown, path: Path, originAt: (path: Path) => string): unknown {
    if (path.length > 0) this.#origins.set(formatPath(path), originAt(path))
    if (Array.isArray(over)) this.#forgetItems(path)
    if (Array.isArray(over)) return over.map((item, at) => this.#merged(undefined, item, [...path, at], originAt))
    if (!isSection(over)) return over
    const merged: Section = {}
    if (isSection(base)) for (const [key, value] of Object.entries(base)) put(merged, key, value)
    for (const [key, value] of Object.entries(over)) {
      put(merged, key, this.#merged(childOf(merged, key), value, [...path, key], originAt))
    }
    return merged
  }

  /** A list is replaced as a whole: where its former items came from is no longer true. */
  #forgetItems (path: Path): void {
    const before = `${formatPath(path)}[`
    for (const name of this.#origins.keys()) if (name.startsWith(before)) this.#origins.delete(name)
  }
}

function childOf (holder: Section | unknown[], key: string | number): unknown {
  return Object.hasOwn(holder, key) ? (holder as Section)[key] : undefined
}

function place (holder: Section | unknown[], key: string | number, value: unknown): boolean {
  if (Array.isArray(holder)) {
    if (typeof key !== 'number' || key > holder.length) return false
    holder[key] = value
  } else {
    put(holder, String(key), value)
  }
  return true
}
