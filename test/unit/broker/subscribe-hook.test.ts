import { test } from 'tap'
import type { AedesClient, ForwardPacket } from '../../../lib/broker/aedes-types.ts'
import { Identities } from '../../../lib/broker/identities.ts'
import { SubscribeHook } from '../../../lib/broker/subscribe-hook.ts'
import { allowAll } from '../../support/broker.ts'
import { createTestTelemetry } from '../../support/log-lines.ts'

function createHook (permissions = allowAll) {
  const { telemetry } = createTestTelemetry()
  const limits = { topicBytes: 100, topicLevels: 10 }
  return new SubscribeHook({ identities: new Identities(), permissions, limits, telemetry })
}

const client = { id: 'device', clean: false } as AedesClient
const forward = (hook: SubscribeHook, topic: string) => {
  const packet = { topic } as ForwardPacket
  return hook.forward(client as never, packet) === packet
}

test('what the broker tells about itself goes to no client, whatever it subscribed', async (t) => {
  t.equal(forward(createHook(), '$SYS/x/new/clients'), false)
  t.equal(forward(createHook(), 'a/b'), true)
})

test('a message goes to no client that may not receive it', async (t) => {
  const hook = createHook({ ...allowAll, mayReceive: ({ clientId }, topic) => clientId === 'device' && topic === 'a' })
  t.equal(forward(hook, 'a'), true)
  t.equal(forward(hook, 'b'), false)
})

test('of the filters of a packet only those that are granted are kept, and once', async (t) => {
  const hook = createHook({ ...allowAll, maySubscribe: (_identity, filter) => filter !== 'denied' })
  const calls: unknown[] = []
  const persistence = {
    addSubscriptions: async (...args: unknown[]) => { calls.push(args) },
    removeSubscriptions: async () => {}
  }
  hook.attach(persistence)
  const subscriptions = ['ok', 'denied', '$SYS/#', 'ok/too'].map((topic) => ({ topic, qos: 1 }))
  await persistence.addSubscriptions(client, subscriptions)
  await persistence.addSubscriptions(client, subscriptions)
  t.same(calls, [[client, [{ topic: 'ok', qos: 1 }, { topic: 'ok/too', qos: 1 }]]])
})
