/** Sessions in Redis need to know where it is, and an answer in the time that CONNECT has. */
import { test } from 'tap'
import { loadConfig } from '../../../lib/config/load.ts'
import { mistakesIn } from '../../support/config-files.ts'

const redis = { url: 'redis://localhost:6379' }

test('sessions in Redis need the section redis, which has an effect then', async (t) => {
  t.match(mistakesIn({ settings: { broker: { sessions: 'redis' } } }).get('redis'), { found: 'nothing', allowed: /broker.sessions is redis/ })
  const { config, warnings } = loadConfig({ env: {}, settings: { broker: { sessions: 'redis' }, redis } })
  t.equal(config.broker.sessions, 'redis')
  t.notMatch(warnings.join(), /redis has no effect/)
  t.match(loadConfig({ env: {}, settings: { redis } }).warnings.join(), /redis has no effect/)
})

test('Redis has less time for an answer than a device has for CONNECT', async (t) => {
  const settings = { broker: { sessions: 'redis' }, redis: { ...redis, timeout: 'PT10S' } }
  t.match(mistakesIn({ settings }).get('redis.timeout'), { allowed: 'less than limits.connectTimeout' })
})
