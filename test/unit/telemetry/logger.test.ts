import { test } from 'tap'
import { createError } from '../../../lib/errors.ts'
import { createLogger, type LogOptions } from '../../../lib/telemetry/logger.ts'
import { LogLines } from '../../support/log-lines.ts'

function create (options: Partial<LogOptions> = {}) {
  const stream = new LogLines()
  return { stream, log: createLogger({ level: 'info', format: 'json', stream, ...options }) }
}

test('json: one object per line, the level as a word, the time in ISO 8601, constant text beside its fields', async (t) => {
  const { stream, log } = create()
  log.info({ what: 'mqtt 127.0.0.1:0' }, 'listening')
  log.warn('second')
  const [first, second] = stream.objects
  t.match(first, { level: 'info', msg: 'listening', what: 'mqtt 127.0.0.1:0', time: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/ })
  t.match(second, { level: 'warn', msg: 'second' })
  t.notHas(first, 'pid', 'a line says nothing that is the same on every line')
  t.equal(stream.text.split('\n').length, 3, 'two lines, each ended')
})

test('text of a device cannot forge a line', async (t) => {
  const { stream, log } = create()
  log.info({ clientId: 'x"}\n{"level":"error","msg":"forged"}' }, 'session started')
  t.equal(stream.objects.length, 1)
})

test('what is below the level is not written', async (t) => {
  const { stream, log } = create({ level: 'warn' })
  log.info('no')
  log.warn('yes')
  t.strictSame(stream.objects.map((line) => line.msg), ['yes'])
  const silent = create({ level: 'silent' })
  silent.log.fatal('no')
  t.equal(silent.stream.text, '')
})

test('pretty: readable by a person, with the level by name and the fields by line', async (t) => {
  const { stream, log } = create({ format: 'pretty' })
  log.info({ address: '127.0.0.1:1883' }, 'listening')
  t.match(stream.text, /^\[\d\d:\d\d:\d\d\.\d+\] INFO: listening\n\s+address: "127\.0\.0\.1:1883"\n$/)
  t.equal(stream.text.includes('\u001b'), false, 'no colors where there is no terminal')
})

test('auto: JSON where the stream is no terminal', async (t) => {
  const { stream, log } = create({ format: 'auto' })
  log.info('listening')
  t.equal(stream.objects.length, 1)
})

test('an error is logged by its words, its code, its stack and its causes', async (t) => {
  const { stream, log } = create()
  const cause = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
  log.error({ err: createError('MBS_ERR_OUTBOX_WRITE', { directory: '/data', reason: 'no space' }, cause) }, 'failed')
  t.match(stream.objects[0], {
    msg: 'failed',
    err: {
      type: 'MbsError',
      code: 'MBS_ERR_OUTBOX_WRITE',
      message: /^The outbox could not write to \/data/,
      stack: /logger\.test/,
      cause: { type: 'Error', code: 'ENOSPC', message: 'no space left on device' }
    }
  })
})

test('what else hangs on an error is not logged: it could be a payload', async (t) => {
  for (const format of ['json', 'pretty'] as const) {
    const { stream, log } = create({ format })
    log.error({ err: Object.assign(new Error('failed'), { packet: { payload: 'SECRET' }, body: 'SECRET' }) }, 'failed')
    t.match(stream.text, 'failed')
    t.equal(stream.text.includes('SECRET'), false)
  }
})

test('what was thrown and is no error is logged as its text', async (t) => {
  const { stream, log } = create()
  log.error({ err: 'a string' }, 'failed')
  t.match(stream.objects[0], { err: { type: 'string', message: 'a string' } })
})

test('a chain of causes that ends in itself is cut', async (t) => {
  const { stream, log } = create()
  const error = new Error('round')
  error.cause = error
  log.error({ err: error }, 'failed')
  t.equal(stream.text.split('"message":"round"').length - 1, 5)
})
