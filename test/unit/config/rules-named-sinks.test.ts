import { test } from 'tap'
import { examineConfig, loadConfig } from '../../../lib/config/load.ts'

const problemsOf = (settings: object) => {
  return examineConfig({ settings, env: {} }).problems.map(({ path, allowed }) => `${path}: ${allowed}`)
}
const url = 'http://localhost:1/'

test('the kind of each sink follows from what is given', async (t) => {
  const kindsOf = (settings: object) => {
    const { config } = loadConfig({ settings, env: {} })
    return [config.sink.kind, ...config.sinks.map(({ kind }) => kind)]
  }
  t.same(kindsOf({}), ['display'])
  t.same(kindsOf({ sink: { url } }), ['http'])
  t.same(kindsOf({ sinks: [{ name: 'a', url }] }), ['none', 'http'])
  t.same(kindsOf({ sink: { url }, sinks: [{ name: 'a', kind: 'display' }] }), ['http', 'display'])
  t.same(kindsOf({ sink: { kind: 'http' }, sinks: [{ name: 'a', url }] }), ['http', 'http'])
})

test('what is wrong with a named sink is said with its path', async (t) => {
  t.match(problemsOf({ sink: { kind: 'none' } }), [/^sink\.kind: http or display/])
  t.match(problemsOf({ sinks: [{ name: 'a' }] }), [/^sinks\[0\]\.url: /])
  t.match(problemsOf({ sinks: [{ name: 'a', url }, { name: 'a', url }] }), [/^sinks\[1\]\.name: a name that sinks\[0\]/])
  t.match(problemsOf({ sinks: [{ url }] }), [/^sinks\[0\]\.name: /])
  for (const name of ['default', 'mapping', 'dead-letters', 'A', '-a', 'a'.repeat(64), 'a b']) {
    t.match(problemsOf({ sinks: [{ name, url }] }), [/^sinks\[0\]\.name: /], name)
  }
  t.match(problemsOf({ sinks: [{ name: 'a', url: 'ftp://x' }] }), [/^sinks\[0\]\.url: /])
  t.match(problemsOf({ sinks: [{ name: 'a', url, filter: [{ sql: 'x' }] }] }), [/^sinks\[0\]\.filter: filters: /])
  t.match(problemsOf({ sink: { url, filter: [{ any: [] }] } }), [/^sink\.filter: filters: /])
  t.match(problemsOf({ sinks: [{ name: 'a', url, headers: { 'ce-id': 'x' } }] }), [/^sinks\[0\]\.headers/])
  t.match(problemsOf({ sinks: [{ name: 'a', url, delivery: { backoffDelay: 'PT1M' } }] }), [/^sinks\[0\]\.delivery\.backoffDelay: /])
  t.match(problemsOf({ sinks: [{ name: 'a', url, delivery: { deadLetterSink: { url: 'x' } } }] }),
    [/^sinks\[0\]\.delivery\.deadLetterSink\.url: /])
  t.match(problemsOf({ sinks: [{ name: 'a', url, delivery: { grace: 'PT1S' } }] }), [/^sinks\[0\]\.delivery\.grace: /])
})
