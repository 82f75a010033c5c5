import { test } from 'tap'
import { isLoopback, sameEndpoint } from '../../../lib/config/addresses.ts'

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
