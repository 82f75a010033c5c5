import { test } from 'tap'
import type { ConnectPacket } from '../../../lib/broker/aedes-types.ts'
import { connectProblem } from '../../../lib/broker/connect-hook.ts'

const limits = { topicBytes: 100, topicLevels: 5 }

function codeOf (fields: Partial<ConnectPacket>): string | undefined {
  const packet = { cmd: 'connect', clientId: 'device', clean: true, keepalive: 0, protocolId: 'MQTT', protocolVersion: 4, ...fields }
  return connectProblem(packet as ConnectPacket, limits)?.code
}

const will = { topic: 'a', payload: Buffer.from('x'), qos: 0 as const, retain: false }

test('who may have a session', async (t) => {
  t.equal(codeOf({}), undefined)
  t.equal(codeOf({ clientId: '', clean: true }), undefined)
  t.equal(codeOf({ clientId: 'x'.repeat(256) }), undefined)
  t.equal(codeOf({ clientId: 'x'.repeat(23), protocolVersion: 3 }), undefined)
  t.equal(codeOf({ will }), undefined)
})

test('who may not, and the first reason that counts', async (t) => {
  t.equal(codeOf({ protocolVersion: 5, clientId: '', clean: false }), 'MBS_ERR_BROKER_MQTT5')
  t.equal(codeOf({ clientId: '', clean: false }), 'MBS_ERR_BROKER_CLIENT_ID')
  t.equal(codeOf({ clientId: '', protocolVersion: 3 }), 'MBS_ERR_BROKER_CLIENT_ID')
  t.equal(codeOf({ clientId: 'x'.repeat(257) }), 'MBS_ERR_BROKER_CLIENT_ID')
  t.equal(codeOf({ clientId: 'x'.repeat(24), protocolVersion: 3 }), 'MBS_ERR_BROKER_CLIENT_ID')
  t.equal(codeOf({ will: { ...will, topic: '' } }), 'MBS_ERR_BROKER_WILL')
  t.equal(codeOf({ will: { ...will, topic: 'a/#' } }), 'MBS_ERR_BROKER_WILL')
  t.equal(codeOf({ will: { ...will, topic: 'a/b/c/d/e/f' } }), 'MBS_ERR_BROKER_WILL')
  t.equal(codeOf({ will: { ...will, qos: 3 as 2 } }), 'MBS_ERR_BROKER_WILL')
})
