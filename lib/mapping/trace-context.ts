/**
 * W3C Trace Context for events: begins a trace where a publish brings none, and says whether one that a device brings
 * can be used. MQTT 3.1.1 has no properties, so a trace comes with a device's own CloudEvent or begins here. Pure but
 * for chance.
 *
 * Sampled (flags 01): nothing is recorded here, but a sampler that follows its parent, which is the usual one, drops
 * every trace that begins with 00, and who switches this on wants to see them. Receivers may sample by trace id.
 */
import { randomFillSync } from 'node:crypto'

const TRACE_BYTES = 16
const SPAN_BYTES = 8
const ID_BYTES = TRACE_BYTES + SPAN_BYTES
/** Asking for random bytes costs more than making a text of them: they are asked for by so many ids at once. */
const POOL_IDS = 256

/** Version 00, or a later one, which may have more behind it; ids that are all zeros are none [trace-context 3.2]. */
const TRACEPARENT = /^(?:00|(?!00|ff)[0-9a-f]{2}(?=.{53}(?:-|$)))-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}/
const VERSION_00_LENGTH = 55

/** Members of a tracestate [trace-context 3.3.1]. */
const TRACESTATE_MEMBER =
  /^([a-z0-9][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})=([ -+\--<>-~]{0,255}[!-+\--<>-~])$/
const MAX_MEMBERS = 32

/** Makes a function that begins a trace with each call. @param fill puts random bytes into a buffer */
export function createTraceparents (fill: (pool: Buffer) => void = randomFillSync): () => string {
  const pool = Buffer.alloc(POOL_IDS * ID_BYTES)
  let at = pool.length
  return () => {
    if (at === pool.length) {
      fill(pool)
      at = 0
    }
    const spanAt = at + TRACE_BYTES
    const end = spanAt + SPAN_BYTES
    // An id of zeros only is none.
    pool[spanAt - 1] ||= 1
    pool[end - 1] ||= 1
    const text = `00-${pool.toString('hex', at, spanAt)}-${pool.toString('hex', spanAt, end)}-01`
    at = end
    return text
  }
}

export function isTraceparent (value: unknown): boolean {
  if (typeof value !== 'string' || !TRACEPARENT.test(value)) return false
  return value.length === VERSION_00_LENGTH || !value.startsWith('00-')
}

export function isTracestate (value: unknown): boolean {
  if (typeof value !== 'string') return false
  const members = value.split(',').map((member) => member.replace(/^[ \t]+|[ \t]+$/g, '')).filter((member) => member !== '')
  if (members.length === 0 || members.length > MAX_MEMBERS) return false
  const keys = members.map((member) => TRACESTATE_MEMBER.exec(member)?.[1])
  return !keys.includes(undefined) && new Set(keys).size === keys.length
}
