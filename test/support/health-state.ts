/** A state of the program that a test changes at will; it begins as started, able to store, and with its sink up. */
import type { HealthState, SinkHealth } from '../../lib/admin/health.ts'
import type { OutboxStats } from '../../lib/outbox/outbox.ts'

export class TestHealthState implements HealthState {
  isStarted = true
  isDraining = false
  stats: OutboxStats = {
    status: 'ready', events: 3, bytes: 1200, maxBytes: 4000, nextSequence: 4, deadLetters: 1, held: 0
  }

  sinkHealth: SinkHealth = 'up'

  started (): boolean { return this.isStarted }
  draining (): boolean { return this.isDraining }
  outbox (): OutboxStats { return this.stats }
  sinks () { return new Map([['default', this.sinkHealth]]) }

  setOutbox (status: OutboxStats['status']): void {
    this.stats = { ...this.stats, status }
  }
}
