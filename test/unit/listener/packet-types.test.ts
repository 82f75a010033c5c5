import { test } from 'tap'
import { isFirstByteOfClient } from '../../../lib/listener/packet-types.ts'

test('a client may begin a packet with these bytes and no others [MQTT-2.2.1, MQTT-2.2.2]', async (t) => {
  const allowed = []
  for (let byte = 0; byte < 256; byte++) if (isFirstByteOfClient(byte)) allowed.push(byte.toString(16))
  t.same(allowed, [
    '10', '30', '31', '32', '33', '34', '35', '38', '39', '3a', '3b', '3c', '3d',
    '40', '50', '62', '70', '82', 'a2', 'c0', 'e0'
  ])
})
