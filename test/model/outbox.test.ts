/**
 * Random actions against the outbox and a small model of it: appends, reads, cursors, trims, dead letters, failing
 * writes, crashes (a copy of the files as they are) and restarts, with and without numbers for the events of each
 * source. The seed is printed; MBS_TEST_SEED repeats a run.
 */
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { DiskStore } from '../../lib/outbox/disk-store.ts'
import { LogOutbox } from '../../lib/outbox/log-outbox.ts'
import type { StoredEvent } from '../../lib/message.ts'
import type { Receipt } from '../../lib/outbox/outbox.ts'
import { FaultyStore } from '../support/outbox-faulty-store.ts'
import { ALL, eventOf, idOf, letterOf, outboxOptions, receiptOf, RecordedTelemetry } from '../support/outbox-fixtures.ts'
import { crashCopy } from '../support/outbox-files.ts'
import { seededRandom } from '../support/random.ts'

const ROUNDS = 4
const ACTIONS = 120
const RECEIPT_LIMIT = 40
/** A sequence that a device has given, and that looks like one of the outbox. */
const OWN_SEQUENCE = '0000000000777777'

/** What must be there, and what may be. */
class Model {
  /** Acknowledged, in order, and not trimmed. */
  acknowledged: string[] = []
  /** Refused: each may have been stored all the same. */
  readonly refused = new Set<string>()
  readonly receipts: Receipt[] = []
  readonly letters = new Map<number, number>()
  /** Acknowledged events that were set aside at their append: dead letters from then on. */
  readonly aside: string[] = []
  cursor = 0
  numbers = 0
  /** What was ever read, refused or not, by its place: the source and the sequence. */
  readonly read = new Map<number, { source: string, sequence: unknown, isNumbered: boolean }>()
  /** Numbers that were appended while nothing was numbered. */
  readonly unnumbered = new Set<number>()
}

class Run {
  readonly model = new Model()
  readonly #t: Test
  readonly #random: () => number
  readonly #directory: string
  #generation = 0
  #numbers = true
  #store!: FaultyStore
  #telemetry!: RecordedTelemetry
  #outbox!: LogOutbox

  constructor (t: Test, seed: number) {
    this.#t = t
    this.#random = seededRandom(seed)
    this.#directory = t.testdir()
  }

  #below (limit: number): number {
    return Math.floor(this.#random() * limit)
  }

  get #files (): string {
    return join(this.#directory, String(this.#generation))
  }

  async open (): Promise<void> {
    this.#store = new FaultyStore(new DiskStore(this.#files))
    this.#telemetry = new RecordedTelemetry()
    const options = outboxOptions({
      telemetry: this.#telemetry,
      tailCacheBytes: this.#below(2) * 20_000,
      receiptLimit: RECEIPT_LIMIT,
      ...(this.#numbers && { sequences: { limit: 1000, unsavedEvents: 1 + this.#below(100) } }),
      reopenMinMs: 1,
      reopenMaxMs: 2
    })
    this.#outbox = new LogOutbox(this.#store, options)
    const recovery = await this.#outbox.open()
    this.#t.equal(recovery.lostEvents, 0, 'nothing is lost')
    const { receipts, refused } = this.model
    const found = recovery.receipts.filter(({ eventId }) => !refused.has(eventId))
    this.#t.same(found, receipts.slice(receipts.length - found.length), 'the newest receipts are there')
    // Those of refused publishes count as well where they are there.
    this.#t.ok(recovery.receipts.length >= Math.min(RECEIPT_LIMIT, receipts.length), `${recovery.receipts.length} receipts`)
  }

  async close (): Promise<void> {
    await this.#outbox.close()
  }

  async act (): Promise<void> {
    const action = this.#random()
    if (action < 0.45) await this.#append()
    else if (action < 0.6) await this.check()
    else if (action < 0.7) await this.#trim()
    else if (action < 0.8) await this.#letter()
    else if (action < 0.88) await this.#failNextWrite()
    else if (action < 0.94) await this.#restart()
    else await this.#crash()
  }

  /** Every acknowledged event is there, once, in order; nothing else is but what was refused. */
  async check (): Promise<void> {
    const { model } = this
    const ids: string[] = []
    let sequence = 0
    let lost = 0
    for (let next = 1; next < this.#outbox.stats().nextSequence;) {
      const page = await this.#outbox.read(next, { events: 1 + this.#below(40), bytes: 1 + this.#below(20_000) })
      for (const stored of page.events) {
        if (stored.sequence <= sequence) this.#t.fail(`sequence ${stored.sequence} behind ${sequence}`)
        sequence = stored.sequence
        this.#note(stored)
        ids.push(stored.event.id)
      }
      lost += page.lost
      next = page.next
    }
    this.#t.equal(lost, 0)
    const isCertain = (id: string) => !model.refused.has(id)
    const certain = ids.filter(isCertain)
    // A trim leaves whole blocks: what is kept begins somewhere before the cursor.
    this.#t.same(certain.slice(certain.length - model.acknowledged.length), model.acknowledged, 'what was acknowledged')
    const letters = await this.#outbox.readDeadLetters(1, ALL)
    this.#t.same(letters.filter(({ sink }) => sink === 'default').map(({ stored, attempts }) => [stored.sequence, attempts]),
      [...model.letters].sort(([one], [other]) => one - other), 'the dead letters of the sink')
    const aside = letters.filter(({ sink }) => sink === 'mapping').map(({ stored }) => stored.event.id)
    this.#t.same(aside.filter(isCertain), model.aside.filter(isCertain), 'what was set aside at its append')
    this.#t.equal(this.#outbox.stats().deadLetters, letters.length)
    const saved = await this.#outbox.loadCursor('main')
    this.#t.equal(saved?.lowest ?? 0, model.cursor, 'the cursor')
    this.#checkSequences()
  }

