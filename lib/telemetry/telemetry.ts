/**
 * One function per thing that happens: it logs and counts it together. Stages call these and know neither pino nor
 * prom-client. On the path of every publish only plain numbers are added up; the registry reads them when it is asked.
 *
 * Never in a log: payloads, passwords. Never a label: client ids, topics, whatever a device chooses.
 */
import { createError, type MbsError } from '../errors.ts'
import type { Aside, LifecycleChange, QoS } from '../message.ts'
import type { OutboxStats, Recovery } from '../outbox/outbox.ts'
import { SharedSessionsTelemetry } from './shared-sessions-telemetry.ts'
import type { ConnectionFields } from './telemetry-base.ts'

/** What a log line about an event says; never its data. */
export interface EventFields {
  readonly sequence: number
  readonly id: string
  readonly source: string
  readonly partitionKey: string
}

/** How far a sink is: undelivered events, attempts under way, when the oldest was stored (ms since the epoch). */
export interface DeliveryStats {
  readonly waiting: number
  readonly inFlight: number
  readonly oldestStoredAt: number | undefined
}

/** Why the gauges that are read on demand have the values they have. */
export interface Gauges {
  outbox (): OutboxStats
  /** How far each sink is. */
  delivery (): ReadonlyMap<string, DeliveryStats>
  /** Publishes between their arrival and their answer. */
  openPublishes (): number
  /** Bytes of packets that are received, or about to be, and not settled. */
  inflightBytes (): number
  /** What the broker keeps for clients. */
  broker (): {
    readonly persistentSessions: number
    readonly queuedMessages: number
    readonly queuedBytes: number
    readonly retainedMessages: number
    readonly retainedBytes: number
    readonly subscriptionBytes: number
  }
}

export class Telemetry extends SharedSessionsTelemetry {
  /** Gives the gauges that are read on demand their sources. */
  observe (gauges: Gauges): void {
    this.metrics.gauges = gauges
  }

  // ---- life of the program -------------------------------------------------------------------------------------

  started (fields: { version: string, name: string }): void {
    this.metrics.buildInfo.labels(fields.version).set(1)
    this.log.info(fields, 'mqtt-broker-source is up')
  }

  listening (fields: { what: string, address: string }): void {
    this.log.info(fields, 'listening')
  }

  /** A listener beyond loopback lets everyone in, as its configuration asks for. */
  anonymousListener (fields: { listener: string }): void {
    this.log.warn(fields, 'this listener lets anyone in who can reach it')
  }

  stopping (fields: { reason: string }): void {
    this.log.info(fields, 'shutting down')
  }

  stopped (): void {
    this.log.info('stopped')
  }

  /** Something failed that no one was waiting for. An operator must look at it. */
  unexpected (error: unknown, what: string): void {
    this.repeated(`unexpected ${what}`, (suppressed) => {
      this.log.error({ err: error, suppressed }, `unexpected failure: ${what}`)
    })
  }

  // ---- connections -----------------------------------------------------------------------------------------------

  connectionOpened (listener: string): void {
    this.metrics.connectionsOpened.labels(listener).inc()
    this.metrics.connections.labels(listener).inc()
  }

  connectionClosed (listener: string): void {
    this.metrics.connections.labels(listener).dec()
  }

  /** A device did what the protocol or a limit forbids, or its socket failed. `error.code` is the label. */
  connectionFailed (error: MbsError, fields: ConnectionFields): void {
    this.metrics.connectionErrors.labels(error.code).inc()
    this.repeated(error.code, (suppressed) => {
      this.log.warn({ code: error.code, ...fields, help: error.help, suppressed }, error.message)
    })
  }

  /** A socket ended or a client made Aedes close it, for a reason that has no code of ours. */
  connectionBroken (reason: string, fields: ConnectionFields): void {
    this.metrics.connectionErrors.labels('other').inc()
    this.log.debug({ ...fields, reason }, 'connection broken')
  }

