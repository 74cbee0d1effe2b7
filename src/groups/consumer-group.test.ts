import { expect, test } from 'vitest'

import { ConsumerParty } from '../../test/support/consumer-party.ts'
import type { PlainAnswer } from '../../test/support/consumer-party.ts'
import { toPlain } from './assignment.ts'

/** What the members have and are to have, as the group sees it. */
function summary({ group }: ConsumerParty) {
  return Object.fromEntries(
    group.describe().members.map(({ memberId, memberEpoch, assignment, target }) => {
      return [memberId, { epoch: memberEpoch, has: toPlain(assignment), target: toPlain(target) }]
    }),
  )
}

test('the first member gets everything with its first answer', () => {
  const party = new ConsumerParty({ t: 3, u: 1 })
  expect(party.join('a')).toEqual({ memberId: 'a', epoch: 1, assigned: { t: [0, 1, 2] } })
  expect(party.group.describe()).toMatchObject({ state: 'Stable', epoch: 1, assignor: 'uniform' })
  expect(party.send({ memberId: 'a', memberEpoch: 1 })).toEqual({ memberId: 'a', epoch: 1, assigned: undefined })
})

test('a partition goes to another member when the first one has confirmed that it gave it away', () => {
  const party = new ConsumerParty({ t: 4 })
  party.join('a')
  expect(party.join('b')).toEqual({ memberId: 'b', epoch: 2, assigned: {} })
  expect(party.group.state).toBe('Reconciling')
  // It is told what it may keep and stays in its epoch, however often it asks, until it has given away the rest.
  expect(party.send({ memberId: 'a', memberEpoch: 1 })).toEqual({ memberId: 'a', epoch: 1, assigned: { t: [0, 1] } })
  expect(party.send({ memberId: 'a', memberEpoch: 1 })).toEqual({ memberId: 'a', epoch: 1, assigned: undefined })
  expect(party.send({ memberId: 'a', memberEpoch: 1, owned: { t: [0, 1, 3] } })).toMatchObject({ epoch: 1 })
  expect(party.send({ memberId: 'b', memberEpoch: 2 })).toEqual({ memberId: 'b', epoch: 2, assigned: undefined })
  expect(party.send({ memberId: 'a', memberEpoch: 1, owned: { t: [0, 1] } })).toMatchObject({ epoch: 2 })
  expect(party.send({ memberId: 'b', memberEpoch: 2 })).toEqual({ memberId: 'b', epoch: 2, assigned: { t: [2, 3] } })
  expect(party.group.state).toBe('Stable')
})

test('a member gets what is free at once, and the rest as it becomes free', () => {
  const party = new ConsumerParty({ t: 6 })
  party.join('a')
  party.join('b')
  party.send({ memberId: 'a', memberEpoch: 1, owned: { t: [0, 1, 2] } })
  party.send({ memberId: 'b', memberEpoch: 2 })
  // a leaves 0, 1 and 2 behind, of which c gets some, and more of what b is to give away.
  party.send({ memberId: 'a', memberEpoch: -1 })
  party.setTopic('t', 8)
  expect(summary(party)).toMatchObject({ b: { has: { t: [3, 4, 5] } } })
  const c = party.join('c')
  expect(c.assigned?.['t']).toHaveLength(4)
  expect(party.group.state).toBe('Reconciling')
  party.send({ memberId: 'b', memberEpoch: 2 })
  expect(summary(party)).toMatchObject({ b: { epoch: party.group.describe().epoch } })
})

test('a member that does not give away in time is fenced', () => {
  const party = new ConsumerParty({ t: 2 })
  party.join('a')
  party.join('b')
  party.send({ memberId: 'a', memberEpoch: 1 })
  party.pass(29_999)
  expect(party.send({ memberId: 'a', memberEpoch: 1, owned: { t: [0, 1] } })).toMatchObject({ epoch: 1 })
  expect(party.send({ memberId: 'b', memberEpoch: 2 }).assigned).toBeUndefined()
  party.pass(1)
  expect(party.send({ memberId: 'a', memberEpoch: 1, owned: { t: [0] } })).toEqual({ error: 'UNKNOWN_MEMBER_ID' })
  expect(party.send({ memberId: 'b', memberEpoch: 2 })).toEqual({ memberId: 'b', epoch: 3, assigned: { t: [0, 1] } })
})

