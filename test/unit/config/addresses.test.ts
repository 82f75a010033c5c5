import { test } from 'tap'
import { describeListener, isLoopback, isNetwork, sameEndpoint, separateFamilies } from '../../../lib/config/addresses.ts'

test('loopback is 127.0.0.0/8, ::1 however written, and localhost', async (t) => {
  for (const host of ['127.0.0.1', '127.255.255.254', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1', 'localhost', 'LOCALHOST']) {
    t.equal(isLoopback(host), true, host)
  }
})

test('everything else is not, whatever it looks like', async (t) => {
  for (const host of ['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', '127.0.0.1.example.com', 'localhost.example.com', '::ffff:10.0.0.1', '127.1', '']) {
    t.equal(isLoopback(host), false, host)
  }
})

test('two servers clash on the same port where their hosts overlap', async (t) => {
  const clash = (a: string, b: string, portA = 1883, portB = 1883) =>
    sameEndpoint({ host: a, port: portA }, { host: b, port: portB })
  t.equal(clash('127.0.0.1', '127.0.0.1'), true)
  t.equal(clash('localhost', '127.0.0.1'), true)
  t.equal(clash('0.0.0.0', '127.0.0.1'), true)
  t.equal(clash('10.0.0.1', '::'), true)
  t.equal(clash('127.0.0.1', '10.0.0.1'), false)
  t.equal(clash('127.0.0.1', '127.0.0.1', 1883, 1884), false)
  t.equal(clash('127.0.0.1', '127.0.0.1', 0, 0), false, 'port 0 is always a free one')
})

test('two hosts are of separate families where one is IPv4 and the other one IPv6', async (t) => {
  const separate = (a: string, b: string) => separateFamilies({ host: a }, { host: b })
  t.equal(separate('0.0.0.0', '::'), true)
  t.equal(separate('::', 'localhost'), true)
  t.equal(separate('::', '::1'), false)
  t.equal(separate('::', 'gateway.local'), false, 'nobody knows')
  t.equal(separateFamilies({ host: '::' }, {}), false)
})

test('a network has as many bits as its family', async (t) => {
  for (const network of ['10.0.0.0/8', '10.0.0.1', '::/0', '::1/128']) t.equal(isNetwork(network), true, network)
  for (const network of ['10.0.0.0/33', '::/129', 'a', '1.2.3.4/1/1']) t.equal(isNetwork(network), false, network)
})

test('a listener is named by where it is', async (t) => {
  t.equal(describeListener({ protocol: 'mqtt', host: '127.0.0.1', port: 1883 }), 'mqtt 127.0.0.1:1883')
  t.equal(describeListener({ protocol: 'ws', socket: '/run/ws.sock' }), 'ws /run/ws.sock')
})
