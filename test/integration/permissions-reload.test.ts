import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { createSource } from '../../lib/index.ts'
import { RawMqtt } from '../support/raw-mqtt.ts'

test('permissions that are read again count for sessions that are there; a broken file changes nothing', async (t) => {
  const directory = t.testdir()
  const permissionsFile = join(directory, 'permissions.yaml')
  const allow = (topic: string) => { writeFileSync(permissionsFile, `permissions: [{ who: "*", publish: [${topic}], subscribe: [${topic}] }]`) }
  allow('a')
  const source = createSource({
    env: {},
    settings: {
      listeners: [{ port: 0 }],
      http: { port: 0 },
      outbox: { store: 'memory' },
      sink: { kind: 'http' },
      log: { level: 'silent' },
      access: { permissionsFile, deniedPublish: 'drop' }
    }
  })
  t.teardown(async () => { await source.close() })
  await source.start()
  const device = await RawMqtt.open(Number(source.addresses.listeners[0]!.address.split(':').at(-1)))
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'a', qos: 0 }] })
  t.same((await device.next('suback')).granted, [0])
  const publish = async () => {
    device.publish({ topic: 'a', qos: 1, messageId: 1 })
    await device.next('puback')
  }
  await publish()
  await device.next('publish')
  writeFileSync(permissionsFile, 'permissions: [')
  t.match(await source.reload(), [{ code: 'MBS_ERR_RELOAD_FAILED', cause: { code: 'MBS_ERR_ACCESS_PERMISSIONS' } }])
  await publish()
  await device.next('publish')
  allow('b')
  t.same(await source.reload(), [])
  await publish()
  await device.ping()
  t.same(device.received, [])
  allow('a')
  await source.reload()
  await publish()
  await device.next('publish')
})
