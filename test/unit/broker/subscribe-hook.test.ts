import { test } from 'tap'
import { authorizeForward } from '../../../lib/broker/subscribe-hook.ts'

test('what the broker tells about itself goes to no client, whatever it subscribed', async (t) => {
  const packetOf = (topic: string) => ({ topic }) as Parameters<typeof authorizeForward>[1]
  const client = {} as Parameters<typeof authorizeForward>[0]
  t.equal(authorizeForward(client, packetOf('$SYS/x/new/clients')), null)
  const packet = packetOf('a/b')
  t.equal(authorizeForward(client, packet), packet)
})
