import { test } from 'tap'
import { percentile, startHonestDevice } from '../support/honest-device.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'
import { startBroker, until } from '../support/broker.ts'

test('a subscriber that takes nothing is closed, and devices whose messages it does not get do not wait', async (t) => {
  const { logged, outbox, port } = await startBroker(t, { broker: { drainTimeoutMs: 3000 } })
  const honest = startHonestDevice(t, { port, perSecond: 100, topic: 'honest/a' })
  await until(() => outbox.stored.length > 10)
  const frozen = await RawMqtt.open(port, { clientId: 'frozen' })
  frozen.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'flood/#', qos: 0 }] })
  await frozen.next('suback')
  frozen.socket.pause()
  // More of them than there may be messages under way at a time in Aedes' own setting, each with all that it may have.
  const payload = Buffer.alloc(16 * 1024)
  const greedy = await Promise.all(Array.from({ length: 20 }, async (_, index) => {
    return await RawMqtt.open(port, { clientId: `greedy-${index}` })
  }))
  for (const device of greedy) {
    for (let messageId = 1; messageId <= 100; messageId++) device.publish({ topic: 'flood/a', payload, qos: 1, messageId })
  }
  t.match(await logged('MBS_ERR_BROKER_DRAIN'), [{ clientId: 'frozen' }])
  const { latenciesMs, sent, problem } = await honest.stop()
  const p99 = percentile(latenciesMs, 0.99)
  t.comment(`PUBACK of the honest device: median ${percentile(latenciesMs, 0.5).toFixed(1)} ms, p99 ${p99.toFixed(1)} ms, of ${sent}`)
  t.equal(problem, undefined)
  t.equal(latenciesMs.length, sent)
  t.ok(sent > 100, 'it published all the time')
  t.ok(p99 < 1500, 'far from the time that the subscriber has')
  frozen.socket.destroy()
  for (const device of greedy) device.abort()
})