  /** A device sends more in a second than it may: it is held back for a while, nothing is lost. */
  clientThrottled (limit: 'messages' | 'bytes', fields: ConnectionFields): void {
    this.metrics.throttled[limit]++
    this.repeated(`throttled ${limit}`, (suppressed) => {
      this.log.warn({ limit, ...fields, suppressed }, 'a client sends more in a second than limits allow; it is held back')
    })
  }

  sessionStarted (fields: ConnectionFields): void {
    this.metrics.sessions.inc()
    this.log.debug(fields, 'session started')
  }

  sessionEnded (fields: ConnectionFields): void {
    this.metrics.sessions.dec()
    this.log.debug(fields, 'session ended')
  }

  // ---- publishes -------------------------------------------------------------------------------------------------

  publishReceived (qos: QoS): void {
    this.metrics.publishes[qos]++
  }

  /** @param seconds from the arrival of the publish until it was durable, which is when its answer goes out */
  publishStored (seconds: number): void {
    this.metrics.stored++
    this.metrics.storeSeconds.observe(seconds)
  }

  /** A retransmission at QoS 2 of what is stored already: answered, not stored again. */
  publishDuplicate (): void {
    this.metrics.duplicates++
  }

  /** Not stored, not acknowledged; the connection is closed so that the device sends it again. */
  publishRefused (error: MbsError, fields: ConnectionFields): void {
    this.metrics.refused.labels(error.code).inc()
    this.repeated(error.code, (suppressed) => {
      this.log.warn({ code: error.code, ...fields, help: error.help, suppressed }, error.message)
    })
  }

  /** Not stored and nobody to tell: QoS 0, which promises nothing. */
  publishDropped (error: MbsError, fields: ConnectionFields): void {
    this.metrics.dropped.labels(error.code).inc()
    this.repeated(`dropped ${error.code}`, (suppressed) => {
      this.log.warn({ code: error.code, ...fields, help: error.help, suppressed }, `dropped at QoS 0: ${error.message}`)
    })
  }

  /** Acknowledged when it was received, as its rule says, and then not stored: the event is lost. */
  publishLost (error: MbsError, fields: { client: string }): void {
    this.metrics.dropped.labels(error.code).inc()
    this.repeated(`lost ${error.code}`, (suppressed) => {
      this.log.error({ code: error.code, ...fields, help: error.help, suppressed }, `acknowledged when received, and not stored: ${error.message}`)
    })
  }

  /** Not permitted, and dropped as `access.deniedPublish` says: acknowledged, not stored, sent to no one. */
  publishDenied (topic: string, fields: ConnectionFields): void {
    this.metrics.denied++
    this.repeated('dropped MBS_ERR_ACCESS_PUBLISH', (suppressed) => {
      const { code, help, message } = createError('MBS_ERR_ACCESS_PUBLISH', { topic: JSON.stringify(topic) })
      this.log.warn({ code, ...fields, help, suppressed }, `dropped: ${message}`)
    })
  }

  /** A will that was not stored: its device is gone, the event is lost. */
  willLost (error: MbsError, fields: ConnectionFields): void {
    this.metrics.dropped.labels(error.code).inc()
    this.repeated(`will ${error.code}`, (suppressed) => {
      this.log.error({ code: error.code, ...fields, help: error.help, suppressed }, `a will was lost: ${error.message}`)
    })
  }

  /** A subscription was denied (SUBACK 0x80); its connection stays. */
  subscriptionRefused (error: MbsError, fields: ConnectionFields): void {
    this.metrics.subscriptionsRefused.labels(error.code).inc()
    this.repeated(error.code, (suppressed) => {
      this.log.warn({ code: error.code, ...fields, help: error.help, suppressed }, error.message)
    })
  }

  /** A session that was to be kept is not: it ends with its connection. */
  sessionNotKept (error: MbsError, fields: ConnectionFields): void {
    this.metrics.sessionsNotKept.inc()
    this.repeated(error.code, (suppressed) => {
      this.log.warn({ code: error.code, ...fields, help: error.help, suppressed }, error.message)
    })
  }

  /** A persistent session ended because its client did not come back. */
  sessionExpired (fields: { clientId: string, awayMs: number }): void {
    this.metrics.sessionsExpired.inc()
    this.log.debug(fields, 'session expired')
  }

