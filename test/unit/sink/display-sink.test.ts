import { getEventListeners } from 'node:events'
import { PassThrough, Writable } from 'node:stream'
import { test } from 'tap'
import { formatEvent } from '../../../lib/sink/display-format.ts'
import { createDisplaySink } from '../../../lib/sink/display-sink.ts'
import { event } from '../../support/http-sink-events.ts'

const never = new AbortController().signal

/** A stream that takes nothing until it is told to. */
function stalled () {
  const pending: (() => void)[] = []
  const stream = new Writable({
    highWaterMark: 1,
    write (_chunk, _encoding, done) { pending.push(done) }
  })
  return { stream, takeOne: () => { pending.shift()?.() } }
}

test('each event is printed and taken', async (t) => {
  const stream = new PassThrough()
  const sink = createDisplaySink({ name: 'default', stream })
  t.equal(sink.name, 'default')
  const events = [event({ id: '1' }), event({ id: '2' })]
  for (const shown of events) t.match(await sink.send(shown, never), { kind: 'answer', status: 202 })
  t.equal((stream.read() as Buffer).toString(), events.map(formatEvent).join(''))
})

test('a reader that does not keep up holds the next event back', async (t) => {
  const { stream, takeOne } = stalled()
  const sink = createDisplaySink({ name: 'default', stream })
  let taken = 0
  const sent = [1, 2, 3].map(async (id) => {
    await sink.send(event({ id: String(id) }), never)
    taken++
  })
  await new Promise(setImmediate)
  t.equal(taken, 0)
  t.equal(stream.writableLength, Buffer.byteLength(formatEvent(event({ id: '1' }))), 'only the first one waits in memory')
  for (let i = 0; i < 3; i++) {
    takeOne()
    await new Promise(setImmediate)
  }
  await Promise.all(sent)
  t.equal(taken, 3)
})

test('an abort ends the wait for a reader that has stopped', async (t) => {
  const sink = createDisplaySink({ name: 'default', stream: stalled().stream })
  const abort = new AbortController()
  const outcome = sink.send(event(), abort.signal)
  abort.abort()
  t.same(await outcome, { kind: 'aborted' })
  t.same(await sink.send(event(), abort.signal), { kind: 'aborted' })
})

test('a closed pipe neither throws nor stops the events', async (t) => {
  const broken = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })
  const stream = new Writable({ write (_chunk, _encoding, done) { done(broken) } })
  const sink = createDisplaySink({ name: 'default', stream })
  for (let i = 0; i < 3; i++) t.match(await sink.send(event(), never), { kind: 'answer', status: 202 })
  t.equal(stream.writableLength, 0)
})

test('a stream that was closed before, or while an event waits, takes nothing and harms nothing', async (t) => {
  const closed = new PassThrough()
  closed.destroy()
  t.match(await createDisplaySink({ name: 'default', stream: closed }).send(event(), never), { status: 202 })
  const { stream } = stalled()
  const outcome = createDisplaySink({ name: 'default', stream }).send(event(), never)
  stream.destroy()
  t.match(await outcome, { status: 202 })
})

test('nothing is printed once it is closed, and closing twice is the same as once', async (t) => {
  const stream = new PassThrough()
  const sink = createDisplaySink({ name: 'default', stream })
  await sink.close()
  await sink.close()
  t.same(await sink.send(event(), never), { kind: 'aborted' })
  t.equal(stream.read(), null)
  t.ok(stream.writable, 'the stream is not its own to close')
})

test('no listener stays at the signal', async (t) => {
  const { signal } = new AbortController()
  const sink = createDisplaySink({ name: 'default', stream: new PassThrough().resume() })
  for (let i = 0; i < 20; i++) await sink.send(event(), signal)
  t.equal(getEventListeners(signal, 'abort').length, 0)
})
