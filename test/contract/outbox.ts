/** What every outbox promises. Each implementation runs it: see lib/outbox/outbox.ts for the words. */
import { test, type Test } from 'tap'
import type { DeadLetter } from '../../lib/message.ts'
import type { OutboxOptions } from '../../lib/outbox/log-outbox.ts'
import type { Outbox } from '../../lib/outbox/outbox.ts'
import {
  ALL, appendAll, eventOf, idOf, idsOf, letterOf, outboxOptions, rangeOf, readAll, receiptOf, RecordedTelemetry
} from '../support/outbox-fixtures.ts'

/** Makes an outbox that is not open yet, with nothing in it. */
export type OutboxFactory = (test: Test, options: OutboxOptions) => Outbox

/** Where stores differ, and may. */
export interface OutboxTraits {
  /** It can number the events of each source. */
  readonly numbers: boolean
  /** Trimming removes whole blocks; otherwise every single event. */
  readonly blocks: boolean
}

export function outboxContract (
  name: string, create: OutboxFactory, { numbers, blocks }: OutboxTraits = { numbers: true, blocks: true }
): void {
  const opened = async (test: Test, overrides: Partial<OutboxOptions> = {}): Promise<Outbox> => {
    const outbox = create(test, outboxOptions(overrides))
    await outbox.open()
    test.teardown(() => outbox.close())
    return outbox
  }

  void test(`${name}: opens empty, at sequence 1`, async (t) => {
    const telemetry = new RecordedTelemetry()
    const outbox = create(t, outboxOptions({ telemetry }))
    t.teardown(() => outbox.close())
    const recovery = await outbox.open()
    t.match(recovery, { firstSequence: 1, nextSequence: 1, lostEvents: 0, unclean: false, receipts: [] })
    t.notOk('damage' in recovery)
    t.match(outbox.stats(), { status: 'ready', events: 0, bytes: 0, deadLetters: 0, held: 0, nextSequence: 1 })
    t.same(await outbox.read(1, ALL), { events: [], next: 1, lost: 0 })
    t.same(await outbox.readMany([1, 2]), [])
    t.equal(telemetry.opened.length, 1)
    t.equal(await outbox.open(), recovery, 'opening again changes nothing')
  })

  void test(`${name}: gives back every part of an event as it was`, async (t) => {
    const outbox = await opened(t, { tailCacheBytes: 0 })
    const before = Date.now()
    const events = [
      eventOf(1),
      eventOf(2, { data: Buffer.alloc(0), extensions: {} }),
      {
        id: 'ü€😀',
        source: '/ä',
        type: 't',
        time: '',
        partitionKey: '\u0000\n"',
        extensions: { a: 'ß', b: -1, c: true },
        dataschema: 'urn:x',
        data: Buffer.from([0, 255, 128, 10])
      },
      eventOf(4, { subject: '', datacontenttype: '' }),
      eventOf(5, { data: Buffer.alloc(3 * 1024 * 1024, 7) })
    ]
    t.same(await Promise.all(events.map((event) => outbox.append(event))), events.map((_, index) => index + 1))
    const page = await outbox.read(1, ALL)
    t.same(page.events.map(({ event }) => event), events)
    for (const [index, { event }] of page.events.entries()) {
      t.same(Object.keys(event).sort(), Object.keys(events[index] ?? {}).sort(), 'no attribute is added or left out')
    }
    t.same(page.events.map(({ sequence }) => sequence), [1, 2, 3, 4, 5])
    t.ok(page.events.every(({ storedAt }) => storedAt >= before && storedAt <= Date.now()))
  })

  void test(`${name}: stores in the order of the calls, and resolves in it`, async (t) => {
    const outbox = await opened(t)
    const resolved: number[] = []
    await Promise.all(rangeOf(1, 5000).map(async (number) => {
      await outbox.append(eventOf(number))
      resolved.push(number)
    }))
    t.same(resolved, rangeOf(1, 5000))
    const { ids, sequences, lost } = await readAll(outbox)
    t.same(ids, idsOf(1, 5000))
    t.same(sequences, rangeOf(1, 5000))
    t.equal(lost, 0)
  })

  void test(`${name}: shows an event to no reader before its append has resolved`, async (t) => {
    const outbox = await opened(t)
    const append = outbox.append(eventOf(1))
    t.equal(outbox.stats().nextSequence, 1)
    t.same((await outbox.read(1, ALL)).events, [])
    await append
    t.equal(outbox.stats().nextSequence, 2)
    t.equal((await outbox.read(1, ALL)).events.length, 1)
  })

  /** What a store that cannot number the events of a source does not promise; the configuration says so. */
  const numbered = (title: string, run: (test: Test) => Promise<void>): void => { if (numbers) void test(title, run) }

  numbered(`${name}: numbers the events of each source from 1 on, where it is asked to`, async (t) => {
    for (const tailCacheBytes of [8 * 1024 * 1024, 0]) {
      const outbox = await opened(t, { tailCacheBytes, maxBytes: 50_000, sequences: { limit: 100, unsavedEvents: 10 } })
      const given = { device: '0000000000000007', other: 'seven' }
      const aside = { aside: { reason: 'missing', detail: 'a field' } } as const
      const events = [
        eventOf(1, { source: '/a' }),
        eventOf(2, { source: '/b', extensions: {} }),
        eventOf(3, { source: '/a', data: Buffer.alloc(60_000) }),
        eventOf(4, { source: '/a', extensions: { bad: 1n as unknown as number } }),
        eventOf(5, { source: '/a', extensions: { sequence: given.device } }),
        eventOf(6, { source: '/a', extensions: { sequence: given.other } }),
        eventOf(7, { source: '/a', handling: aside }),
        eventOf(8, { source: '/a', handling: { ack: 'received' } })
      ]
      await Promise.allSettled(events.map((event) => outbox.append(event)))
      await outbox.append(events[0]!)
      t.same(events[0]!.extensions, { mqttqos: 1 }, 'what was handed in is not changed')
      const { events: stored } = await outbox.read(1, ALL)
      t.same(stored.map(({ event: { id, extensions } }) => [id, extensions['sequence']]), [
        ['event-1', '0000000000000001'], ['event-2', '0000000000000001'],
        ['event-5', given.device], ['event-6', given.other],
        ['event-7', undefined], ['event-8', '0000000000000002'], ['event-1', '0000000000000003']
      ], 'one that is refused takes no number, nor does one that has a sequence or is set aside')
      t.same(stored.at(-2)!.event.handling, { ack: 'received' })
      t.same((await outbox.readMany([2]))[0]!.event.extensions, { sequence: '0000000000000001' })
      await outbox.trim(100)
      await outbox.append(eventOf(9, { source: '/a' }))
      t.equal((await outbox.read(1, ALL)).events[0]!.event.extensions['sequence'], '0000000000000004', 'behind a trim')
      await outbox.close()
    }
    const without = await opened(t)
    await without.append(eventOf(1))
    t.notOk('sequence' in (await without.read(1, ALL)).events[0]!.event.extensions)
  })

  numbered(`${name}: an event that waits for room gets the number of the place that it takes`, async (t) => {
    const outbox = await opened(t, { maxBytes: 2500, holdTimeoutMs: 20, sequences: { limit: 9, unsavedEvents: 1000 } })
    const append = (number: number, bytes: number) =>
      outbox.append(eventOf(number, { source: '/a', data: Buffer.alloc(bytes) }))
    const results = await Promise.allSettled([append(1, 900), append(2, 900), append(3, 900), append(4, 900)])
    t.same(results.map(({ status }) => status), ['fulfilled', 'fulfilled', 'rejected', 'rejected'])
    await append(5, 0)
    const { events } = await outbox.read(1, ALL)
    t.same(events.map(({ event: { id, extensions } }) => [id, Number(extensions['sequence'])]),
      [['event-1', 1], ['event-2', 2], ['event-5', 3]])
  })

  for (const [where, tailCacheBytes] of [['from memory', 8 * 1024 * 1024], ['from the store', 0]] as const) {
    void test(`${name}: reads pages ${where} that end before a bound is passed, and hold one event at least`, async (t) => {
      const outbox = await opened(t, { tailCacheBytes })
      for (let batch = 0; batch < 10; batch++) await appendAll(outbox, batch * 10 + 1, batch * 10 + 10)
      for (const events of [1, 3, 7, 10, 64]) {
        const { ids, pages } = await readAll(outbox, 1, { events, bytes: ALL.bytes })
        t.same(ids, idsOf(1, 100), `pages of ${events}`)
        t.equal(pages, Math.ceil(100 / events))
      }
      const size = outbox.stats().bytes / 100
      for (const bytes of [1, Math.ceil(size * 4.5), Math.ceil(size * 25)]) {
        const { ids, pages } = await readAll(outbox, 1, { events: ALL.events, bytes })
        t.same(ids, idsOf(1, 100), `pages of ${bytes} bytes`)
        t.ok(pages >= 100 * size / Math.max(bytes, size) - 1, `${pages} pages`)
      }
      const page = await outbox.read(42, { events: 2, bytes: ALL.bytes })
      t.same(page.events.map(({ sequence }) => sequence), [42, 43])
      t.equal(page.next, 44)
      t.same(await outbox.read(101, ALL), { events: [], next: 101, lost: 0 })
    })

    void test(`${name}: reads single events ${where}, leaving out what is not there`, async (t) => {
      const outbox = await opened(t, { tailCacheBytes })
      for (let batch = 0; batch < 10; batch++) await appendAll(outbox, batch * 10 + 1, batch * 10 + 10)
      await outbox.trim(21)
      const events = await outbox.readMany([3, 21, 22, 40, 99, 100, 101, 5000])
      t.same(events.map(({ sequence }) => sequence), [21, 22, 40, 99, 100])
      t.same(events.map(({ event }) => event.id), ['event-21', 'event-22', 'event-40', 'event-99', 'event-100'])
    })
  }

  void test(`${name}: keeps reading right where readers take turns`, async (t) => {
    const outbox = await opened(t, { tailCacheBytes: 0 })
    for (let batch = 0; batch < 20; batch++) await appendAll(outbox, batch * 10 + 1, batch * 10 + 10)
    const limit = { events: 7, bytes: ALL.bytes }
    const results = await Promise.all([1, 95, 33].map((from) => readAll(outbox, from, limit)))
    t.same(results.map(({ ids }) => ids), [idsOf(1, 200), idsOf(95, 200), idsOf(33, 200)])
    t.ok(results.every(({ lost }) => lost === 0))
  })

  void test(`${name}: keeps cursors by sink`, async (t) => {
    const outbox = await opened(t)
    await appendAll(outbox, 1, 20)
    t.equal(await outbox.loadCursor('main'), undefined)
    const cursor = { lowest: 7, beyond: Uint8Array.of(0b1010_0010, 0, 3) }
    await outbox.saveCursor('main', cursor)
    cursor.beyond.fill(0)
    await outbox.saveCursor('other', { lowest: 1, beyond: new Uint8Array(0) })
    t.same(await outbox.loadCursor('main'), { lowest: 7, beyond: Uint8Array.of(0b1010_0010, 0, 3) })
    t.same(await outbox.loadCursor('other'), { lowest: 1, beyond: new Uint8Array(0) })
    await outbox.saveCursor('main', { lowest: 9, beyond: new Uint8Array(0) })
    t.equal((await outbox.loadCursor('main'))?.lowest, 9)
  })

  void test(`${name}: forgets what is trimmed, and nothing behind it`, async (t) => {
    const outbox = await opened(t, { tailCacheBytes: 2000 })
    for (let batch = 0; batch < 10; batch++) await appendAll(outbox, batch * 10 + 1, batch * 10 + 10)
    const { bytes } = outbox.stats()
    await outbox.trim(55)
    const first = blocks ? 51 : 55
    t.equal(outbox.stats().events, 101 - first, 'whole blocks go, here of ten events')
    t.equal(Math.round(outbox.stats().bytes / bytes * 10), 5)
    const { sequences, lost } = await readAll(outbox)
    t.same(sequences, rangeOf(first, 100))
    t.equal(lost, 0, 'what was trimmed is not lost')
    await outbox.trim(20)
    t.equal(outbox.stats().events, 101 - first, 'an older bound changes nothing')
    await outbox.trim(5000)
    t.match(outbox.stats(), { events: 0, bytes: 0, nextSequence: 101 }, 'nothing is left')
    await outbox.append(eventOf(101))
    t.same((await readAll(outbox)).sequences, [101], 'sequences go on')
    for (let number = 102; number <= 1500; number++) await outbox.append(eventOf(number, { data: Buffer.alloc(0) }))
    await outbox.trim(1500)
    t.same((await readAll(outbox)).sequences, [1500], 'more blocks than one write removes')
    t.equal(outbox.stats().events, 1)
  })

  void test(`${name}: counts nothing as lost that is trimmed while it is read`, async (t) => {
    const outbox = await opened(t, { tailCacheBytes: 0 })
    for (let batch = 0; batch < 40; batch++) await appendAll(outbox, batch * 10 + 1, batch * 10 + 10)
    for (let before = 21; before <= 401; before += 20) {
      const limit = { events: 15, bytes: ALL.bytes }
      const [page] = await Promise.all([outbox.read(before - 20, limit), outbox.trim(before)])
      t.equal(page.lost, 0)
    }
  })

  void test(`${name}: keeps dead letters, oldest first, and counts them`, async (t) => {
    const outbox = await opened(t)
    await outbox.putDeadLetter(letterOf(30))
    await outbox.putDeadLetter(letterOf(4, { data: Buffer.alloc(0), forwardedAt: 1_700_000_200_000 }))
    await outbox.putDeadLetter(letterOf(17))
    t.equal(outbox.stats().deadLetters, 3)
    t.same(await outbox.readDeadLetters(1, ALL), [
      letterOf(4, { data: Buffer.alloc(0), forwardedAt: 1_700_000_200_000 }), letterOf(17), letterOf(30)
    ])
    t.same(await outbox.readDeadLetters(5, { events: 1, bytes: ALL.bytes }), [letterOf(17)])
    t.equal((await outbox.readDeadLetters(1, { events: ALL.events, bytes: 1 })).length, 1)

    const { bytes } = outbox.stats()
    await outbox.putDeadLetter(letterOf(17, { forwardedAt: 5 }))
    t.equal(outbox.stats().deadLetters, 3, 'the same one again replaces it')
    t.ok(outbox.stats().bytes > bytes)
    t.equal((await outbox.readDeadLetters(17, ALL))[0]?.forwardedAt, 5)

    await outbox.deleteDeadLetters([4, 17, 17, 99].map(idOf))
    t.same((await outbox.readDeadLetters(1, ALL)).map(({ stored }) => stored.sequence), [30])
    await outbox.deleteDeadLetters([idOf(30)])
    t.match(outbox.stats(), { deadLetters: 0, bytes: 0 })
  })

  void test(`${name}: an event that is to be set aside is a dead letter with its sequence from its append on`, async (t) => {
    const outbox = await opened(t)
    const aside = { reason: 'transform', detail: 'it has no temperature' } as const
    await Promise.all([
      outbox.append(eventOf(1)),
      outbox.append(eventOf(2, { handling: { aside } }), receiptOf(2)),
      outbox.append(eventOf(3)),
      outbox.append(eventOf(4, { handling: { aside } }))
    ])
    t.equal(outbox.stats().deadLetters, 2)
    t.ok(outbox.stats().bytes > 0)
    const letters = await outbox.readDeadLetters(1, ALL)
    t.same(letters.map(({ stored }) => stored.event), [2, 4].map((number) => eventOf(number, { handling: { aside } })))
    t.match(letters[0], {
      sink: 'mapping', reason: 'transform', attempts: 0, code: 422, destination: 'mapping', stored: { sequence: 2 }
    })
    t.equal(letters[0]?.data.toString(), aside.detail)
    const before = outbox.stats().bytes
    await outbox.deleteDeadLetters([{ sequence: 2, sink: 'mapping' }, { sequence: 4, sink: 'default' }])
    t.equal(outbox.stats().deadLetters, 1)
    t.ok(outbox.stats().bytes < before)
  })

  void test(`${name}: dead letters of one event by several sinks are apart, and are read together`, async (t) => {
    const outbox = await opened(t)
    const letters = [
      letterOf(5, { sink: 'archive' }), letterOf(5), letterOf(5, { sink: 'mapping' }), letterOf(6, { sink: 'archive' })
    ]
    for (const letter of letters) await outbox.putDeadLetter(letter)
    t.equal(outbox.stats().deadLetters, 4)
    const read = async (from: number, limit = ALL) =>
      (await outbox.readDeadLetters(from, limit)).sort(bySequenceAndSink)
    t.same(await read(1), letters)
    t.same(await read(1, { events: 1, bytes: 1 }), letters.slice(0, 3))
    t.same(await read(6, { events: 1, bytes: 1 }), letters.slice(3))
    await outbox.deleteDeadLetters([{ sequence: 5, sink: 'archive' }])
    t.same((await read(1)).map(({ sink }) => sink), ['default', 'mapping', 'archive'])
  })

  void test(`${name}: events to set aside fill a quarter of the outbox at most; others are stored then as before`, async (t) => {
    const outbox = await opened(t, { maxBytes: 400_000 })
    const data = Buffer.alloc(10_000)
    const handling = { aside: { reason: 'schema', detail: 'no' } } as const
    const refused: string[] = []
    const refuse = (error: { code: string }) => { refused.push(error.code) }
    for (let number = 1; number <= 20; number++) await outbox.append(eventOf(number, { data, handling })).catch(refuse)
    t.ok(refused.length >= 5 && refused.length < 15, `${refused.length} of 20 were refused`)
    t.ok(refused.every((code) => code === 'MBS_ERR_OUTBOX_DEAD_LETTERS'))
    t.equal(outbox.stats().deadLetters, 20 - refused.length)
    t.equal(await outbox.append(eventOf(99)), 21 - refused.length, 'what is refused uses up no sequence')
  })

  void test(`${name}: holds appends while it is full, and lets them in when there is room, in order`, async (t) => {
    const telemetry = new RecordedTelemetry()
    const data = Buffer.alloc(900)
    const outbox = await opened(t, { maxBytes: 10_000, telemetry })
    for (let number = 1; number <= 9; number++) await outbox.append(eventOf(number, { data }))
    t.equal(outbox.stats().status, 'ready')
    const stored: number[] = []
    const held = [10, 11, 12].map(async (number) => {
      await outbox.append(eventOf(number, { data: Buffer.alloc(700) }))
      stored.push(number)
    })
    await outbox.putDeadLetter(letterOf(1))
    t.match(outbox.stats(), { status: 'full', held: 3 })
    t.equal(telemetry.held, 3)
    t.equal(telemetry.full, 1, 'told once')
    t.ok(outbox.stats().bytes <= 10_000 + 1000, 'a dead letter is kept all the same')

    await outbox.trim(2)
    await held[0]
    t.same(stored, [10], 'as many as there is room for')
    await outbox.trim(10)
    await Promise.all(held)
    t.same(stored, [10, 11, 12])
    t.match(outbox.stats(), { status: 'ready', held: 0 })
  })

  for (const [what, overrides] of [
    ['small ones', { data: Buffer.alloc(1) }],
    ['large ones', { data: Buffer.alloc(30_000) }],
    ['texts of three bytes a letter', { subject: '\u20ac'.repeat(500), data: Buffer.alloc(0) }],
    ['extensions', { extensions: { a: '"\\'.repeat(400), b: '\u20ac'.repeat(200), c: -1234567890, d: false } }],
    ['what says how they are handled', { handling: { ack: 'received', supersede: '\u0001'.repeat(300), expiresAt: 1e12 } }]
  ] as const) {
    void test(`${name}: an event for which there is room is stored, whatever waits and comes behind it: ${what}`, async (t) => {
      const outbox = await opened(t, {
        maxBytes: 200_000, holdTimeoutMs: 20, sequences: { limit: 10_000, unsavedEvents: 100 }
      })
      const promised: Array<Promise<number>> = []
      const event = (number: number) => eventOf(number, { source: `/devices/${number}`, ...overrides })
      // Others are in front of them, one of which is set aside and takes room twice.
      const front = [
        outbox.append(event(0)),
        outbox.append(event(1)),
        outbox.append(eventOf(2, { data: Buffer.alloc(8000), handling: { aside: { reason: 'missing', detail: 'x' } } }))
      ]
      // Some of what waits is being written already.
      await new Promise(setImmediate)
      for (let number = 3; outbox.hasRoomFor(event(number)); number++) {
        promised.push(outbox.append(event(number)))
        if (number > 5000) throw new Error('it promises room without end')
      }
      t.ok(promised.length > 0)
      const rest = Array.from({ length: 2000 }, (_, index) => outbox.append(event(9000 + index)))
      const outcomes = Promise.allSettled(rest)
      await Promise.all([...front, ...promised])
      t.ok((await outcomes).some(({ status }) => status === 'rejected'), 'there was none for all of the others')
      t.notOk(outbox.hasRoomFor(event(1)), 'full')
      await outbox.trim(outbox.stats().nextSequence)
      t.ok(outbox.hasRoomFor(event(1)), 'and room again')
      t.notOk(outbox.hasRoomFor(eventOf(1, { data: Buffer.alloc(200_000) })), 'but not for what never fits')
      t.notOk(outbox.hasRoomFor(eventOf(1, { handling: { aside: { reason: 'missing', detail: 'x' } } })), 'nor surely for a letter')
      await outbox.close()
      t.notOk(outbox.hasRoomFor(event(1)), 'closed')
    })
  }

  void test(`${name}: rejects an append that has waited for room too long with MBS_ERR_OUTBOX_FULL`, async (t) => {
    const outbox = await opened(t, { maxBytes: 1300, holdTimeoutMs: 20 })
    const data = Buffer.alloc(900)
    await outbox.append(eventOf(1, { data }))
    const small = outbox.append(eventOf(2, { data }))
    const results = await Promise.allSettled([small, outbox.append(eventOf(3, { data })), outbox.settled()])
    t.match(results, [
      { status: 'rejected', reason: { code: 'MBS_ERR_OUTBOX_FULL' } },
      { status: 'rejected', reason: { code: 'MBS_ERR_OUTBOX_FULL' } },
      { status: 'fulfilled' }
    ])
    await outbox.append(eventOf(4, { data: Buffer.alloc(0) }))
    t.same((await readAll(outbox)).ids, ['event-1', 'event-4'], 'what fits is stored')
  })

  void test(`${name}: rejects an event larger than all of it with MBS_ERR_OUTBOX_TOO_LARGE, and harms no other`, async (t) => {
    const outbox = await opened(t, { maxBytes: 5000 })
    const results = await Promise.allSettled([
      outbox.append(eventOf(1)), outbox.append(eventOf(2, { data: Buffer.alloc(5000) })), outbox.append(eventOf(3))
    ])
    t.match(results, [
      { status: 'fulfilled' },
      { status: 'rejected', reason: { code: 'MBS_ERR_OUTBOX_TOO_LARGE' } },
      { status: 'fulfilled' }
    ])
    t.same((await readAll(outbox)).ids, ['event-1', 'event-3'])
  })

  void test(`${name}: rejects an event that cannot be written with MBS_ERR_OUTBOX_EVENT, and harms no other`, async (t) => {
    const outbox = await opened(t)
    const broken = eventOf(2, { extensions: { bad: 1n as unknown as number } })
    const results = await Promise.allSettled([eventOf(1), broken, eventOf(3)].map((event) => outbox.append(event)))
    t.match(results, [
      { status: 'fulfilled' },
      { status: 'rejected', reason: { code: 'MBS_ERR_OUTBOX_EVENT' } },
      { status: 'fulfilled' }
    ])
    t.same((await readAll(outbox)).ids, ['event-1', 'event-3'])
  })

  void test(`${name}: says when all appends called before are settled`, async (t) => {
    const outbox = await opened(t)
    await outbox.settled()
    let stored = 0
    for (let number = 1; number <= 3000; number++) void outbox.append(eventOf(number)).then(() => stored++)
    await outbox.settled()
    t.equal(stored, 3000)
  })

  void test(`${name}: wakes those who wait for an event, and leaves no listener behind`, async (t) => {
    const outbox = await opened(t)
    const { signal } = new AbortController()
    const awake: string[] = []
    const first = outbox.waitFor(1, signal).then(() => awake.push('first'))
    const third = outbox.waitFor(3, signal).then(() => awake.push('third'))
    await outbox.append(eventOf(1))
    await first
    t.same(awake, ['first'])
    await appendAll(outbox, 2, 3)
    await third
    await outbox.waitFor(2, signal)
    const waiting = new AbortController()
    const aborted = outbox.waitFor(100, waiting.signal)
    waiting.abort()
    await aborted
    await outbox.waitFor(100, waiting.signal)

    let listeners = 0
    const counted = new Proxy(signal, {
      get: (target, property) => {
        if (property === 'addEventListener') return () => { listeners++ }
        if (property === 'removeEventListener') return () => { listeners-- }
        return Reflect.get(target, property) as unknown
      }
    })
    for (let number = 4; number < 50; number++) {
      const woken = outbox.waitFor(number, counted)
      await outbox.append(eventOf(number))
      await woken
    }
    t.equal(listeners, 0)
  })

  void test(`${name}: finishes appends under way when it is closed, and refuses others with MBS_ERR_OUTBOX_CLOSED`, async (t) => {
    const outbox = create(t, outboxOptions())
    await t.rejects(outbox.append(eventOf(1)), { code: 'MBS_ERR_OUTBOX_CLOSED' }, 'before it is open')
    t.equal(outbox.stats().status, 'closed')
    await outbox.open()
    const underWay = Promise.all(rangeOf(1, 100).map((number) => outbox.append(eventOf(number), receiptOf(number))))
    const closing = outbox.close()
    await t.rejects(outbox.append(eventOf(101)), { code: 'MBS_ERR_OUTBOX_CLOSED' })
    await underWay
    await closing
    await outbox.close()
    t.equal(outbox.stats().status, 'closed')
    await t.rejects(outbox.saveCursor('main', { lowest: 1, beyond: new Uint8Array(0) }), { code: 'MBS_ERR_OUTBOX_CLOSED' })
    await t.rejects(outbox.trim(50), { code: 'MBS_ERR_OUTBOX_CLOSED' })
    await t.rejects(outbox.putDeadLetter(letterOf(1)), { code: 'MBS_ERR_OUTBOX_CLOSED' })
    await t.rejects(outbox.readDeadLetters(1, ALL), { code: 'MBS_ERR_OUTBOX_CLOSED' })
    await t.rejects(outbox.loadCursor('main'), { code: 'MBS_ERR_OUTBOX_CLOSED' })
    await t.rejects(outbox.open(), { code: 'MBS_ERR_OUTBOX_CLOSED' })
  })

  void test(`${name}: rejects appends that wait for room when it is closed`, async (t) => {
    const outbox = await opened(t, { maxBytes: 1200 })
    await outbox.append(eventOf(1, { data: Buffer.alloc(900) }))
    const held = outbox.append(eventOf(2, { data: Buffer.alloc(900) }))
    await outbox.saveCursor('main', { lowest: 1, beyond: new Uint8Array(0) })
    t.equal(outbox.stats().held, 1)
    await Promise.all([t.rejects(held, { code: 'MBS_ERR_OUTBOX_CLOSED' }), outbox.close()])
    await outbox.settled()

    const other = await opened(t, { maxBytes: 1200 })
    const both = [eventOf(1, { data: Buffer.alloc(900) }), eventOf(2, { data: Buffer.alloc(900) })]
    const results = Promise.allSettled(both.map((event) => other.append(event)))
    await other.close()
    t.match(await results, [{ status: 'fulfilled' }, { status: 'rejected', reason: { code: 'MBS_ERR_OUTBOX_CLOSED' } }])
  })

  void test(`${name}: closes without having been opened`, async (t) => {
    const outbox = create(t, outboxOptions())
    await outbox.close()
    await t.rejects(outbox.open(), { code: 'MBS_ERR_OUTBOX_CLOSED' })
  })
}

function bySequenceAndSink (one: DeadLetter, other: DeadLetter): number {
  return one.stored.sequence - other.stored.sequence || (one.sink < other.sink ? -1 : 1)
}
