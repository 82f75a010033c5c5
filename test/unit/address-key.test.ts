import { test } from 'tap'
import { addressKey } from '../../lib/address-key.ts'

test('an IPv4 address counts by itself, in its IPv6 form as well', async (t) => {
  t.equal(addressKey('192.0.2.1'), '192.0.2.1')
  t.equal(addressKey('::ffff:192.0.2.1'), '192.0.2.1')
  t.equal(addressKey('::FFFF:192.0.2.1'), '192.0.2.1')
})

test('IPv6 counts by its /64, however it is written', async (t) => {
  for (const address of [
    '2001:db8:0:1::1', '2001:db8:0:1:ffff:ffff:ffff:ffff', '2001:0db8:0000:0001::', '2001:db8::1:0:0:0:1', '2001:DB8:0:1:0::2'
  ]) t.equal(addressKey(address), '2001:db8:0:1::/64', address)
  t.not(addressKey('2001:db8:0:2::1'), addressKey('2001:db8:0:1::1'))
  t.equal(addressKey('::1'), '0:0:0:0::/64')
  t.equal(addressKey('2001:db8::'), '2001:db8:0:0::/64')
  t.equal(addressKey('64:ff9b::192.0.2.1'), '64:ff9b:0:0::/64')
})

test('link-local addresses of two networks are two', async (t) => {
  t.equal(addressKey('fe80::1%eth0'), addressKey('fe80::2%eth0'))
  t.not(addressKey('fe80::1%eth0'), addressKey('fe80::1%eth1'))
})

test('what is no address counts as what it is', async (t) => {
  t.equal(addressKey('unknown'), 'unknown')
})
