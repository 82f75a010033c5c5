/**
 * What the probes answer, from the state of the program. Pure. Ready means able to store, and nothing else: the sink is
 * told for a person who reads it, and never decides.
 */
import type { OutboxStats, OutboxStatus } from '../outbox/outbox.ts'

/** The state of the program, asked anew at each request. Each must answer at any time, also before the start. */
export interface HealthState {
  /** True once every listener is open. */
  started (): boolean
  /** True from the beginning of the shutdown on. */
  draining (): boolean
  outbox (): OutboxStats
  /** How each sink is, by name. */
  sinks (): ReadonlyMap<string, SinkHealth>
}

/** `down` while it is probed, `recovering` while it is paced, `none` while its address is not known. */
export type SinkHealth = 'up' | 'down' | 'recovering' | 'none'

/** The body of an answer. `reason` says why the status is not `ok`. */
export interface Health {
  readonly status: 'ok' | 'unavailable'
  readonly checks: Readonly<Record<string, unknown>>
  readonly reason?: string
}

const STARTING = 'starting: the outbox is opened, then the listeners'

/**
 * A full outbox is not ready, although it will store again by itself. New devices would connect only to be held back;
 * with the pod out of the endpoints they find one that can store, or their own backoff. Connections that are open stay
 * open, wait, and are answered as room appears. Restarting would make no room, so liveness does not mention it.
 * It is no dependence on the sink: an overflow policy that makes room keeps the outbox `ready` while the sink is down.
 */
const CANNOT_STORE: Readonly<Record<Exclude<OutboxStatus, 'ready'>, string>> = {
  full: 'the outbox is full: devices are held back until events are delivered (MBS_ERR_OUTBOX_FULL)',
  failed: 'the outbox cannot write: see the log for MBS_ERR_OUTBOX_WRITE, or MBS_ERR_OUTBOX_REDIS and MBS_ERR_REDIS_CONNECT',
  closed: 'the outbox is closed'
}

/** Liveness. That this answers at all is the whole of the check: the event loop runs. */
export function liveness (): Health {
  return { status: 'ok', checks: { eventLoop: 'ok' } }
}

/** Startup: recovery may take longer than liveness would wait for. */
export function startup (state: HealthState): Health {
  const started = state.started()
  return health({ started }, started ? undefined : STARTING)
}

/** Readiness: started, not shutting down, and able to store. */
export function readiness (state: HealthState): Health {
  const started = state.started()
  const draining = state.draining()
  const outbox = state.outbox()
  const sinks = Object.fromEntries(state.sinks())
  return health({ started, draining, outbox, sinks }, notReady(started, draining, outbox.status))
}

function notReady (started: boolean, draining: boolean, outbox: OutboxStatus): string | undefined {
  if (draining) return 'shutting down'
  if (!started) return STARTING
  return outbox === 'ready' ? undefined : CANNOT_STORE[outbox]
}

function health (checks: Health['checks'], reason: string | undefined): Health {
  return reason === undefined ? { status: 'ok', checks } : { status: 'unavailable', checks, reason }
}
