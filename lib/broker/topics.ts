/** Rules for topics, topic filters and client identifiers [MQTT-4.7]. Pure; each says in words what is wrong. */
import { containsFilter, levelsOf, matchesTopic } from '../topic-filter.ts'
import type { BrokerLimits, ReservedTopics } from './contract.ts'

const DOLLAR = 0x24
const SLASH = 0x2f
const HASH = 0x23
const PLUS = 0x2b
/** What stands where bytes were no UTF-8; MQTT allows neither such bytes nor NUL [MQTT-1.5.3-1, MQTT-1.5.3-2]. */
const REPLACEMENT = 0xfffd

/**
 * What is wrong with the topic of a publish or a will; undefined: nothing.
 * Topics that begin with `$` are the broker's own [MQTT-4.7.2-1], but for those that are reserved for devices.
 */
export function topicProblem (topic: string, limits: BrokerLimits): string | undefined {
  if (topic.length === 0) return 'it is empty'
  if (topic.charCodeAt(0) === DOLLAR && !matchesAny(limits.reserved, 'publish', topic)) {
    return 'topics that begin with $ are reserved'
  }
  let levels = 1
  for (let index = 0; index < topic.length; index++) {
    const code = topic.charCodeAt(index)
    if (code === SLASH) levels++
    else if (code === HASH || code === PLUS) return 'it has a wildcard'
    else if (code === 0 || code === REPLACEMENT) return 'it has NUL or bytes that are not UTF-8'
  }
  return sizeProblem(topic, levels, limits)
}

/** What is wrong with a topic filter; undefined: nothing. */
export function filterProblem (filter: string, limits: BrokerLimits): string | undefined {
  if (filter.length === 0) return 'it is empty'
  if (filter.charCodeAt(0) === DOLLAR && !isHeldByAny(limits.reserved, filter)) {
    return '$SYS, $share and whatever else begins with $ cannot be subscribed'
  }
  if (hasForbiddenCharacters(filter)) return 'it has NUL or bytes that are not UTF-8'
  const levels = filter.split('/')
  for (const [index, level] of levels.entries()) {
    if (level.length > 1 && /[#+]/.test(level)) return 'a wildcard has to be a level of its own'
    if (level === '#' && index < levels.length - 1) return '# has to be the last level'
  }
  return sizeProblem(filter, levels.length, limits)
}

/** True for a topic filter that stands for more than the one topic that it is. */
export function hasWildcard (filter: string): boolean {
  return filter.includes('+') || filter.includes('#')
}

/** True where a text has NUL, or had bytes that are not UTF-8. */
export function hasForbiddenCharacters (text: string): boolean {
  return text.includes('\0') || text.includes('\ufffd')
}

/** True for a topic that belongs to the broker: no device receives it. */
export function isReserved (topic: string, reserved?: ReservedTopics): boolean {
  return topic.charCodeAt(0) === DOLLAR && !matchesAny(reserved, 'subscribe', topic)
}

/** True for a subscription that a topic beginning with `$` does not match: its first level is a wildcard. */
export function startsWithWildcard (filter: string): boolean {
  const code = filter.charCodeAt(0)
  return code === PLUS || code === HASH
}

/** True for a topic beginning with `$`. */
export function startsWithDollar (topic: string): boolean {
  return topic.charCodeAt(0) === DOLLAR
}

function isHeldByAny (reserved: ReservedTopics | undefined, filter: string): boolean {
  return reserved?.subscribe.some((open) => containsFilter(open, levelsOf(filter))) === true
}

function matchesAny (reserved: ReservedTopics | undefined, action: keyof ReservedTopics, topic: string): boolean {
  return reserved?.[action].some((open) => matchesTopic(open, topic)) === true
}

function sizeProblem (text: string, levels: number, { topicBytes, topicLevels }: BrokerLimits): string | undefined {
  if (levels > topicLevels) return `it has ${levels} levels of ${topicLevels} allowed`
  // No character of a string takes more than three bytes of UTF-8.
  if (text.length * 3 <= topicBytes) return undefined
  const bytes = Buffer.byteLength(text)
  return bytes > topicBytes ? `it has ${bytes} bytes of ${topicBytes} allowed` : undefined
}