  /** A message is not kept for a persistent session. Its event is not concerned. */
  messageNotKept (error: MbsError, fields: { clientId: string }): void {
    this.metrics.notKept++
    this.repeated(error.code, (suppressed) => {
      this.log.warn({ code: error.code, ...fields, help: error.help, suppressed }, error.message)
    })
  }

  /** A message was forwarded and not retained. Its event is not concerned. */
  retainedRefused (error: MbsError): void {
    this.metrics.retainedRefused++
    this.repeated(error.code, (suppressed) => {
      this.log.warn({ code: error.code, help: error.help, suppressed }, error.message)
    })
  }

  /** A publish became no event, because a rule says so. @param reason one of a closed list */
  publishLeftOut (reason: 'drop' | 'filter' | 'invalid' | 'schema'): void {
    this.metrics.leftOut[reason]++
  }

  /** The process that evaluates transforms has ended, or was: the event at fault is set aside, the others go on. */
  transformStopped (fields: { reason: string }): void {
    this.metrics.transformsStopped.inc()
    this.repeated('transform stopped', (suppressed) => {
      this.log.warn({ ...fields, suppressed }, 'the process that evaluates transforms was replaced')
    })
  }

  /** Transforms of a device or of a rule took too long again and again: its events are set aside without a try. */
  transformPaused (fields: { whose: 'device' | 'rule', rule: number, clientId?: string, pauseMs: number }): void {
    this.repeated(`transform paused ${fields.whose}`, (suppressed) => {
      this.log.warn({ ...fields, suppressed }, 'transforms take too long; those of this device or rule are not tried for a while')
    })
  }

  /** A message was not sent to a subscriber, because its topic is not allowed to it. */
  deliveryDenied (): void {
    this.metrics.withheld++
  }

  /** A message was not sent to a subscriber that does not read as fast as messages come. */
  deliveryDropped (): void {
    this.metrics.unread++
  }

  // ---- life cycle of clients -------------------------------------------------------------------------------------

  /** The event of something that happened to a session is durable. @param kind one of a closed list */
  lifecycleStored (kind: LifecycleChange['kind']): void {
    this.metrics.lifecycleStored.labels(kind).inc()
  }

  /** Something happened to a session, and there is no event of it. */
  lifecycleLost (kind: LifecycleChange['kind'], error: MbsError, fields: ConnectionFields): void {
    this.metrics.lifecycleLost.labels(kind, error.code).inc()
    this.repeated(`lifecycle ${error.code}`, (suppressed) => {
      const line = { code: error.code, event: kind, ...fields, help: error.help, suppressed }
      this.log.error(line, `a life-cycle event was lost: ${error.message}`)
    })
  }

  // ---- outbox ----------------------------------------------------------------------------------------------------

  outboxOpened (recovery: Recovery, fields: { store: string, directory?: string }): void {
    const { firstSequence, nextSequence, unclean, lostEvents, damage } = recovery
    this.log.info({ ...fields, firstSequence, nextSequence, unclean }, 'outbox open')
    if (lostEvents > 0 || damage !== undefined) this.eventsLost(lostEvents, damage ?? 'unknown')
  }

  /** Stored events cannot be read any more. */
  eventsLost (count: number, reason: string): void {
    this.metrics.lost += count
    const { code, help, message } = createError('MBS_ERR_OUTBOX_DAMAGED', { count, reason })
    this.log.error({ code, count, reason, help }, message)
  }

  outboxFailed (error: MbsError): void {
    this.metrics.storeFailures++
    this.repeated(error.code, (suppressed) => {
      this.log.error({ code: error.code, err: error, help: error.help, suppressed }, error.message)
    })
  }

  outboxRecovered (): void {
    this.log.info('the outbox stores again')
  }

  /** The outbox is full: devices are held back from now on. */
  outboxFull (fields: { bytes: number, maxBytes: number }): void {
    this.repeated('outbox full', (suppressed) => {
      this.log.warn({ ...fields, suppressed }, 'the outbox is full: devices are held back until events are delivered')
    })
  }