test('a session ends without heartbeats, and its partitions go to the others', () => {
  const party = new ConsumerParty({ t: 2 })
  party.join('a')
  party.pass(44_999)
  party.join('b')
  party.pass(1)
  expect(summary(party)).toEqual({ b: { epoch: 2, has: {}, target: { t: [0, 1] } } })
  expect(party.send({ memberId: 'b', memberEpoch: 2 })).toEqual({ memberId: 'b', epoch: 3, assigned: { t: [0, 1] } })
  party.pass(45_000)
  expect(party.group.describe()).toMatchObject({ state: 'Empty', epoch: 4, members: [] })
  expect(party.group.deadline).toBeUndefined()
  expect([...party.rows.keys()]).toEqual([undefined])
})

// Every request that is refused. The group has a (epoch 2, static as "i") and b (epoch 2), both with one partition.
type Request = Parameters<ConsumerParty['send']>[0]
const whole = { rebalanceTimeoutMs: 1_000, subscribedTopics: ['t'], owned: {} }

test.each<[asked: string, request: Request, error: string]>([
  ['an epoch below -2', { memberId: 'b', memberEpoch: -3 }, 'INVALID_REQUEST'],
  ['a heartbeat without a member id', { memberId: '', memberEpoch: 2 }, 'INVALID_REQUEST'],
  ['a leave without a member id', { memberId: '', memberEpoch: -1 }, 'INVALID_REQUEST'],
  ['a dynamic member that leaves for a while', { memberId: 'b', memberEpoch: -2 }, 'INVALID_REQUEST'],
  ['an empty instance id', { memberId: 'b', memberEpoch: 2, instanceId: '' }, 'INVALID_REQUEST'],
  ['an empty rack id', { memberId: 'b', memberEpoch: 2, rackId: '' }, 'INVALID_REQUEST'],
  ['a member id that cannot be stored', { memberId: 'b\u0000', ...whole }, 'INVALID_REQUEST'],
  ['a join without a rebalance timeout', { memberId: 'c', ...whole, rebalanceTimeoutMs: undefined }, 'INVALID_REQUEST'],
  ['a join without a subscription', { memberId: 'c', ...whole, subscribedTopics: undefined }, 'INVALID_REQUEST'],
  ['a join that does not say what it has', { memberId: 'c', ...whole, owned: undefined }, 'INVALID_REQUEST'],
  ['a join with partitions', { memberId: 'c', ...whole, owned: { t: [0] } }, 'INVALID_REQUEST'],
  [
    'a subscription that is too long',
    { memberId: 'b', memberEpoch: 2, subscribedTopics: ['t'.repeat(200)] },
    'INVALID_REQUEST',
  ],
  ['an unknown assignor', { memberId: 'c', ...whole, assignor: 'sticky' }, 'UNSUPPORTED_ASSIGNOR'],
  ['a pattern that is none', { memberId: 'b', memberEpoch: 2, subscribedRegex: '(' }, 'INVALID_REGULAR_EXPRESSION'],
  ['one member too many', { memberId: 'c', ...whole }, 'GROUP_MAX_SIZE_REACHED'],
  [
    'a subscription for which there is no memory',
    { memberId: 'b', memberEpoch: 2, subscribedTopics: ['t'.repeat(99)] },
    'GROUP_MAX_SIZE_REACHED',
  ],
  ['an unknown member', { memberId: 'c', memberEpoch: 2 }, 'UNKNOWN_MEMBER_ID'],
  ['an unknown member that leaves', { memberId: 'c', memberEpoch: -1 }, 'UNKNOWN_MEMBER_ID'],
  ['an unknown instance', { memberId: 'a', memberEpoch: 2, instanceId: 'j' }, 'UNKNOWN_MEMBER_ID'],
  ['an instance of another member', { memberId: 'b', memberEpoch: 2, instanceId: 'i' }, 'FENCED_INSTANCE_ID'],
  [
    'an instance of another member that leaves',
    { memberId: 'b', memberEpoch: -1, instanceId: 'i' },
    'FENCED_INSTANCE_ID',
  ],
  ['a join as an instance that has not left', { memberId: 'c', ...whole, instanceId: 'i' }, 'UNRELEASED_INSTANCE_ID'],
  [
    'a join as an instance with the id of another member',
    { memberId: 'b', ...whole, instanceId: 'i' },
    'INVALID_REQUEST',
  ],
  ['a later epoch', { memberId: 'b', memberEpoch: 3 }, 'FENCED_MEMBER_EPOCH'],
  ['an earlier epoch', { memberId: 'b', memberEpoch: 1, owned: {} }, 'FENCED_MEMBER_EPOCH'],
  ['the epoch before without what it has', { memberId: 'a', memberEpoch: 1 }, 'FENCED_MEMBER_EPOCH'],
  ['the epoch before with too much', { memberId: 'a', memberEpoch: 1, owned: { t: [0, 1] } }, 'FENCED_MEMBER_EPOCH'],
])('%s is refused, and changes nothing', (_asked, request, error) => {
  const party = new ConsumerParty({ t: 2 }, { membersPerGroupMax: 2, memberBytesMax: 100, bytesPerGroupMax: 99 })
  party.join('a', { instanceId: 'i' })
  party.join('b')
  party.send({ memberId: 'a', memberEpoch: 1, owned: { t: [0] } })
  party.send({ memberId: 'b', memberEpoch: 2 })
  const before = [summary(party), new Map(party.rows)]
  expect(party.send(request)).toEqual({ error })
  expect([summary(party), party.rows]).toEqual(before)
  // When the answer that told of the new epoch was lost, the member asks again in the one before.
  const again = party.send({ memberId: 'a', memberEpoch: 1, owned: { t: [0] } })
  expect(again).toEqual({ memberId: 'a', epoch: 2, assigned: undefined })
})

