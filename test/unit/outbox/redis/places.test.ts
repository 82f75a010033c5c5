import { test } from 'tap'
import { assign } from '../../../../lib/outbox/redis/assignment.ts'
import { fromPlace, partitionKeys, partitionOf, sequenceFloor, toPlace } from '../../../../lib/outbox/redis/places.ts'

test('all keys of a partition lie in one slot of a Cluster, and those of programs with other prefixes elsewhere', async (t) => {
  const keys = Object.values(partitionKeys('mbs:', 3))
  t.ok(keys.every((key) => key.startsWith('mbs:{outbox:3}:')))
  t.equal(new Set(keys).size, keys.length)
  t.notSame(partitionKeys('other:', 3), partitionKeys('mbs:', 3))
})

test('a partition key has one partition, and many keys have all of them', async (t) => {
  const counts = Array.from({ length: 16 }, () => 0)
  for (let number = 0; number < 16_000; number++) counts[partitionOf(`device-${number}`, 16)]!++
  t.ok(counts.every((count) => count > 800 && count < 1200), counts.join(' '))
  t.equal(partitionOf('ä€😀', 7), partitionOf('ä€😀', 7))
})

test('a place stands for partition and sequence, as far as numbers go', async (t) => {
  for (const sequence of [1, 2 ** 44, sequenceFloor(Date.UTC(2035, 0, 1))]) {
    for (const partition of [0, 7, 255]) t.same(fromPlace(toPlace(partition, sequence)), { partition, sequence })
  }
})

test('the lowest sequence of a log grows with time, and stays a whole number that is exact', async (t) => {
  t.equal(sequenceFloor(Date.UTC(2020, 0, 1)), 1)
  t.ok(sequenceFloor(Date.UTC(2027, 0, 1)) < sequenceFloor(Date.UTC(2027, 0, 1) + 1000))
  t.ok(Number.isSafeInteger(toPlace(255, sequenceFloor(Date.UTC(2042, 0, 1)))))
})

test('partitions are shared out evenly, whoever reckons it', async (t) => {
  for (let members = 1; members <= 20; members++) {
    const names = Array.from({ length: members }, (_, number) => `member-${number}`)
    const owners = assign(names, 16)
    t.same(assign([...names], 16), owners)
    const loads = names.map((name) => owners.filter((owner) => owner === name).length)
    t.ok(Math.max(...loads) <= Math.ceil(16 / members), loads.join(' '))
    t.notOk(owners.includes(undefined))
  }
  t.same(assign([], 2), [undefined, undefined])
})

test('little changes hands when a program goes', async (t) => {
  let [moved, all] = [0, 0]
  for (let round = 0; round < 50; round++) {
    const names = [0, 1, 2, 3].map((number) => `pod-${round}-${number}`)
    const before = assign(names, 64)
    const after = assign(names.slice(1), 64)
    moved += before.filter((owner, partition) => owner !== names[0] && owner !== after[partition]).length
    all += before.filter((owner) => owner !== names[0]).length
  }
  t.ok(moved / all < 0.25, `${Math.round(100 * moved / all)} % of what need not move`)
})
