/** What the rest of the program asks of delivery, whether it goes through one log or through those of a group. */
import type { Event } from '../message.ts'
import type { DeliveryStats } from '../telemetry/telemetry.ts'
import type { SinkState } from './sink-health.ts'

export interface DeliveryStage {
  /** How each sink is; `none`: nothing can be sent to it yet. */
  states (): ReadonlyMap<string, SinkState | 'none'>
  /** Undelivered events and attempts under way, for each sink. */
  stats (): ReadonlyMap<string, DeliveryStats>
  /** Begins where each sink left off. Rejects when a cursor cannot be read. */
  start (): Promise<void>
  /** The outbox has stored an event that its mapping set aside. @param place what the append resolved with */
  setAside (place: number, event: Event): void
  /** Resolves when every sink is done with a stored event: it has taken it, or never will. */
  settled (place: number): Promise<void>
  /** Ends all of it within a time; see `Dispatcher.close`. Never rejects. */
  close (graceMs: number): Promise<void>
}