  /** Whose numbers are not known any more begins again at 1. @param reason why they are not */
  sequenceForgotten (reason: 'limit' | 'damage'): void {
    this.metrics.sequencesForgotten[reason]++
    this.repeated(`sequence ${reason}`, (suppressed) => {
      this.log.warn({ reason, suppressed }, reason === 'limit'
        ? 'more sources than limits.sequenceSources: the sequence of one begins again'
        : 'saved sequences are damaged: those of some sources begin again')
    })
  }

  publishHeld (): void {
    this.metrics.held++
  }

  // ---- delivery --------------------------------------------------------------------------------------------------

  /** There is no sink yet: events are stored and wait. */
  sinkMissing (): void {
    this.metrics.sinkConfigured.set(0)
    this.log.warn('no sink is configured: events are stored and wait for one')
  }

  sinkConfigured (fields: { sink: string, destination: string }): void {
    this.metrics.sinkConfigured.set(1)
    this.metrics.sinkUp.labels(fields.sink).set(1)
    this.log.info(fields, 'delivering')
  }

  /** Counts an attempt that failed; `delivered` counts the ones that did not. */
  attempt (sink: string, outcome: 'retry' | 'refused' | 'network'): void {
    this.metrics.attempts(sink)[outcome]++
  }

  /** @param seconds from the arrival of the publish until the sink took its event */
  delivered (sink: string, seconds: number): void {
    this.metrics.attempts(sink).delivered++
    this.metrics.deliverySeconds.observe(seconds)
  }

  /** An attempt failed and will be repeated. */
  attemptFailed (sink: string, fields: EventFields & { reason: string, attempts: number, delayMs: number }): void {
    this.metrics.retries.labels(sink).inc()
    this.repeated(`attempt ${sink}`, (suppressed) => {
      this.log.warn({ sink, ...fields, suppressed }, 'the sink did not take an event; it is tried again')
    })
  }

  sinkDown (sink: string, fields: { destination: string, reason: string }): void {
    this.metrics.sinkUp.labels(sink).set(0)
    this.log.warn({ sink, ...fields }, 'the sink takes nothing: probing it with one event at a time, nothing is lost')
  }

  sinkUp (sink: string, fields: { destination: string, downMs: number }): void {
    this.metrics.sinkUp.labels(sink).set(1)
    this.log.info({ sink, ...fields }, 'the sink takes events again')
  }

  /** A sink does not get an event: its filter says so, or it has expired, or a newer one has made it irrelevant. */
  eventNotDelivered (sink: string, reason: 'filter' | 'expired' | 'superseded'): void {
    this.metrics.notDelivered(sink)[reason]++
  }

  /** An event was stored as dead letter, because it cannot be what its rule wants. */
  eventSetAside (fields: Aside & { readonly sequence: number, readonly id: string }): void {
    this.metrics.deadLettered.labels('mapping', fields.reason).inc()
    this.repeated(`set aside ${fields.reason}`, (suppressed) => {
      this.log.warn({ ...fields, suppressed }, 'an event cannot be what its rule wants, and was set aside: see outbox dead-letters')
    })
  }

  deadLettered (sink: string, fields: EventFields & { reason: 'answer' | 'attempts', code: number, attempts: number }): void {
    this.metrics.deadLettered.labels(sink, fields.reason).inc()
    this.repeated(`dead ${sink}`, (suppressed) => {
      this.log.error({ sink, ...fields, suppressed }, 'the sink does not take this event; it is kept as dead letter')
    })
  }

  /** The dead-letter sink took a dead letter. */
  deadLetterForwarded (sink: string): void {
    this.metrics.deadLettersForwarded.labels(sink).inc()
  }

  /** The dead-letter sink did not take a dead letter; it stays on disk. */
  deadLetterFailed (sink: string, fields: { destination: string, reason: string }): void {
    this.repeated(`dead letter sink ${sink}`, (suppressed) => {
      this.log.warn({ sink, ...fields, suppressed }, 'the dead-letter sink did not take a dead letter; it stays on disk')
    })
  }
}
