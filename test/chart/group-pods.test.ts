/**
 * Two pods of the chart on a real Redis, with the environment and the mounts of the rendered pod: the program is the
 * built one. What one has acknowledged the other delivers.
 */
import { Redis } from 'ioredis'
import { connectAsync } from 'mqtt'
import { test } from 'tap'
import { MISSING, render, workloadOf } from '../support/chart.ts'
import { Node } from '../support/chart-pod.ts'
import { startHttpSink } from '../support/http-sink.ts'
import type { Program } from '../support/process.ts'
import { parseMetrics, sampleOf } from '../support/prometheus.ts'
import { startRedis } from '../support/redis.ts'

async function partitionsOf (program: Program): Promise<number | undefined> {
  const answer = await fetch(`http://127.0.0.1:${program.port('http')}/metrics`)
  return sampleOf(parseMetrics(await answer.text()), 'mqtt_broker_source_outbox_partitions')
}

async function until (condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!await condition()) await new Promise((resolve) => { setTimeout(resolve, 20) })
}

async function publish (program: Program, payload: string): Promise<void> {
  const client = await connectAsync(`mqtt://127.0.0.1:${program.port('mqtt')}`, { clientId: 'pump-7', reconnectPeriod: 0 })
  await client.publishAsync('sites/north/telemetry', payload, { qos: 1 })
  await client.endAsync()
}

test('pods share what is in Redis, behind its password: what one acknowledged the other delivers', { skip: MISSING }, async (t) => {
  const redis = await startRedis(t, ['--requirepass', 'a secret'])
  const sink = await startHttpSink(t)
  let status = 503
  sink.answer = () => ({ status })
  const manifests = render({
    example: 'redis-group',
    values: {
      redis: { url: redis.url, username: '', tls: { existingSecret: '' } },
      sink: { mode: 'uri', uri: sink.url, ref: { name: '' } },
      listeners: { mqtts: { enabled: false }, mqtt: { enabled: true, anonymous: true } },
      tls: { existingSecret: '' },
      auth: { users: { existingSecret: '' } },
      service: { type: 'ClusterIP', externalTrafficPolicy: '' },
      autoscaling: { enabled: false },
      drain: { delay: 'PT0.2S', window: 'PT0.2S' },
      config: {
        outbox: { replicas: 0 },
        delivery: { backoffMax: 'PT1S' }
      }
    }
  })
  const pod = workloadOf(manifests).spec.template.spec
  const start = async (name: string): Promise<Program> => {
    const node = new Node(`${t.testdirName}/${name}`, manifests)
    // A Secret holds what an editor leaves at the end of a line.
    node.fill('redis', { password: 'a secret\n' })
    return await node.start(t, pod)
  }
  const first = await start('first')
  t.equal(await partitionsOf(first), 16)
  await publish(first, 'one')
  await sink.waitFor(1)

  const second = await start('second')
  await until(async () => await partitionsOf(second) === 8)
  t.equal(await first.stop(), 0)
  status = 202
  await publish(second, 'two')
  const taken = (): string[] => sink.requests.map((request) => request.payload().toString())
  await until(() => taken().includes('two'))
  t.equal(taken().filter((payload) => payload === 'two').length, 1)
  const ids = sink.requests.filter((request) => request.payload().toString() === 'one').map((request) => request.event().id)
  t.equal(new Set(ids).size, 1, 'the same event, tried by both')
  t.equal(taken().at(-1), 'two', 'in the order of its device')

  const client = new Redis({ port: redis.port, host: '127.0.0.1', password: 'a secret' })
  t.teardown(() => { client.disconnect() })
  const keys = await client.keys('*')
  t.ok(keys.length > 0)
  const { name } = workloadOf(manifests).metadata
  // Those of sessions have it in the braces that keep them in one slot of a Cluster.
  const strangers = keys.filter((key) => !key.replace(/^\{/, '').startsWith(`mbs:devices/${name}:`))
  t.strictSame(strangers, [], 'nothing beside the prefix of the release')
  t.equal(await second.stop(), 0)
})
