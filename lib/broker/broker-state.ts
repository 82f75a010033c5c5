/**
 * What the broker keeps for clients, all of it bounded: sessions, their subscriptions and packet identifiers, what
 * waits for them, retained messages. It stands in for Aedes' own where that has no bounds.
 *
 * With a journal, persistent sessions and retained messages are on disk as well, and read back before anything else
 * happens. What is in memory stays the truth.
 */
import { createError, isMbsError, reasonOf, type MbsError } from '../errors.ts'
import type { Telemetry } from '../telemetry/telemetry.ts'
import type { AedesClient, AedesInternals, GrantedSubscription, OutgoingPacket } from './aedes-types.ts'
import type { Connection, StateLimits } from './contract.ts'
import { IdentityLimit } from './identity-limit.ts'
import { JournalAhead } from './journal-ahead.ts'
import type { Journal } from './journal.ts'
import { OutgoingQueues } from './outgoing-queues.ts'
import { RetainedMessages } from './retained-messages.ts'
import { Sessions } from './sessions.ts'
import { StateJournal } from './state-journal.ts'
import { recover, type Recovered, type RecoveredSession } from './state-recovery.ts'
import { Subscriptions } from './subscriptions.ts'
import { UnreleasedPublishes } from './unreleased-publishes.ts'

/** In the place of the QoS that was granted [MQTT-3.9.3-2]. */
const REFUSED = 0x80

/** How much of it there is; bytes with what keeping them costs. */
export interface BrokerStats {
  readonly persistentSessions: number
  readonly queuedMessages: number
  readonly queuedBytes: number
  readonly retainedMessages: number
  readonly retainedBytes: number
  readonly subscriptionBytes: number
}

export class BrokerState {
  readonly sessions: Sessions
  readonly subscriptions: Subscriptions
  readonly unreleased: UnreleasedPublishes
  readonly identityLimit: IdentityLimit
  /** What publishes wait for; undefined: nothing. */
  readonly writeAhead: JournalAhead | undefined
  readonly #outgoing: OutgoingQueues
  readonly #retained: RetainedMessages
  readonly #telemetry: Telemetry
  readonly #journal: Journal | undefined
  #restored: Recovered['sessions'] = new Map()

  /** @param journal not opened; where sessions are kept over restarts */
  constructor (limits: StateLimits, telemetry: Telemetry, journal?: Journal) {
    const changes = journal === undefined ? undefined : new StateJournal(journal)
    this.#telemetry = telemetry
    this.#journal = journal
    this.identityLimit = new IdentityLimit(limits.connectionsPerIdentity)
    const dropped = (clientId: string, error: MbsError): void => { telemetry.messageNotKept(error, { clientId }) }
    this.#outgoing = new OutgoingQueues(limits, dropped, changes)
    this.#retained = new RetainedMessages(limits, (error) => { telemetry.retainedRefused(error) }, changes)
    this.unreleased = new UnreleasedPublishes(changes)
    this.sessions = new Sessions({
      max: limits.sessions,
      expiryMs: limits.sessionExpiryMs,
      isEmpty: (id) => {
        return this.subscriptions.countOf(id) === 0 && this.#outgoing.isEmpty(id) && this.unreleased.isEmpty(id)
      },
      forget: (id) => {
        this.subscriptions.forget(id)
        this.#outgoing.forget(id)
        this.unreleased.forget(id)
      },
      expired: (clientId, awayMs) => { telemetry.sessionExpired({ clientId, awayMs }) },
      journal: changes
    })
    this.subscriptions = new Subscriptions({
      subscriptionsPerClient: limits.subscriptionsPerClient,
      subscriptionBytes: limits.subscriptionBytes,
      isKept: (clientId) => this.sessions.has(clientId),
      journal: changes
    })
    if (changes === undefined) return
    const { sessions, unreleased } = this
    this.writeAhead = new JournalAhead({
      journal: changes, outgoing: this.#outgoing, retained: this.#retained, unreleased, sessions
    })
  }

  /**
   * Reads back what there was before a restart; without a journal, nothing. Before `attach`.
   * @throws MBS_ERR_SESSIONS_DIRECTORY, _LOCKED, _CORRUPT, _VERSION
   */
  async open (): Promise<void> {
    if (this.#journal === undefined) return
    const startedAt = performance.now()
    const journal = this.#journal
    const { database, repaired } = await journal.open()
    const directory = journal.location
    const found = await recover(database, directory).catch(async (cause: unknown) => {
      await journal.close()
      throw isMbsError(cause) ? cause : createError('MBS_ERR_SESSIONS_DIRECTORY', { directory, reason: reasonOf(cause) }, cause)
    })
    this.#takeUp(found, journal)
    if (found.lost > 0 || repaired !== undefined) {
      this.#telemetry.sessionRecordsLost(found.lost, repaired === undefined ? 'damaged' : `the database was repaired (${repaired})`)
    }
    this.#telemetry.sessionStoreOpened({
      directory,
      sessions: this.sessions.count,
      queuedMessages: this.#outgoing.count,
      retainedMessages: this.#retained.count,
      tookMs: Math.round(performance.now() - startedAt)
    })
  }

  #takeUp ({ sessions, retained, lastSerial, useless }: Recovered, journal: Journal): void {
    for (const key of useless) journal.delete(key)
    const kept = this.sessions.restore(sessions)
    for (const [clientId, { subscriptions, unreleased }] of sessions) {
      this.subscriptions.restore(clientId, subscriptions)
      this.unreleased.restore(clientId, unreleased)
    }
    this.#outgoing.restore(sessions, lastSerial)
    this.#retained.restore(retained)
    // Those that have ended take with them what they had.
    for (const clientId of sessions.keys()) if (!kept.has(clientId)) this.sessions.forget(clientId)
    for (const clientId of kept) this.#restored.set(clientId, sessions.get(clientId) as RecoveredSession)
  }

  /** Takes the place of what Aedes has. */
  async attach (persistence: AedesInternals['persistence']): Promise<void> {
    for (const [id, { subscriptions }] of this.#restored) {
      if (subscriptions.length > 0) await persistence.addSubscriptions({ id }, subscriptions)
    }
    this.#restored = new Map()
    this.unreleased.attach(persistence)
    this.#outgoing.attach(persistence)
    this.#retained.attach(persistence)
    this.subscriptions.attach(persistence)
    this.sessions.attach(persistence)
    this.writeAhead?.attach(persistence)
  }

  /** Some of these filters were granted, or none; the retained messages of those that were are searched next. */
  subscribed (connection: Connection, granted: readonly GrantedSubscription[]): void {
    this.#retained.subscribed(connection, granted)
    if (granted.every(({ qos }) => qos === REFUSED)) connection.subscribeSettled()
  }

  /** A message goes out to a persistent session as it was published. */
  forwarded (client: AedesClient, packet: OutgoingPacket): void {
    this.#outgoing.forwarded(client, packet)
  }

  stats (): BrokerStats {
    return {
      persistentSessions: this.sessions.count,
      queuedMessages: this.#outgoing.count,
      queuedBytes: this.#outgoing.bytes,
      retainedMessages: this.#retained.count,
      retainedBytes: this.#retained.bytes,
      subscriptionBytes: this.subscriptions.bytes
    }
  }

  /** Ends its timers; resolves when all that changed is on disk, where it is kept there. */
  async close (): Promise<void> {
    this.sessions.close()
    await this.#journal?.close()
  }
}
