/** A sink that was away for days: a million events wait. Opening and reading must not depend on how many they are. */
import { readFileSync } from 'node:fs'
import { performance } from 'node:perf_hooks'
import { test } from 'tap'
import { eventOf } from '../support/outbox-fixtures.ts'
import { openDisk } from '../support/outbox-files.ts'

const EVENTS = 1_000_000
const AT_ONCE = 2000
const MIB = 1024 * 1024

/** Memory of the process that no file backs, in bytes. */
function anonymousBytes (): number {
  const kibibytes = /RssAnon:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
  return Number(kibibytes) * 1024
}

void test('opens with a million events waiting in no time, and reads them in flat memory', async (t) => {
  const directory = t.testdir()
  const before = await openDisk(t, directory)
  const data = Buffer.alloc(200, 88)
  for (let number = 1; number <= EVENTS; number += AT_ONCE) {
    await Promise.all(Array.from({ length: AT_ONCE }, (_, at) => before.outbox.append(eventOf(number + at, { data }))))
  }
  await before.outbox.close()

  const started = performance.now()
  const { outbox, recovery } = await openDisk(t, directory)
  const openMs = performance.now() - started
  t.comment(`opened in ${Math.round(openMs)} ms`)
  t.ok(openMs < 5000, `opened in ${Math.round(openMs)} ms`)
  t.equal(recovery.nextSequence, EVENTS + 1)
  t.equal(outbox.stats().events, EVENTS)

  let read = 0
  let inOrder = true
  let warm = 0
  for (let next = 1; next <= EVENTS;) {
    const page = await outbox.read(next, { events: 1024, bytes: MIB })
    for (const { sequence } of page.events) inOrder &&= sequence === ++read
    next = page.next
    if (warm === 0 && read > EVENTS / 5) warm = anonymousBytes()
  }
  t.equal(read, EVENTS)
  t.ok(inOrder)
  const grown = process.platform === 'linux' ? anonymousBytes() - warm : 0
  t.ok(grown < 48 * MIB, `reading ${EVENTS * 4 / 5} events of about 400 bytes took ${Math.round(grown / MIB)} MiB`)

  await outbox.saveCursor('main', { lowest: EVENTS + 1, beyond: new Uint8Array(0) })
  await outbox.trim(EVENTS + 1)
  t.match(outbox.stats(), { events: 0, bytes: 0 })
})
