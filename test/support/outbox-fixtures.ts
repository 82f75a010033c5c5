/** Events, options and a recording telemetry for the tests of the outbox. */
import type { DeadLetter, Event, LetterId } from '../../lib/message.ts'
import type { MbsError } from '../../lib/errors.ts'
import type { OutboxOptions, OutboxTelemetry } from '../../lib/outbox/log-outbox.ts'
import type { Outbox, PageLimit, Receipt, Recovery } from '../../lib/outbox/outbox.ts'

/** Enough for everything. */
export const ALL: PageLimit = { events: 1_000_000, bytes: 1024 * 1024 * 1024 }

/** An event that can be told by its number. */
export function eventOf (number: number, overrides: Partial<Event> = {}): Event {
  return {
    id: `event-${number}`,
    source: `/devices/${number % 10}`,
    type: 'test.event',
    subject: `sensors/${number % 10}`,
    time: '2026-01-01T00:00:00.000Z',
    datacontenttype: 'text/plain',
    extensions: { mqttqos: 1 },
    partitionKey: `device-${number % 10}`,
    data: Buffer.from(`data of ${number}`),
    ...overrides
  }
}

export function receiptOf (number: number): Receipt {
  return { clientId: `device-${number % 10}`, messageId: number % 65536, digest: number * 7, eventId: `event-${number}` }
}

export function letterOf (sequence: number, overrides: Partial<DeadLetter> = {}): DeadLetter {
  return {
    stored: { sequence, storedAt: 1_700_000_000_000 + sequence, event: eventOf(sequence) },
    sink: 'default',
    reason: 'answer',
    attempts: 3,
    code: 422,
    destination: 'http://sink.example/',
    data: Buffer.from('no, thank you'),
    diedAt: 1_700_000_100_000,
    ...overrides
  }
}

/** What names that letter. */
export function idOf (sequence: number): LetterId {
  return { sequence, sink: 'default' }
}

/** Appends the events `from` to `to`, both included, at once. */
export async function appendAll (outbox: Outbox, from: number, to: number): Promise<void> {
  const appends: Array<Promise<number>> = []
  for (let number = from; number <= to; number++) appends.push(outbox.append(eventOf(number)))
  await Promise.all(appends)
}

/** Reads the whole outbox by pages of a few events. */
export async function readAll (outbox: Outbox, from = 1, limit: PageLimit = ALL) {
  const ids: string[] = []
  const sequences: number[] = []
  let lost = 0
  let pages = 0
  for (let next = from; next < outbox.stats().nextSequence; pages++) {
    const page = await outbox.read(next, limit)
    if (page.next <= next && page.events.length === 0) throw new Error(`reading stands still at ${next}`)
    for (const { event, sequence } of page.events) {
      ids.push(event.id)
      sequences.push(sequence)
    }
    lost += page.lost
    next = page.next
  }
  return { ids, sequences, lost, pages }
}

/** The ids of the events `from` to `to`, both included. */
export function idsOf (from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, index) => `event-${from + index}`)
}

/** Numbers `from` to `to`, both included. */
export function rangeOf (from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index)
}

/** Notes what it is told. */
export class RecordedTelemetry implements OutboxTelemetry {
  readonly opened: Recovery[] = []
  readonly failures: MbsError[] = []
  readonly losses: Array<{ count: number, reason: string }> = []
  readonly unexpectedErrors: unknown[] = []
  readonly forgotten: string[] = []
  readonly risks: string[] = []
  recovered = 0
  full = 0
  held = 0
  #recoveries: Array<() => void> = []

  outboxOpened (recovery: Recovery): void { this.opened.push(recovery) }
  outboxFailed (error: MbsError): void { this.failures.push(error) }
  outboxFull (): void { this.full++ }
  publishHeld (): void { this.held++ }
  sequenceForgotten (reason: string): void { this.forgotten.push(reason) }
  eventsLost (count: number, reason: string): void { this.losses.push({ count, reason }) }
  unexpected (error: unknown): void { this.unexpectedErrors.push(error) }
  redisConnected (): void {}
  redisMayLose (durability: string): void { this.risks.push(durability) }

  outboxRecovered (): void {
    this.recovered++
    for (const resolve of this.#recoveries.splice(0)) resolve()
  }

  /** Resolves with the next recovery from a failure. */
  nextRecovery (): Promise<void> {
    return new Promise((resolve) => { this.#recoveries.push(resolve) })
  }
}

export function outboxOptions (overrides: Partial<OutboxOptions> = {}): OutboxOptions {
  return {
    maxBytes: 1024 * 1024 * 1024,
    holdTimeoutMs: 60_000,
    receiptLimit: 1000,
    tailCacheBytes: 8 * 1024 * 1024,
    reopenMinMs: 5,
    reopenMaxMs: 20,
    telemetry: new RecordedTelemetry(),
    ...overrides
  }
}
