/**
 * The algebra of topic filters [MQTT-4.7]: which topics one matches, whether it holds another one whole, whether two
 * have a topic in common. Pure. A pattern is given as its levels; `+` and `#` are wildcards as whole levels only.
 *
 * A wildcard at the first level matches no topic that begins with `$` [MQTT-4.7.2-1].
 */

/** The levels of a topic filter. A level may be empty; `#` is the last one or nowhere. */
export type Levels = readonly string[]

const DOLLAR = 0x24

/** The levels of a topic filter that is well-formed. */
export function levelsOf (filter: string): Levels {
  return filter.split('/')
}

/** True where the topic matches. Allocates nothing: it is asked for every publish and every delivery. */
export function matchesTopic (levels: Levels, topic: string): boolean {
  const first = levels[0] as string
  if (topic.charCodeAt(0) === DOLLAR && isWildcard(first)) return false
  let at = 0
  for (let index = 0; index < levels.length; index++) {
    const level = levels[index] as string
    // Also for no level at all: `a/#` matches `a`.
    if (level === '#') return true
    if (at > topic.length) return false
    let end = topic.indexOf('/', at)
    if (end < 0) end = topic.length
    if (level !== '+' && (end - at !== level.length || !topic.startsWith(level, at))) return false
    at = end + 1
  }
  return at > topic.length
}

/** True where every topic that matches `filter` matches `levels` too. */
export function containsFilter (levels: Levels, filter: Levels): boolean {
  if (startsReserved(filter) && isWildcard(levels[0] as string)) return false
  const asked = withoutEmptyTopic(filter)
  for (let index = 0; index < levels.length; index++) {
    const level = levels[index] as string
    if (level === '#') return true
    const other = asked[index]
    if (other === undefined || other === '#') return false
    if (level !== '+' && level !== other) return false
  }
  return asked.length === levels.length
}

/** True where some topic matches both. */
export function overlaps (a: Levels, b: Levels): boolean {
  if (startsReserved(a) && isWildcard(b[0] as string)) return false
  if (startsReserved(b) && isWildcard(a[0] as string)) return false
  const [ones, others] = [withoutEmptyTopic(a), withoutEmptyTopic(b)]
  for (let index = 0; ; index++) {
    const one = ones[index]
    const other = others[index]
    if (one === '#' || other === '#') return true
    if (one === undefined || other === undefined) return one === other
    if (one !== other && one !== '+' && other !== '+') return false
  }
}

/** No topic is empty [MQTT-4.7.3-1]: `#` asks for no more than `+/#`, and `/#` for no more than `/+/#`. */
function withoutEmptyTopic (levels: Levels): Levels {
  if (levels.length === 1 && levels[0] === '#') return ['+', '#']
  return levels.length === 2 && levels[0] === '' && levels[1] === '#' ? ['', '+', '#'] : levels
}

function isWildcard (level: string): boolean {
  return level === '+' || level === '#'
}

function startsReserved (levels: Levels): boolean {
  return (levels[0] as string).charCodeAt(0) === DOLLAR
}
