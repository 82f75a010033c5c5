/**
 * Where things are in Redis, and which place an event has. The outbox of a group is divided into partitions, each with
 * a log of its own, in one slot of a Cluster; an event belongs to the partition of its key, whoever stores it. Pure.
 */
import { crc32 } from 'node:zlib'

/** The keys of one partition. */
export interface PartitionKeys {
  /** Hash: where the log begins and ends, how large it is, and on which run of which server that was written. */
  readonly meta: string
  /** Stream: the events, each with its sequence as identifier. */
  readonly log: string
  /** Hash and list: what is remembered of publishes, by client and packet identifier, and in which order. */
  readonly receipts: string
  readonly ring: string
  /** Sorted set and hash: the dead letters by sequence, and what they are. */
  readonly letters: string
  readonly letter: string
  /** Hash: the cursor of each sink. */
  readonly cursors: string
  /** Who delivers it; ends by itself. */
  readonly lease: string
}

export function partitionKeys (prefix: string, partition: number): PartitionKeys {
  const at = (what: string): string => `${prefix}{outbox:${partition}}:${what}`
  return {
    meta: at('meta'),
    log: at('log'),
    receipts: at('receipts'),
    ring: at('ring'),
    letters: at('letters'),
    letter: at('letter'),
    cursors: at('cursors'),
    lease: at('lease')
  }
}

/** What one program has stored last in a partition; ends by itself. */
export function batchKey (prefix: string, partition: number, member: string): string {
  return `${prefix}{outbox:${partition}}:batch:${member}`
}

/** Hash: how the outbox is divided. */
export function layoutKey (prefix: string): string {
  return `${prefix}outbox`
}

/** Sorted set and hash: the programs of the group by when they were there last, and what they say of themselves. */
export function memberKeys (prefix: string): { readonly members: string, readonly facts: string } {
  return { members: `${prefix}{group}:members`, facts: `${prefix}{group}:facts` }
}

/** The channel on which is said which partition has something new; channels are those of all databases. */
export function newsChannel (prefix: string, database: number): string {
  return database === 0 ? `${prefix}news` : `${prefix}news@${database}`
}

/** Whose events these are. */
export function partitionOf (partitionKey: string, partitions: number): number {
  return crc32(partitionKey) % partitions
}

/** More partitions than there may be. */
const PLACES = 256

/** One number for the place of an event in the whole outbox. */
export function toPlace (partition: number, sequence: number): number {
  return sequence * PLACES + partition
}

export function fromPlace (place: number): { readonly partition: number, readonly sequence: number } {
  return { partition: place % PLACES, sequence: Math.floor(place / PLACES) }
}

/** When sequences could begin at 1: 2026-01-01. */
const EPOCH_MS = 1_767_225_600_000
const SEQUENCES_A_SECOND = 65_536

/**
 * The lowest sequence of a log that begins now, or goes on after a server has lost what it had: higher than any that
 * was given before, so that none is given twice, whatever was lost.
 */
export function sequenceFloor (nowMs: number): number {
  return 1 + Math.max(0, Math.floor((nowMs - EPOCH_MS) / 1000)) * SEQUENCES_A_SECOND
}