test('a member that has lost everything joins again under its id, and is told all it may have', () => {
  const party = new ConsumerParty({ t: 4 })
  party.join('a')
  party.join('b')
  party.send({ memberId: 'a', memberEpoch: 1 })
  expect(party.join('a')).toEqual({ memberId: 'a', epoch: 2, assigned: { t: [0, 1] } })
  expect(party.send({ memberId: 'b', memberEpoch: 2 })).toMatchObject({ assigned: { t: [2, 3] } })
  expect(party.join('a')).toEqual({ memberId: 'a', epoch: 2, assigned: { t: [0, 1] } })
  expect(party.group.describe().epoch).toBe(2)
})

test('a member that says everything is told everything', () => {
  const party = new ConsumerParty({ t: 1 })
  party.join('a')
  const all = { rebalanceTimeoutMs: 30_000, subscribedTopics: ['t'], owned: { t: [0] } }
  expect(party.send({ memberId: 'a', memberEpoch: 1, ...all })).toEqual({
    memberId: 'a',
    epoch: 1,
    assigned: { t: [0] },
  })
})

test('a member without an id gets one', () => {
  const party = new ConsumerParty({ t: 1 })
  expect(party.join('')).toEqual({ memberId: 'made-1', epoch: 1, assigned: { t: [0] } })
})

test('the place of a static member that left for a while is kept, and is its again under another id', () => {
  const party = new ConsumerParty({ t: 4 })
  party.join('a', { instanceId: 'i' })
  party.join('b')
  party.send({ memberId: 'a', memberEpoch: 1, owned: { t: [0, 1] } })
  party.send({ memberId: 'b', memberEpoch: 2 })
  expect(party.send({ memberId: 'a', memberEpoch: -2, instanceId: 'i' })).toMatchObject({ epoch: -2 })
  expect(party.send({ memberId: 'b', memberEpoch: 2 })).toMatchObject({ epoch: 2, assigned: undefined })
  expect(party.send({ memberId: 'a', memberEpoch: 2, instanceId: 'i' })).toEqual({ error: 'FENCED_MEMBER_EPOCH' })
  party.pass(44_000)
  party.send({ memberId: 'b', memberEpoch: 2 })
  expect(party.join('a2', { instanceId: 'i' })).toEqual({ memberId: 'a2', epoch: 2, assigned: { t: [0, 1] } })
  expect(party.group.describe()).toMatchObject({ state: 'Stable', epoch: 2 })
  expect([...party.rows.keys()]).toEqual([undefined, 'b', 'a2'])
  expect(party.send({ memberId: 'a', memberEpoch: 2, instanceId: 'i' })).toEqual({ error: 'FENCED_INSTANCE_ID' })
})

