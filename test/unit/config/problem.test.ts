import { test } from 'tap'
import { describeFound, formatPath, formatProblems, nearest, redactUrl, Report } from '../../../lib/config/problem.ts'
import { createError } from '../../../lib/errors.ts'

test('a path is written as in the documentation', async (t) => {
  t.equal(formatPath(['listeners', 0, 'tls', 'cert']), 'listeners[0].tls.cert')
  t.equal(formatPath(['name']), 'name')
})

test('secrets are never shown', async (t) => {
  t.equal(redactUrl('http://user:secret@host/path'), 'http://…@host/path')
  t.equal(redactUrl('https://host/path?token=secret'), 'https://host/path?…')
  t.equal(redactUrl('https://host/#secret'), 'https://host/?…')
  t.equal(redactUrl('//user:secret@host/'), '//…@host/')
  t.equal(redactUrl('http://a:se@cret@host/'), 'http://…@host/', 'up to the last @')
  t.equal(redactUrl('PT10S'), 'PT10S')
  t.equal(describeFound('-----BEGIN PRIVATE KEY-----\nsecret'), 'PEM text')
  t.equal(describeFound('http://user:secret@host'), '"http://…@host"')
})

test('what was found is said in a few words', async (t) => {
  t.equal(describeFound(undefined), 'nothing')
  t.equal(describeFound(null), 'null')
  t.equal(describeFound([1]), 'a list')
  t.equal(describeFound({ a: 1 }), 'a section')
  t.equal(describeFound(5), '5')
  t.equal(describeFound('a\nb'), '"a\\nb"')
  t.equal(describeFound('x'.repeat(1000)).length, 63)
})

test('the nearest name is offered where it is near enough', async (t) => {
  t.equal(nearest('packetByts', ['packetBytes', 'connections']), 'packetBytes')
  t.equal(nearest('PACKETBYTES', ['packetBytes']), 'packetBytes')
  t.equal(nearest('access', ['dataDir', 'limits']), undefined)
  t.equal(nearest('x', []), undefined)
})

test('one mistake per setting, with where it came from', async (t) => {
  const report = new Report(() => 'file a.yaml:3')
  report.add(['limits', 'connections'], { found: '0', allowed: 'a whole number' })
  report.add(['limits', 'connections'], { found: '0', allowed: 'something else' })
  t.strictSame(report.problems, [{ path: 'limits.connections', found: '0', allowed: 'a whole number', origin: 'file a.yaml:3' }])
})

test('a setting is sound where nothing at it, above it or below it is wrong', async (t) => {
  const report = new Report(() => 'default')
  report.add(['listeners', 1, 'tls'], { found: '', allowed: '' })
  t.equal(report.sound(['listeners', 1, 'tls']), false)
  t.equal(report.sound(['listeners', 1, 'tls', 'cert']), false)
  t.equal(report.sound(['listeners']), false)
  t.equal(report.sound(['name'], ['listeners', 1]), false)
  t.equal(report.sound(['listeners', 1, 'tlsx'], ['listeners', 11], ['name']), true)
})

test('the text has a line for each mistake, and code and remedy of its error', async (t) => {
  const error = createError('MBS_ERR_SINK_URL', { url: 'x', reason: 'it is not an absolute URL' })
  t.equal(formatProblems([
    { path: 'limits.retrys', found: 'a setting that does not exist', allowed: 'a, b', hint: 'did you mean limits.retry?', origin: 'file g.yaml:2' },
    { path: 'sink.url', found: '"x"', allowed: 'a URL', origin: 'environment K_SINK', error }
  ]), [
    'limits.retrys: found a setting that does not exist; allowed: a, b; did you mean limits.retry? (file g.yaml:2)',
    'sink.url: found "x"; allowed: a URL (environment K_SINK)',
    `  MBS_ERR_SINK_URL: ${error.message} ${error.help}`
  ].join('\n'))
})