  #note ({ sequence: at, event: { id, source, extensions, handling } }: StoredEvent): void {
    const { sequence } = extensions
    const number = Number(id.slice('event-'.length))
    const isOwn = number % 17 === 0
    if (isOwn) this.#t.equal(sequence, OWN_SEQUENCE, 'a sequence of its own stays')
    const isNumbered = !isOwn && handling?.aside === undefined && !this.model.unnumbered.has(number)
    const known = this.model.read.get(at)
    if (known !== undefined) this.#t.equal(sequence, known.sequence, 'a number never changes')
    this.model.read.set(at, { source, sequence, isNumbered })
  }

  /** The numbers of each source are 1 to n, also of what has been trimmed or refused and stored all the same. */
  #checkSequences (): void {
    const bySource = new Map<string, unknown[]>()
    for (const [, { source, sequence, isNumbered }] of [...this.model.read].sort(([one], [other]) => one - other)) {
      const numbers = bySource.get(source) ?? []
      if (isNumbered) numbers.push(sequence)
      bySource.set(source, numbers)
    }
    for (const [source, numbers] of bySource) {
      const expected = numbers.map((_, index) => String(index + 1).padStart(16, '0'))
      this.#t.same(numbers, expected, `the sequences of ${source}`)
    }
  }

  async #append (): Promise<void> {
    const { model } = this
    const count = 1 + this.#below(30)
    const results = Array.from({ length: count }, async () => {
      const number = ++model.numbers
      const receipt = receiptOf(number)
      const data = Buffer.alloc(this.#below(this.#random() < 0.05 ? 200_000 : 300), number)
      if (!this.#numbers) model.unnumbered.add(number)
      const event = eventOf(number, {
        data,
        ...(number % 17 === 0 && { extensions: { sequence: OWN_SEQUENCE } }),
        ...(number % 13 === 0 && { handling: { aside: { reason: 'missing', detail: 'a field' } } })
      })
      try {
        await this.#outbox.append(event, receipt)
        model.acknowledged.push(`event-${number}`)
        model.receipts.push(receipt)
        if (number % 13 === 0) model.aside.push(`event-${number}`)
      } catch {
        model.refused.add(`event-${number}`)
      }
    })
    await Promise.all(results)
    await this.#recovered()
  }

  async #trim (): Promise<void> {
    const { model } = this
    const page = await this.#outbox.read(Math.max(1, model.cursor), { events: 1 + this.#below(50), bytes: ALL.bytes })
    const before = page.next
    for (const stored of page.events) this.#note(stored)
    await this.#outbox.saveCursor('main', { lowest: before, beyond: new Uint8Array(0) })
    await this.#outbox.trim(before)
    model.cursor = before
    const taken = new Set(page.events.map(({ event }) => event.id))
    model.acknowledged = model.acknowledged.filter((id) => !taken.has(id))
  }

  async #letter (): Promise<void> {
    const { letters } = this.model
    const stored = this.#outbox.stats().nextSequence - 1
    if (stored === 0) return
    const sequence = 1 + this.#below(Math.min(50, stored))
    if (this.#random() < 0.7) {
      const attempts = this.#below(10)
      await this.#outbox.putDeadLetter(letterOf(sequence, { attempts, data: Buffer.alloc(this.#below(768)) }))
      letters.set(sequence, attempts)
    } else {
      await this.#outbox.deleteDeadLetters([sequence, sequence + 1].map(idOf))
      letters.delete(sequence)
      letters.delete(sequence + 1)
    }
  }

  async #failNextWrite (): Promise<void> {
    const fault = this.#random() < 0.5 ? 'before' : 'after'
    let faults = 1 + this.#below(3)
    this.#store.fault = () => faults-- > 0 ? fault : 'none'
    await this.#append()
    this.#store.fault = () => 'none'
  }

  async #recovered (): Promise<void> {
    if (this.#outbox.stats().status === 'failed') await this.#telemetry.nextRecovery()
  }

  async #restart (): Promise<void> {
    await this.close()
    this.#numbers = this.#random() < 0.7
    await this.open()
  }

  /** Goes on with what the files hold now, some appends being under way. */
  async #crash (): Promise<void> {
    const underWay = this.#append()
    const from = this.#files
    this.#generation++
    // Copied at once: whether the appends are in it is not known, so they count as refused.
    crashCopy(from, this.#files)
    const certain = [...this.model.acknowledged]
    await underWay
    for (const id of this.model.acknowledged.splice(certain.length)) {
      this.model.refused.add(id)
      this.model.receipts.pop()
    }
    await this.close()
    this.#numbers = this.#random() < 0.7
    await this.open()
  }
}

const seeds = process.env.MBS_TEST_SEED === undefined
  ? Array.from({ length: ROUNDS }, () => Math.floor(Math.random() * 2 ** 32))
  : [Number(process.env.MBS_TEST_SEED)]

for (const seed of seeds) {
  void test(`the outbox does what its model does (MBS_TEST_SEED=${seed})`, async (t) => {
    const run = new Run(t, seed)
    await run.open()
    for (let action = 0; action < ACTIONS; action++) {
      await run.act()
      if (!t.passing()) break
    }
    await run.check()
    await run.close()
  })
}
