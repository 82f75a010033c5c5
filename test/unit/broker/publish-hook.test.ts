import { test } from 'tap'
import type { AedesClient, PublishPacket } from '../../../lib/broker/aedes-types.ts'
import type { StorePublish } from '../../../lib/broker/contract.ts'
import { Identities } from '../../../lib/broker/identities.ts'
import { PublishHook } from '../../../lib/broker/publish-hook.ts'
import { UnreleasedPublishes } from '../../../lib/broker/unreleased-publishes.ts'
import { allowAll } from '../../support/broker.ts'
import { createTestTelemetry } from '../../support/log-lines.ts'

function createHook (store: StorePublish) {
  const { telemetry, lines } = createTestTelemetry()
  const unreleased = new UnreleasedPublishes()
  const limits = { topicBytes: 100, topicLevels: 10 }
  const identities = new Identities()
  const hook = new PublishHook({
    store, identities, permissions: allowAll, deniedPublish: 'close', unreleased, limits, telemetry, refused: () => {}
  })
  return { hook, lines }
}

const conn = { facts: { listener: 'l', address: 'a' }, publishArrived () {}, publishStored () {}, publishForwarded () {} }
const client = { id: 'device', clean: true, closed: false, conn } as unknown as AedesClient

function packetOf (fields: Partial<PublishPacket>): PublishPacket {
  return { cmd: 'publish', topic: 'a', payload: Buffer.from('x'), qos: 1, dup: false, retain: false, messageId: 1, ...fields }
}

test('a store that throws is a refusal, not the end of the process', async (t) => {
  const { hook } = createHook(() => { throw new Error('a defect') })
  for (const qos of [0, 1, 2] as const) {
    const answers: unknown[] = []
    hook.authorize(client, packetOf({ qos }), (error) => { answers.push(error) })
    await hook.settled()
    t.match(answers, [{ code: 'MBS_ERR_INGEST_MAPPING', cause: { message: 'a defect' } }])
  }
})

test('a broker that throws when it is called back is not called again, and does not end the process', async (t) => {
  const { hook, lines } = createHook(async () => ({ kind: 'stored' }))
  for (const qos of [0, 1, 2] as const) {
    let calls = 0
    hook.authorize(client, packetOf({ qos, topic: 'a' }), () => {
      calls++
      throw new Error('in the broker')
    })
    await hook.settled()
    await new Promise(setImmediate)
    t.equal(calls, 1)
  }
  let calls = 0
  hook.authorize(client, packetOf({ topic: '$SYS' }), () => {
    calls++
    throw new Error('in the broker')
  })
  t.equal(calls, 1)
  t.match(lines.text, /unexpected failure: the broker, after a publish/)
})

test('a will without its client is stored under the client identifier it was kept with', async (t) => {
  const seen: unknown[] = []
  const { hook } = createHook(async (publish) => {
    seen.push(publish)
    return { kind: 'stored' }
  })
  const answers: unknown[] = []
  const will = { topic: 'gone', payload: Buffer.from('x'), qos: 0, retain: false, clientId: 'lost' } as unknown as PublishPacket
  hook.authorize(null, will, (error) => { answers.push(error) })
  await hook.settled()
  t.match(seen, [{ client: { id: 'lost' }, topic: 'gone', will: true }])
  t.same(answers, [null])
})