test('a static member that does not come back in time loses its place', () => {
  const party = new ConsumerParty({ t: 1 })
  party.join('a', { instanceId: 'i' })
  party.send({ memberId: 'a', memberEpoch: -2, instanceId: 'i' })
  party.join('b')
  expect(summary(party)).toMatchObject({ b: { has: {} } })
  party.pass(44_999)
  expect(party.send({ memberId: 'b', memberEpoch: 2 })).toMatchObject({ assigned: undefined })
  party.pass(1)
  expect(party.send({ memberId: 'b', memberEpoch: 2 })).toMatchObject({ epoch: 3, assigned: { t: [0] } })
})

test('what a static member was to give away is free when it leaves for a while', () => {
  const party = new ConsumerParty({ t: 2 })
  party.join('a', { instanceId: 'i' })
  party.join('b')
  expect(party.send({ memberId: 'a', memberEpoch: 1 })).toMatchObject({ assigned: { t: [0] } })
  party.send({ memberId: 'a', memberEpoch: -2, instanceId: 'i' })
  expect(party.send({ memberId: 'b', memberEpoch: 2 })).toMatchObject({ assigned: { t: [1] } })
  expect(party.join('a2', { instanceId: 'i' })).toMatchObject({ epoch: 2, assigned: { t: [0] } })
})

test('topics come, grow and go, by name and by pattern', () => {
  const party = new ConsumerParty({ t: 1, 'orders-eu': 1 })
  const subscription = { subscribedTopics: ['t', 'later'], subscribedRegex: 'orders-.*' }
  expect(party.join('a', subscription)).toMatchObject({ epoch: 1, assigned: { t: [0], 'orders-eu': [0] } })
  const steps: [topic: string, partitions: number | undefined, epoch: number, now: PlainAnswer['assigned']][] = [
    ['other', 5, 1, undefined],
    ['later', 2, 2, { t: [0], 'orders-eu': [0], later: [0, 1] }],
    ['orders-us', 1, 3, { t: [0], 'orders-eu': [0], 'orders-us': [0], later: [0, 1] }],
    ['orders-us', 1, 3, undefined],
    ['orders-us', 2, 4, { t: [0], 'orders-eu': [0], 'orders-us': [0, 1], later: [0, 1] }],
    ['t', undefined, 5, { 'orders-eu': [0], 'orders-us': [0, 1], later: [0, 1] }],
    ['orders-eu', undefined, 6, { 'orders-us': [0, 1], later: [0, 1] }],
    ['other', undefined, 6, undefined],
  ]
  let epoch = 1
  for (const [topic, partitions, next, assigned] of steps) {
    party.setTopic(topic, partitions)
    expect(party.send({ memberId: 'a', memberEpoch: epoch })).toEqual({ memberId: 'a', epoch: next, assigned })
    epoch = next
  }
})

test('a topic that was deleted and made anew is another one: whoever had it is told', () => {
  const party = new ConsumerParty({ t: 2 })
  party.join('a')
  party.join('b')
  party.send({ memberId: 'a', memberEpoch: 1 })
  party.setTopic('t', undefined)
  expect(summary(party)).toEqual({ a: { epoch: 1, has: {}, target: {} }, b: { epoch: 2, has: {}, target: {} } })
  party.setTopic('t', 2)
  const answers = ['a', 'b'].map((memberId, index) => party.send({ memberId, memberEpoch: index + 1 }))
  expect(answers).toEqual([
    { memberId: 'a', epoch: 4, assigned: { t: [0] } },
    { memberId: 'b', epoch: 4, assigned: { t: [1] } },
  ])
})

test('a subscription that changes makes another target, the same one again does not', () => {
  const party = new ConsumerParty({ t: 1, u: 1, v: 1 })
  party.join('a', { subscribedTopics: ['u', 't'] })
  const send = (subscription: Partial<Request>) =>
    party.send({ memberId: 'a', memberEpoch: party.group.describe().epoch, ...subscription })
  expect(send({ subscribedTopics: ['t', 'u', 't'] })).toMatchObject({ epoch: 1, assigned: undefined })
  expect(send({ subscribedTopics: ['v', 't'] })).toMatchObject({ epoch: 1, assigned: { t: [0] } })
  expect(party.send({ memberId: 'a', memberEpoch: 1, owned: { t: [0] } })).toMatchObject({
    epoch: 2,
    assigned: { t: [0], v: [0] },
  })
  expect(send({ subscribedRegex: '[tuv]' })).toMatchObject({ epoch: 3, assigned: { t: [0], u: [0], v: [0] } })
  expect(send({ subscribedTopics: [], subscribedRegex: 'v' }).assigned).toEqual({ v: [0] })
  expect(party.group.describe().members).toMatchObject([{ subscribedTopics: [], subscribedRegex: 'v' }])
})

