/**
 * The group: which programs there are, and which of them delivers which partition. Each says once a second that it is
 * there, keeps the leases of its partitions, gives away what is another's and takes what is its own and free.
 *
 * Invariant: a program that has not been able to keep a lease stops delivering before anybody else can take it. Where
 * its clock or Redis' goes wrong two may deliver for a while: both in order, from what both know to be delivered, so
 * that events are repeated and none is left out.
 */
import type { GroupOutbox } from './group-outbox.ts'
import { assign } from './assignment.ts'
import type { PartitionLog } from './partition-log.ts'
import { memberKeys } from './places.ts'
import { leaseScript, memberScript, releaseScript } from './scripts.ts'

/** How long a lease lasts that is not renewed; who has it stops this much before its end. */
export const LEASE_MS = 10_000
const STOP_BEFORE_MS = 2000
const BEAT_MS = 1000
const CHECK_MS = 250

export type LeaveReason = 'handover' | 'lost' | 'closing'

export interface MembersOptions {
  readonly group: GroupOutbox
  /** What this program says of itself: for people. */
  readonly facts: Readonly<Record<string, string | number>>
  /** Begins to deliver a partition. Rejects where it cannot. */
  readonly take: (partition: number, log: PartitionLog) => Promise<void>
  /** Ends it; resolves when nothing is delivered any more. Never rejects. */
  readonly leave: (partition: number, reason: LeaveReason) => Promise<void>
  readonly onError: (error: unknown) => void
}

interface Owned {
  readonly log: PartitionLog
  renewedAt: number
  leaving: Promise<void> | undefined
}

export class Members {
  readonly #options: MembersOptions
  readonly #owned = new Map<number, Owned>()
  #timer: NodeJS.Timeout | undefined
  #check: NodeJS.Timeout | undefined
  #beating: Promise<void> | undefined
  #isClosed = false

  constructor (options: MembersOptions) {
    this.#options = options
  }

  /** Joins the group; resolves after the first round, when what was free has been taken. Never rejects. */
  async start (): Promise<void> {
    this.#check = setInterval(() => { this.#stopExpired() }, CHECK_MS)
    await this.#beat()
  }

  /** Gives everything away and leaves the group. Never rejects. */
  async close (): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#beating
    await Promise.all([...this.#owned.keys()].map((partition) => this.#leave(partition, 'closing')))
    clearInterval(this.#check)
    const { group } = this.#options
    const { members, facts } = memberKeys(group.keyPrefix)
    try {
      await group.client.zrem(members, group.member)
      await group.client.hdel(facts, group.member)
    } catch {
      // It is forgotten by itself.
    }
  }

  #beat (): Promise<void> {
    this.#beating = this.#round().catch((error: unknown) => { this.#options.group.failed(error) }).then(() => {
      if (!this.#isClosed) this.#timer = setTimeout(() => { void this.#beat() }, BEAT_MS)
    })
    return this.#beating
  }

  async #round (): Promise<void> {
    const { group, facts } = this.#options
    const keys = memberKeys(group.keyPrefix)
    const members = await memberScript.run(
      group.client, [keys.members, keys.facts], [group.member, JSON.stringify(facts), LEASE_MS]
    )
    await Promise.all([...this.#owned].map(([partition, owned]) => this.#renew(partition, owned)))
    const owners = await group.refresh()
    const wanted = assign(members.map(String).sort(), group.partitions)
    await Promise.all(owners.map(async (owner, partition) => {
      const isMine = wanted[partition] === group.member
      if (!isMine && this.#owned.has(partition)) void this.#leave(partition, 'handover')
      if (isMine && owner === undefined && !this.#owned.has(partition)) await this.#take(partition)
    }))
    // Where replicas have to confirm, a primary that answers is not enough.
    await group.confirmed()
    group.works()
  }

  async #renew (partition: number, owned: Owned): Promise<void> {
    const { group } = this.#options
    const askedAt = performance.now()
    const kept = await leaseScript.run(group.client, [group.keysOf(partition).lease], [group.member, LEASE_MS])
    if (kept === 1) owned.renewedAt = askedAt
    else void this.#leave(partition, 'lost')
  }

  async #take (partition: number): Promise<void> {
    const { group, take, onError } = this.#options
    const askedAt = performance.now()
    const taken = await leaseScript.run(group.client, [group.keysOf(partition).lease], [group.member, LEASE_MS])
    if (taken !== 1 || this.#isClosed) return
    const log = group.partition(partition, group.member)
    this.#owned.set(partition, { log, renewedAt: askedAt, leaving: undefined })
    await take(partition, log).catch((error: unknown) => {
      onError(error)
      return this.#leave(partition, 'lost')
    })
  }

  #leave (partition: number, reason: LeaveReason): Promise<void> {
    const owned = this.#owned.get(partition)
    if (owned === undefined) return Promise.resolve()
    owned.leaving ??= this.#end(partition, owned, reason)
    return owned.leaving
  }

  async #end (partition: number, { log }: Owned, reason: LeaveReason): Promise<void> {
    const { group, leave } = this.#options
    if (reason === 'lost') log.lose()
    await leave(partition, reason)
    await log.close()
    try {
      if (reason !== 'lost') await releaseScript.run(group.client, [group.keysOf(partition).lease], [group.member])
    } catch {
      // It ends by itself.
    }
    this.#owned.delete(partition)
  }

  #stopExpired (): void {
    const before = performance.now() - LEASE_MS + STOP_BEFORE_MS
    for (const [partition, { renewedAt, log }] of this.#owned) {
      if (renewedAt > before) continue
      // Also where it is being handed over: what is still under way there has no lease any more.
      log.lose()
      void this.#leave(partition, 'lost')
    }
  }
}
