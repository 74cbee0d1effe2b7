import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { BrokerError } from '../base/broker-error.ts'
import { systemClock } from '../base/clock.ts'
import { MemoryStore } from '../store/memory-store.ts'
import { CommittedOffsets } from './committed-offsets.ts'

const clock = { ...systemClock, now: () => 1_700_000_000_000 }

function summary(offsets: CommittedOffsets) {
  return Object.fromEntries(
    offsets
      .groups()
      .map((group) => [
        group,
        offsets.list(group)?.map(({ topic, partition, offset }) => `${topic}/${partition}@${offset}`),
      ]),
  )
}

async function makeOffsets(store = new MemoryStore()) {
  const offsets = new CommittedOffsets(store, clock)
  await Promise.all([
    offsets.commit({ group: 'analytics', topic: 'orders', partition: 10, offset: 5 }),
    offsets.commit({ group: 'analytics', topic: 'orders', partition: 2, offset: 0 }),
    offsets.commit({ group: 'analytics', topic: 'events', partition: 0, offset: Number.MAX_SAFE_INTEGER }),
    offsets.commit({ group: 'billing', topic: 'orders', partition: 2, offset: 7 }),
  ])
  return { store, offsets }
}

const ALL = {
  analytics: [`events/0@${Number.MAX_SAFE_INTEGER}`, 'orders/2@0', 'orders/10@5'],
  billing: ['orders/2@7'],
}

test('committed offsets are read by partition, by group, and after a new start', async () => {
  const { store, offsets } = await makeOffsets()
  for (const current of [offsets, new CommittedOffsets(new MemoryStore({ copyOf: store }), clock)]) {
    expect(current.get('analytics', 'orders', 10)).toMatchObject({
      topic: 'orders',
      partition: 10,
      offset: 5,
      leaderEpoch: -1,
      metadata: '',
      committedAtMs: 1_700_000_000_000,
    })
    expect(current.get('analytics', 'orders', 3)).toBeUndefined()
    expect(current.get('nobody', 'orders', 2)).toBeUndefined()
    expect(current.list('nobody')).toBeUndefined()
    expect(summary(current)).toEqual(ALL)
  }
})

test('leader epoch and metadata are kept, and rows of the first version are read', async () => {
  const { store, offsets } = await makeOffsets()
  const name = { group: 'billing', topic: 'orders', partition: 3 }
  await offsets.commit({ ...name, offset: 9, leaderEpoch: 4, metadata: 'ñ ☕' })
  const firstVersion = Buffer.alloc(17)
  firstVersion[0] = 1
  firstVersion.writeBigInt64BE(77n, 1)
  firstVersion.writeBigInt64BE(1_600_000_000_000n, 9)
  await store.commit([{ table: 'offsets', key: 'old\u0000orders\u00000', value: firstVersion }])
  const again = new CommittedOffsets(store, clock)
  expect(again.get('billing', 'orders', 3)).toMatchObject({ offset: 9, leaderEpoch: 4, metadata: 'ñ ☕' })
  const old = { offset: 77, leaderEpoch: -1, metadata: '', committedAtMs: 1_600_000_000_000 }
  expect(again.get('old', 'orders', 0)).toMatchObject(old)
  expect([offsets.count, again.count]).toEqual([5, 6])
})

// One transaction of producer 7 that commits billing orders/2@20 and audit orders/0@1.
const STAGED = [
  { group: 'billing', topic: 'orders', partition: 2, offset: 20, metadata: 'staged' },
  { group: 'audit', topic: 'orders', partition: 0, offset: 1 },
]

test.each([
  [true, { ...ALL, audit: ['orders/0@1'], billing: ['orders/2@20'] }],
  [false, ALL],
])('offsets of a transaction show when it ends (commit: %s), also after a new start', async (isCommit, left) => {
  const { store, offsets } = await makeOffsets()
  await offsets.stage(7, STAGED)
  for (const current of [offsets, new CommittedOffsets(new MemoryStore({ copyOf: store }), clock)]) {
    expect(summary(current)).toEqual(ALL)
    expect(STAGED.map((name) => current.isPending(name))).toEqual([true, true])
    expect(current.isPending({ ...STAGED[0], partition: 3 })).toBe(false)
    expect([current.hasPending('billing'), current.hasPending('analytics')]).toEqual([true, false])
    await current.endTransaction(8, isCommit)
    expect(summary(current)).toEqual(ALL)
    await current.endTransaction(7, isCommit)
    await current.endTransaction(7, !isCommit)
    expect(summary(current)).toEqual(left)
    expect(STAGED.map((name) => current.isPending(name))).toEqual([false, false])
  }
  expect(summary(new CommittedOffsets(store, clock))).toEqual(left)
})

test('a transaction that ends late does not undo what was committed after it was staged', async () => {
  const { store, offsets } = await makeOffsets()
  await offsets.stage(7, STAGED)
  await offsets.commit({ group: 'audit', topic: 'orders', partition: 0, offset: 5 })
  const underWay = offsets.commit({ group: 'billing', topic: 'orders', partition: 2, offset: 30 })
  await Promise.all([underWay, offsets.endTransaction(7, true)])
  const left = { ...ALL, audit: ['orders/0@5'], billing: ['orders/2@30'] }
  expect(summary(offsets)).toEqual(left)
  expect(summary(new CommittedOffsets(store, clock))).toEqual(left)
  await offsets.stage(7, STAGED)
  await offsets.endTransaction(7, true)
  expect(offsets.get('billing', 'orders', 2)?.metadata).toBe('staged')
})