test('the assignor that most members ask for assigns', () => {
  const party = new ConsumerParty({ t: 4, u: 4 })
  const topics = { subscribedTopics: ['t', 'u'] }
  party.join('a', { ...topics, assignor: 'range' })
  party.join('b', topics)
  expect(party.group.describe().assignor).toBe('range')
  expect(summary(party)).toMatchObject({
    a: { target: { t: [0, 1], u: [0, 1] } },
    b: { target: { t: [2, 3], u: [2, 3] } },
  })
  party.send({ memberId: 'b', memberEpoch: 2, assignor: 'uniform' })
  party.send({ memberId: 'a', memberEpoch: 1, assignor: 'uniform' })
  expect(party.group.describe()).toMatchObject({ assignor: 'uniform', epoch: 4 })
})

test.each<[member: Parameters<ConsumerParty['group']['checkCommit']>[0], isTransactional: boolean, error: string]>([
  [{ memberId: 'a', generation: 1 }, false, 'fine'],
  [{ memberId: 'a', generation: 1 }, true, 'fine'],
  [{ memberId: 'a', generation: 0 }, false, 'STALE_MEMBER_EPOCH'],
  [{ memberId: 'a', generation: 2 }, true, 'ILLEGAL_GENERATION'],
  [{ memberId: 'x', generation: 1 }, false, 'UNKNOWN_MEMBER_ID'],
  [{ memberId: '', generation: -1 }, false, 'UNKNOWN_MEMBER_ID'],
  [{ memberId: '', generation: -1 }, true, 'fine'],
])('a commit of %j (in a transaction: %s) is answered with %s', (member, isTransactional, error) => {
  const party = new ConsumerParty({ t: 1 })
  expect(party.group.checkCommit({ memberId: '', generation: -1 }, false)).toBeUndefined()
  party.join('a')
  expect(party.group.checkCommit(member, isTransactional)?.error ?? 'fine').toBe(error)
})

test('who fetches offsets need not say who it is, but if it does it must be right', () => {
  const party = new ConsumerParty({ t: 1 })
  party.join('a')
  const fetch = (member: Parameters<typeof party.group.checkFetch>[0]) =>
    party.group.checkFetch(member)?.error ?? 'fine'
  expect(fetch({ generation: -1 })).toBe('fine')
  expect(fetch({ memberId: 'a', generation: 1 })).toBe('fine')
  expect(fetch({ memberId: 'a', generation: 2 })).toBe('STALE_MEMBER_EPOCH')
  expect(fetch({ memberId: 'x', generation: 1 })).toBe('UNKNOWN_MEMBER_ID')
})

test('after a restart nothing has changed for the members, and they have a whole session', () => {
  const party = new ConsumerParty({ t: 4, u: 1 })
  party.join('a', { instanceId: 'i', subscribedRegex: '[tu]' })
  party.join('b', { rackId: 'r', assignor: 'range' })
  party.send({ memberId: 'a', memberEpoch: 1 })
  const before = party.group.describe()
  const rows = new Map(party.rows)
  party.pass(20_000)
  party.restart()
  expect(party.group.describe()).toEqual(before)
  expect(party.rows).toEqual(rows)
  party.pass(29_999)
  const owned = before.members[0].assignment
  expect(party.send({ memberId: 'a', memberEpoch: 1, instanceId: 'i', owned: toPlain(owned) })).toMatchObject({
    epoch: 2,
  })
  expect(party.send({ memberId: 'b', memberEpoch: 2 }).assigned).toEqual(summary(party)['b'].target)
})

test('after a restart a revocation that was under way has its time again, and topics are what they are then', () => {
  const party = new ConsumerParty({ t: 2, u: 1 })
  const subscription = { subscribedTopics: ['t', 'u'] }
  party.join('a', subscription)
  party.join('b', subscription)
  party.send({ memberId: 'a', memberEpoch: 1 })
  party.topics.delete('u')
  party.topics.set('t', 3)
  party.restart()
  const { epoch, members } = party.group.describe()
  expect([epoch, members.flatMap(({ target }) => [...target.keys()])]).toEqual([3, ['t', 't']])
  party.pass(30_000)
  expect(summary(party)).toMatchObject({ b: { target: { t: [0, 1, 2] } } })
})
