import { test } from 'tap'
import { loadConfig } from '../../../lib/config/load.ts'
import { parseNode } from '../../../lib/redis/node.ts'
import { mistakesIn } from '../../support/config-files.ts'

const redis = { url: 'redis://localhost:6379' }
const outbox = { store: 'redis' }
const mistakes = (settings: object) => [...mistakesIn({ settings }).keys()]

test('an outbox in Redis needs to know where Redis is; Redis that nobody uses is said to have no effect', async (t) => {
  t.same(mistakes({ outbox }), ['redis'])
  t.same(mistakes({ outbox, redis: {} }), ['redis'])
  t.same(mistakes({ outbox, redis: { ...redis, cluster: { nodes: ['a:1'] } } }), ['redis'])
  t.same(mistakes({ outbox, redis }), [])
  t.match(loadConfig({ env: {}, settings: { redis } }).warnings, [/redis has no effect/])
  t.same(loadConfig({ env: {}, settings: { outbox, redis } }).warnings, [])
})

test('the address of Redis is a URL of its own scheme, without a password, which is never repeated', async (t) => {
  for (const url of [
    'localhost:6379', 'http://a/', 'redis://', 'redis://:geheim@a/', 'redis://u@a/', 'redis://a/x', 'redis://a/1?x=1', 'redis://a/#1'
  ]) {
    const found = mistakesIn({ settings: { outbox, redis: { url } } }).get('redis.url')
    t.ok(found !== undefined, url)
    t.notMatch(JSON.stringify(found), 'geheim')
  }
  for (const url of ['redis://a', 'redis://a:1', 'redis://[::1]:6379/3', 'rediss://a/0']) t.same(mistakes({ outbox, redis: { url } }), [], url)
})

test('nodes are addresses', async (t) => {
  t.same(parseNode('redis-1:6379'), { host: 'redis-1', port: 6379 })
  t.same(parseNode('[::1]:26379'), { host: '::1', port: 26_379 })
  for (const node of ['redis', 'redis:', ':1', 'a:0', 'a:70000', 'redis://a:1', '::1:5', 'a b:1']) t.equal(parseNode(node), undefined, node)
  t.same(mistakes({ outbox, redis: { cluster: { nodes: ['a:1', 'b'] } } }), ['redis.cluster.nodes[1]'])
  t.same(mistakes({ outbox, redis: { sentinel: { master: 'm', nodes: ['a'] } } }), ['redis.sentinel.nodes[0]'])
})

test('what belongs together is given together', async (t) => {
  t.same(mistakes({ outbox, redis: { ...redis, tls: {} } }), ['redis.tls'])
  t.same(mistakes({ outbox, redis: { url: 'rediss://a', tls: { cert: 'c' } } }), ['redis.tls.key'])
  t.same(mistakes({ outbox, redis: { ...redis, username: 'u' } }), ['redis.passwordFile'])
  const sentinel = { master: 'm', nodes: ['a:1'], username: 'u' }
  t.same(mistakes({ outbox, redis: { sentinel } }), ['redis.sentinel.passwordFile'])
  t.same(mistakes({ outbox, redis: { sentinel: { ...sentinel, passwordFile: 'f' } } }), [])
  t.same(mistakes({ outbox, redis: { ...redis, timeout: 'PT50S' } }), ['redis.timeout'])
})

test('nobody can number the events of a source where several programs store them', async (t) => {
  t.same(mistakes({ outbox, redis, events: { extensions: { sequence: true } } }), ['events.extensions.sequence'])
})