test('what a transaction has staged goes with its topic and its group', async () => {
  const { store, offsets } = await makeOffsets()
  await offsets.stage(7, [...STAGED, { group: 'audit', topic: 'events', partition: 0, offset: 1 }])
  expect(await offsets.remove({ group: 'billing' })).toBe(1)
  expect(await offsets.removeTopic('orders')).toBe(2)
  await offsets.endTransaction(7, true)
  const left = { analytics: ALL.analytics.slice(0, 1), audit: ['events/0@1'] }
  expect(summary(offsets)).toEqual(left)
  expect(summary(new CommittedOffsets(store, clock))).toEqual(left)
})

test('staging that failed leaves what was staged before', async () => {
  let failure: Error | undefined
  const store = new MemoryStore({
    async beforeWrite() {
      if (failure !== undefined) throw failure
    },
  })
  const offsets = new CommittedOffsets(store, clock)
  await offsets.stage(7, [{ ...STAGED[0], offset: 1 }])
  failure = new BrokerError('KAFKA_STORAGE_ERROR', 'full')
  await expect(offsets.stage(7, STAGED)).rejects.toThrow('full')
  await expect(offsets.endTransaction(7, true)).rejects.toThrow('full')
  failure = undefined
  expect(STAGED.map((name) => offsets.isPending(name))).toEqual([true, false])
  await offsets.endTransaction(7, true)
  expect(summary(offsets)).toEqual({ billing: ['orders/2@1'] })
})

test('a later commit replaces an earlier one, also with a smaller offset and under way together', async () => {
  const { offsets } = await makeOffsets()
  const commit = { group: 'billing', topic: 'orders', partition: 2 }
  await Promise.all([offsets.commit({ ...commit, offset: 9 }), offsets.commit({ ...commit, offset: 3 })])
  expect(offsets.get('billing', 'orders', 2)?.offset).toBe(3)
})

test('an offset shows once it is durable, and not when its commit failed', async () => {
  let failure: Error | undefined
  const store = new MemoryStore({
    async beforeWrite() {
      if (failure !== undefined) throw failure
    },
  })
  const offsets = new CommittedOffsets(store, clock)
  const commit = { group: 'g', topic: 't', partition: 0 }
  const underWay = offsets.commit({ ...commit, offset: 1 })
  expect(offsets.get('g', 't', 0)).toBeUndefined()
  await underWay
  expect(offsets.get('g', 't', 0)?.offset).toBe(1)
  failure = new Error('EIO')
  await expect(offsets.commit({ ...commit, offset: 2 })).rejects.toMatchObject({ code: 'KAFKA_STORAGE_ERROR' })
  expect(offsets.get('g', 't', 0)?.offset).toBe(1)
})

test('removing tells how many there were, and leaves the others', async () => {
  const cases: [removal: { group: string; topic?: string }, removed: number, left: object][] = [
    [{ group: 'analytics' }, 3, { billing: ALL.billing }],
    [{ group: 'analytics', topic: 'orders' }, 2, { ...ALL, analytics: ALL.analytics.slice(0, 1) }],
    [{ group: 'analytics', topic: 'none' }, 0, ALL],
    [{ group: 'nobody' }, 0, ALL],
  ]
  for (const [removal, removed, left] of cases) {
    const { store, offsets } = await makeOffsets()
    expect(await offsets.remove(removal)).toBe(removed)
    expect(summary(offsets)).toEqual(left)
    expect(summary(new CommittedOffsets(store, clock))).toEqual(left)
  }
})

test('removing a topic takes it from all groups, with the commits that are under way', async () => {
  const { store, offsets } = await makeOffsets()
  const underWay = offsets.commit({ group: 'late', topic: 'orders', partition: 1, offset: 4 })
  const removed = offsets.removeTopic('orders')
  const after = offsets.commit({ group: 'next', topic: 'orders', partition: 0, offset: 1 })
  await Promise.all([underWay, after])
  expect(await removed).toBe(4)
  const left = { analytics: ALL.analytics.slice(0, 1), next: ['orders/0@1'] }
  expect(summary(offsets)).toEqual(left)
  expect(summary(new CommittedOffsets(store, clock))).toEqual(left)
})

const badGroups = ['', 'a\u0000b', 'line\nbreak', '\u007f', '\u0085', '\ud800', 'x'.repeat(256)]

test.each(badGroups)('the group id %j is refused', async (group) => {
  const offsets = new CommittedOffsets(new MemoryStore(), clock)
  await expect(offsets.commit({ group, topic: 't', partition: 0, offset: 0 })).rejects.toMatchObject({
    code: 'INVALID_GROUP_ID',
    message: expect.stringContaining('1 to 255 characters, none of them a control character'),
  })
})

test('any other text is a group id, and no two groups are mixed up', async () => {
  const id = fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }).filter((text) => !/[\p{Cc}\p{Cs}]/u.test(text))
  const ids = fc.uniqueArray(
    fc.oneof(id, fc.constantFrom('__proto__', 'constructor', '☕'.repeat(255), 'a b', 'a/b', '%')),
  )
  await fc.assert(
    fc.asyncProperty(ids, async (groups) => {
      const store = new MemoryStore()
      const offsets = new CommittedOffsets(store, clock)
      await Promise.all(groups.map((group, offset) => offsets.commit({ group, topic: 't', partition: 0, offset })))
      const again = new CommittedOffsets(store, clock)
      expect(groups.map((group) => again.list(group)?.map(({ offset }) => offset))).toEqual(groups.map((_, at) => [at]))
      expect(again.groups()).toEqual(groups.toSorted())
    }),
  )
})
