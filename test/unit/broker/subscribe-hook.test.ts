import { test } from 'tap'
import type { AedesClient, ForwardPacket } from '../../../lib/broker/aedes-types.ts'
import { Identities } from '../../../lib/broker/identities.ts'
import { SubscribeHook } from '../../../lib/broker/subscribe-hook.ts'
import { Subscriptions } from '../../../lib/broker/subscriptions.ts'
import { allowAll } from '../../support/broker.ts'
import { createTestTelemetry } from '../../support/log-lines.ts'

function createHook (permissions = allowAll) {
  const { telemetry } = createTestTelemetry()
  const limits = { topicBytes: 100, topicLevels: 10 }
  const subscriptions = new Subscriptions({
    subscriptionsPerClient: 10, subscriptionBytes: 100_000, isKept: () => true
  })
  return new SubscribeHook({ identities: new Identities(), permissions, limits, subscriptions, telemetry })
}

const client = { id: 'device', clean: false, conn: { full: false } } as AedesClient
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
