import { expect, test } from 'vitest'

import { assignmentOf, ClassicParty, errorOf, memberOf } from '../../test/support/classic-party.ts'
import type { Member } from '../../test/support/classic-party.ts'
import { isRefusal } from './outcome.ts'

test('a member without an id is told one, waits for others, and leads', () => {
  const party = new ClassicParty()
  const asked = party.join({ clientId: 'app', requiresMemberId: true })
  expect(asked.answer).toMatchObject({ error: 'MEMBER_ID_REQUIRED', memberId: 'app-1' })
  expect(party.group.state).toBe('Empty')
  const join = party.join({ memberId: 'app-1', protocols: { range: 'r', sticky: 's' } })
  expect([errorOf(join), party.group.state]).toEqual(['waiting', 'PreparingRebalance'])
  party.pass(99)
  expect(errorOf(join)).toBe('waiting')
  party.pass(1)
  expect(join.answer).toEqual({
    memberId: 'app-1',
    generation: 1,
    protocolType: 'consumer',
    protocol: 'range',
    leader: 'app-1',
    members: [{ memberId: 'app-1', instanceId: undefined, metadata: Buffer.from('r') }],
    skipAssignment: false,
  })
  expect(party.group.state).toBe('CompletingRebalance')
  const sync = party.sync(memberOf(join), { 'app-1': 'all', stranger: 'some' })
  expect(sync.answer).toEqual({ protocolType: 'consumer', protocol: 'range', assignment: Buffer.from('all') })
  expect(party.group.state).toBe('Stable')
  expect(party.heartbeat(memberOf(join))).toBe('fine')
})

test('the first generation waits as long as members keep coming, but no longer than a rebalance may take', () => {
  const party = new ClassicParty()
  const joins = [party.join({ rebalanceTimeoutMs: 250 })]
  for (const wait of [60, 90, 90]) {
    party.pass(wait)
    expect(joins.map(errorOf)).toEqual(joins.map(() => 'waiting'))
    joins.push(party.join({ rebalanceTimeoutMs: 250 }))
  }
  party.pass(10)
  expect(joins.map(errorOf)).toEqual(joins.map(() => 'fine'))
  expect(joins.map((join) => memberOf(join).isLeader)).toEqual([true, false, false, false])
})

test.each<[offers: Record<string, string>[], chosen: string]>([
  [[{ a: '' }, { b: '', a: '' }], 'a'],
  [
    [
      { a: '', b: '' },
      { b: '', a: '' },
      { b: '', a: '' },
    ],
    'b',
  ],
  [
    [
      { a: '', b: '', c: '' },
      { c: '', b: '' },
      { d: '', c: '', b: '' },
    ],
    'c',
  ],
])('of the protocols %j the members choose %s', (offers, chosen) => {
  const party = new ClassicParty()
  const joins = offers.map((protocols) => party.join({ protocols }))
  party.pass(1_000)
  expect(joins.map(({ answer }) => answer)).toEqual(offers.map(() => expect.objectContaining({ protocol: chosen })))
})

test('followers wait for the leader, and whom it forgets gets nothing', () => {
  const party = new ClassicParty()
  const joins = ['a', 'b', 'c'].map((clientId) => party.join({ clientId }))
  party.pass(1_000)
  const [a, b, c] = joins.map(memberOf)
  const early = party.sync(b)
  expect([errorOf(early), party.heartbeat(b)]).toEqual(['waiting', 'fine'])
  expect(assignmentOf(party.sync(a, { [a.memberId]: 'x', [b.memberId]: 'y' }))).toBe('x')
  expect(assignmentOf(early)).toBe('y')
  expect(assignmentOf(party.sync(c))).toBe('')
  expect(party.group.describe()).toMatchObject({ state: 'Stable', generation: 1, members: [{}, {}, {}] })
})

// Every request that is refused in some state, with the state that it finds.
const stable = (party: ClassicParty): Member => party.gather(['a', 'b'])[1]
const preparing = (party: ClassicParty): Member => {
  const [, member] = party.gather(['a', 'b'])
  party.join({ clientId: 'new' })
  return member
}
const completing = (party: ClassicParty): Member => {
  const join = party.join({ clientId: 'a' })
  party.pass(1_000)
  return memberOf(join)
}
const empty = (party: ClassicParty): Member => {
  const [member] = party.gather(['a'])
  party.leave(member)
  return member
}
const named = (party: ClassicParty): Member => party.gather(['a'], { instanceId: 'i' })[0]

type Ask = (party: ClassicParty, member: Member) => string
const join =
  (request: Parameters<ClassicParty['join']>[0]): Ask =>
  (party) =>
    errorOf(party.join(request))

test.each<[found: (party: ClassicParty) => Member, asked: string, ask: Ask, error: string]>([
  [empty, 'a join with a short session', join({ sessionTimeoutMs: 5_999 }), 'INVALID_SESSION_TIMEOUT'],
  [empty, 'a join with a long session', join({ sessionTimeoutMs: 1_800_001 }), 'INVALID_SESSION_TIMEOUT'],
  [empty, 'a join without a protocol', join({ protocols: {} }), 'INCONSISTENT_GROUP_PROTOCOL'],
  [empty, 'a join without a protocol type', join({ protocolType: '' }), 'INCONSISTENT_GROUP_PROTOCOL'],
  [empty, 'a join of an unknown member', join({ memberId: 'x' }), 'UNKNOWN_MEMBER_ID'],
  [empty, 'a join with an instance id that cannot be stored', join({ instanceId: 'a\u0000' }), 'INVALID_REQUEST'],
  [empty, 'a join that brings too much', join({ protocols: { a: 'x'.repeat(2 ** 20) } }), 'INVALID_REQUEST'],
  [stable, 'a join of another type', join({ protocolType: 'connect' }), 'INCONSISTENT_GROUP_PROTOCOL'],
  [stable, 'a join by another protocol', join({ protocols: { x: '' } }), 'INCONSISTENT_GROUP_PROTOCOL'],
  [stable, 'a join of an unknown member', join({ memberId: 'x' }), 'UNKNOWN_MEMBER_ID'],
  [stable, 'a join of an unknown instance', join({ memberId: 'x', instanceId: 'i' }), 'UNKNOWN_MEMBER_ID'],
  [named, 'a join of a fenced instance', join({ memberId: 'x', instanceId: 'i' }), 'FENCED_INSTANCE_ID'],

  [empty, 'a sync', (party, member) => errorOf(party.sync(member)), 'UNKNOWN_MEMBER_ID'],
  [preparing, 'a sync', (party, member) => errorOf(party.sync(member)), 'REBALANCE_IN_PROGRESS'],
  [
    stable,
    'a sync of an unknown member',
    (party) => errorOf(party.sync({ memberId: 'x', generation: 1 })),
    'UNKNOWN_MEMBER_ID',
  ],
  [
    stable,
    'a sync of another generation',
    (party, member) => errorOf(party.sync({ ...member, generation: 2 })),
    'ILLEGAL_GENERATION',
  ],
  [
    stable,
    'a sync of another type',
    (party, member) => errorOf(party.sync({ ...member, protocolType: 'x' })),
    'INCONSISTENT_GROUP_PROTOCOL',
  ],
  [
    stable,
    'a sync by another protocol',
    (party, member) => errorOf(party.sync({ ...member, protocol: 'x' })),
    'INCONSISTENT_GROUP_PROTOCOL',
  ],
  [
    named,
    'a sync of a fenced instance',
    (party, member) => errorOf(party.sync({ ...member, memberId: 'x', instanceId: 'i' })),
    'FENCED_INSTANCE_ID',
  ],

  [empty, 'a heartbeat', (party, member) => party.heartbeat(member), 'UNKNOWN_MEMBER_ID'],
  [preparing, 'a heartbeat', (party, member) => party.heartbeat(member), 'REBALANCE_IN_PROGRESS'],
  [completing, 'a heartbeat', (party, member) => party.heartbeat(member), 'fine'],
  [stable, 'a heartbeat', (party, member) => party.heartbeat(member), 'fine'],
  [
    stable,
    'a heartbeat of another generation',
    (party, member) => party.heartbeat({ ...member, generation: 0 }),
    'ILLEGAL_GENERATION',
  ],
  [
    stable,
    'a heartbeat of an unknown member',
    (party, member) => party.heartbeat({ ...member, memberId: 'x' }),
    'UNKNOWN_MEMBER_ID',
  ],
  [
    named,
    'a heartbeat of an unknown instance',
    (party, member) => party.heartbeat({ ...member, instanceId: 'x' }),
    'UNKNOWN_MEMBER_ID',
  ],
  [
    named,
    'a heartbeat of a fenced instance',
    (party) => party.heartbeat({ memberId: 'x', generation: 1, instanceId: 'i' }),
    'FENCED_INSTANCE_ID',
  ],

  [stable, 'an unknown member that leaves', (party) => party.leave({ memberId: 'x' })[0], 'UNKNOWN_MEMBER_ID'],
  [stable, 'nobody that leaves', (party) => party.leave({ memberId: '' })[0], 'UNKNOWN_MEMBER_ID'],
  [
    named,
    'an unknown instance that leaves',
    (party) => party.leave({ memberId: '', instanceId: 'x' })[0],
    'UNKNOWN_MEMBER_ID',
  ],
  [
    named,
    'a fenced instance that leaves',
    (party) => party.leave({ memberId: 'x', instanceId: 'i' })[0],
    'FENCED_INSTANCE_ID',
  ],
  [named, 'an instance that is removed', (party) => party.leave({ memberId: '', instanceId: 'i' })[0], 'fine'],

  [empty, 'a commit from outside', (party) => party.commit({ memberId: '', generation: -1 }), 'fine'],
  [empty, 'a commit of a member', (party, member) => party.commit(member), 'UNKNOWN_MEMBER_ID'],
  [stable, 'a commit from outside', (party) => party.commit({ memberId: '', generation: -1 }), 'UNKNOWN_MEMBER_ID'],
  [
    stable,
    'a commit from outside in a transaction',
    (party) => party.commit({ memberId: '', generation: -1 }, true),
    'fine',
  ],
  [stable, 'a commit of a member', (party, member) => party.commit(member), 'fine'],
  [
    stable,
    'a commit of another generation',
    (party, member) => party.commit({ ...member, generation: 9 }),
    'ILLEGAL_GENERATION',
  ],
  [
    stable,
    'a commit of a member that says no generation',
    (party, member) => party.commit({ ...member, generation: -1 }),
    'ILLEGAL_GENERATION',
  ],
  [
    stable,
    'a commit of an unknown member',
    (party, member) => party.commit({ ...member, memberId: 'x' }),
    'UNKNOWN_MEMBER_ID',
  ],
  [preparing, 'a commit of a member', (party, member) => party.commit(member), 'fine'],
  [completing, 'a commit of a member', (party, member) => party.commit(member), 'REBALANCE_IN_PROGRESS'],
  [completing, 'a commit of a member in a transaction', (party, member) => party.commit(member, true), 'fine'],
  [
    named,
    'a commit of a fenced instance',
    (party, member) => party.commit({ ...member, memberId: 'x', instanceId: 'i' }),
    'FENCED_INSTANCE_ID',
  ],
])('with a group that is %o, %s is answered as it should be', (found, _asked, ask, error) => {
  const party = new ClassicParty({ memberBytesMax: 2 ** 20 })
  const member = found(party)
  expect(ask(party, member)).toBe(error)
})

test('who asks again in the middle of a rebalance gets the same answer again', () => {
  const party = new ClassicParty()
  const joins = ['a', 'b'].map((clientId) => party.join({ clientId }))
  party.pass(1_000)
  for (const before of joins) {
    const again = party.join({ memberId: memberOf(before).memberId })
    expect(again.answer).toEqual(before.answer)
  }
  const changed = party.join({ memberId: memberOf(joins[1]).memberId, protocols: { range: 'other topics' } })
  expect([errorOf(changed), party.group.state]).toEqual(['waiting', 'PreparingRebalance'])
})

test.each<[who: string, index: number, protocols: Record<string, string>, expected: string]>([
  ['a follower that has changed nothing', 1, { range: '' }, 'fine'],
  ['a follower that has changed its metadata', 1, { range: 'x' }, 'waiting'],
  ['a follower that offers more', 1, { range: '', sticky: '' }, 'waiting'],
  ['the leader', 0, { range: '' }, 'waiting'],
])('when a stable group is joined again by %s', (_who, index, protocols, expected) => {
  const party = new ClassicParty()
  const members = party.gather(['a', 'b'])
  const again = party.join({ memberId: members[index].memberId, protocols })
  expect(errorOf(again)).toBe(expected)
  const state = expected === 'fine' ? 'Stable' : 'PreparingRebalance'
  expect(party.group.state).toBe(state)
  if (expected === 'fine') expect(again.answer).toMatchObject({ generation: 1, members: [], protocol: 'range' })
})

test('a new member makes the others join again, and the group goes on when all have', () => {
  const party = new ClassicParty()
  const [a, b] = party.gather(['a', 'b'])
  const c = party.join({ clientId: 'c' })
  expect([party.heartbeat(a), errorOf(c)]).toEqual(['REBALANCE_IN_PROGRESS', 'waiting'])
  const again = [a, b].map(({ memberId }) => party.join({ memberId }))
  expect([...again, c].map((each) => memberOf(each).generation)).toEqual([2, 2, 2])
  expect(memberOf(again[0]).isLeader).toBe(true)
})

test('who does not join in time is dropped, and another leads', () => {
  const party = new ClassicParty()
  const [a, b] = party.gather(['a', 'b'], { rebalanceTimeoutMs: 20_000 })
  const c = party.join({ clientId: 'c', rebalanceTimeoutMs: 5_000 })
  const again = party.join({ memberId: b.memberId, rebalanceTimeoutMs: 5_000 })
  for (let second = 0; second < 19; second++) {
    party.pass(1_000)
    expect([party.heartbeat(a), errorOf(again)]).toEqual(['REBALANCE_IN_PROGRESS', 'waiting'])
  }
  party.pass(1_000)
  expect([again, c].map((each) => memberOf(each))).toMatchObject([{ isLeader: true }, { isLeader: false }])
  expect(party.heartbeat({ ...a, generation: 2 })).toBe('UNKNOWN_MEMBER_ID')
  expect(party.group.memberCount).toBe(2)
})

test('a static member that does not join in time stays until its session ends', () => {
  const party = new ClassicParty()
  const timeouts = { rebalanceTimeoutMs: 10_000, sessionTimeoutMs: 30_000 }
  const [a] = party.gather(['a'], { instanceId: 'i', ...timeouts })
  const c = party.join({ clientId: 'c', ...timeouts })
  party.pass(10_000)
  expect(memberOf(c)).toMatchObject({ isLeader: true, generation: 2 })
  expect(party.group.memberCount).toBe(2)
  const sync = party.sync(memberOf(c), { [a.memberId]: 'kept for a' })
  expect(assignmentOf(sync)).toBe('')
  expect(party.group.describe().members[0].assignment.toString()).toBe('kept for a')
  const stays = () => {
    party.heartbeat(memberOf(c))
    return party.group.memberCount
  }
  party.pass(15_000)
  expect(stays()).toBe(2)
  party.pass(5_000)
  expect(stays()).toBe(1)
})

test('when only static members are late, their generation waits for them or for the end of their sessions', () => {
  const party = new ClassicParty()
  const timeouts = { rebalanceTimeoutMs: 10_000, sessionTimeoutMs: 60_000 }
  const members = ['i', 'j'].map((instanceId) => party.join({ instanceId, ...timeouts })).slice()
  party.pass(1_000)
  for (const member of members) party.sync(memberOf(member))
  party.join({ clientId: 'c', ...timeouts })
  party.leave({ memberId: 'c-3' })
  party.pass(25_000)
  expect(party.group.state).toBe('PreparingRebalance')
  const again = party.join({ memberId: 'j-2', instanceId: 'j', ...timeouts })
  expect(errorOf(again)).toBe('waiting')
  party.pass(5_000)
  expect(memberOf(again)).toMatchObject({ generation: 2, isLeader: true })
  party.sync(memberOf(again))
  party.pass(60_000)
  expect(party.group.state).toBe('Empty')
})

test('members that do not sync in time are dropped', () => {
  const party = new ClassicParty()
  const joins = ['a', 'b'].map((clientId) => party.join({ clientId, rebalanceTimeoutMs: 8_000 }))
  party.pass(300)
  const [a, b] = joins.map(memberOf)
  const sync = party.sync(b)
  party.pass(5_000)
  expect([errorOf(sync), party.heartbeat(a), party.heartbeat(b)]).toEqual(['waiting', 'fine', 'fine'])
  party.pass(3_000)
  expect(errorOf(sync)).toBe('REBALANCE_IN_PROGRESS')
  expect([party.heartbeat(a), party.heartbeat(b)]).toEqual(['UNKNOWN_MEMBER_ID', 'REBALANCE_IN_PROGRESS'])
  // The leader syncs and the other one does not: the group is stable then, and rebalances all the same.
  const fresh = party.join({ clientId: 'c' })
  const [again, late] = [party.join({ memberId: b.memberId }), fresh].map(memberOf)
  expect(assignmentOf(party.sync(again))).toBe('')
  for (const _second of Array(60)) {
    party.pass(1_000)
    party.heartbeat(again)
    party.heartbeat(late)
  }
  expect([party.heartbeat(again), party.heartbeat(late)]).toEqual(['REBALANCE_IN_PROGRESS', 'UNKNOWN_MEMBER_ID'])
})

test('a session ends without heartbeats, and any sign of life prolongs it', () => {
  const party = new ClassicParty()
  const [a, b, c] = party.gather(['a', 'b', 'c'])
  party.pass(9_000)
  party.heartbeat(a)
  party.run({ kind: 'sign of life', memberId: b.memberId })
  party.pass(1_000)
  expect(party.group.memberCount).toBe(2)
  expect([a, b, c].map((member) => party.heartbeat(member))).toEqual([
    'REBALANCE_IN_PROGRESS',
    'REBALANCE_IN_PROGRESS',
    'UNKNOWN_MEMBER_ID',
  ])
})

test('who waits in a join or a sync has no session to end, but a new member does not wait for ever', () => {
  const party = new ClassicParty()
  const [a, b] = party.gather(['a', 'b'], { rebalanceTimeoutMs: 1_000_000 })
  const again = party.join({ memberId: a.memberId, protocols: { range: 'x' }, rebalanceTimeoutMs: 1_000_000 })
  const fresh = party.join({ clientId: 'c', rebalanceTimeoutMs: 1_000_000 })
  for (let second = 0; second < 299; second++) {
    party.pass(1_000)
    party.heartbeat(b)
  }
  expect([errorOf(again), errorOf(fresh)]).toEqual(['waiting', 'waiting'])
  party.pass(1_000)
  expect([errorOf(again), errorOf(fresh)]).toEqual(['waiting', 'UNKNOWN_MEMBER_ID'])
  party.pass(10_000)
  expect(memberOf(again).generation).toBe(2)
})

test('an id that was given out and not used is forgotten, and holds nobody up longer than that', () => {
  const party = new ClassicParty()
  const [a] = party.gather(['a'])
  party.join({ clientId: 'b', requiresMemberId: true })
  const again = party.join({ memberId: a.memberId })
  party.pass(9_999)
  expect(errorOf(again)).toBe('waiting')
  party.pass(1)
  expect(errorOf(again)).toBe('fine')
  expect(errorOf(party.join({ memberId: 'b-2' }))).toBe('UNKNOWN_MEMBER_ID')
})

test('several can leave at a time, each with its own answer', () => {
  const party = new ClassicParty()
  const [a] = party.gather(['a'])
  const b = party.join({ clientId: 'b' })
  const s = party.join({ instanceId: 'i' })
  const invited = party.join({ clientId: 'd', requiresMemberId: true })
  if (invited.answer === undefined || !isRefusal(invited.answer)) throw new Error('it was not told an id')
  const again = party.join({ memberId: a.memberId })
  expect(errorOf(again)).toBe('waiting')
  const leaving = [{ memberId: 'b-2' }, { memberId: '', instanceId: 'i' }, { memberId: 'x' }, { memberId: 'd-4' }]
  expect(party.leave(...leaving)).toEqual(['fine', 'fine', 'UNKNOWN_MEMBER_ID', 'fine'])
  expect([b, s, again].map(errorOf)).toEqual(['UNKNOWN_MEMBER_ID', 'UNKNOWN_MEMBER_ID', 'fine'])
  expect(party.leave(memberOf(again))).toEqual(['fine'])
  expect(party.group.describe()).toMatchObject({ state: 'Empty', generation: 3, members: [], protocolType: 'consumer' })
})

test('an administrator removes a member that waits for its assignment', () => {
  const party = new ClassicParty()
  const joins = ['a', 'b'].map((clientId) => party.join({ clientId }))
  party.pass(1_000)
  const sync = party.sync(memberOf(joins[1]))
  expect(party.leave({ memberId: 'b-2' })).toEqual(['fine'])
  expect(errorOf(sync)).toBe('UNKNOWN_MEMBER_ID')
})

test('a group takes only so many members, invited ones included', () => {
  const party = new ClassicParty({ membersPerGroupMax: 3 })
  const [a] = party.gather(['a', 'b'])
  const invited = party.join({ clientId: 'c', requiresMemberId: true })
  expect(errorOf(invited)).toBe('MEMBER_ID_REQUIRED')
  expect(errorOf(party.join({ clientId: 'd', requiresMemberId: true }))).toBe('GROUP_MAX_SIZE_REACHED')
  expect(errorOf(party.join({ memberId: a.memberId }))).toBe('waiting')
  expect(errorOf(party.join({ memberId: 'c-3' }))).toBe('waiting')
  expect(errorOf(party.join({ clientId: 'e' }))).toBe('GROUP_MAX_SIZE_REACHED')
})

test('a group takes only so much that members bring', () => {
  const party = new ClassicParty({ bytesPerGroupMax: 25 })
  party.gather(['a'], { protocols: { range: '0123456789' } })
  expect(errorOf(party.join({ protocols: { range: '0123456' } }))).toBe('GROUP_MAX_SIZE_REACHED')
  expect(errorOf(party.join({ protocols: { range: '01234' } }))).toBe('waiting')
  expect(party.group.bytes).toBe(25 + 'for a'.length)
})

test.each([true, false])('a static member is back without a rebalance (can be told to skip: %s)', (canSkip) => {
  const party = new ClassicParty()
  const [a] = party.gather(['a', 'b'].slice(0, 1), { instanceId: 'i' })
  const join = party.join({ instanceId: 'i', clientId: 'later', supportsSkippingAssignment: canSkip })
  expect(join.answer).toMatchObject({
    memberId: 'i-2',
    generation: 1,
    leader: canSkip ? 'i-2' : 'i-1',
    skipAssignment: canSkip,
    members: canSkip ? [{ memberId: 'i-2' }] : [],
  })
  expect(party.group.state).toBe('Stable')
  expect(assignmentOf(party.sync({ memberId: 'i-2', generation: 1, instanceId: 'i' }))).toBe('for a')
  expect(party.heartbeat({ ...a, instanceId: 'i' })).toBe('FENCED_INSTANCE_ID')
  expect(party.heartbeat(a)).toBe('UNKNOWN_MEMBER_ID')
  expect(party.group.describe().members).toMatchObject([{ memberId: 'i-2', clientId: 'later' }])
})

test('a static member that brings another protocol, or comes in the middle of a rebalance, makes another', () => {
  const party = new ClassicParty()
  party.gather(['a'], { instanceId: 'i', protocols: { range: '', sticky: '' } })
  const changed = party.join({ instanceId: 'i', protocols: { sticky: '' } })
  expect(changed.answer).toMatchObject({ memberId: 'i-2', generation: 2, protocol: 'sticky', skipAssignment: false })
  expect(party.group.state).toBe('CompletingRebalance')
  const again = party.join({ instanceId: 'i', protocols: { sticky: '' } })
  expect(again.answer).toMatchObject({ memberId: 'i-3', generation: 3 })
})

test('whoever waits under an instance id that somebody else has taken over is told so', () => {
  const party = new ClassicParty()
  const first = party.join({ instanceId: 'i' })
  const second = party.join({ instanceId: 'i' })
  expect([errorOf(first), errorOf(second)]).toEqual(['FENCED_INSTANCE_ID', 'waiting'])
  const leader = party.join({ clientId: 'b' })
  party.pass(1_000)
  expect(memberOf(leader).isLeader).toBe(false)
  const joins = [party.join({ instanceId: 'i' }), party.join({ memberId: memberOf(leader).memberId })]
  const follower = memberOf(joins[1])
  const sync = party.sync(follower)
  const third = party.join({ instanceId: 'i' })
  expect([errorOf(sync), errorOf(third)]).toEqual(['REBALANCE_IN_PROGRESS', 'waiting'])
})

test('a request that is sent again takes the place of the one that waits', () => {
  const party = new ClassicParty()
  const [a, b] = party.gather(['a', 'b'])
  party.join({ clientId: 'c' })
  const joins = [1, 2].map(() => party.join({ memberId: a.memberId }))
  expect(joins.map(errorOf)).toEqual(['REBALANCE_IN_PROGRESS', 'waiting'])
  party.join({ memberId: b.memberId })
  expect(errorOf(joins[1])).toBe('fine')
  const syncs = [1, 2].map(() => party.sync({ ...b, generation: 2 }))
  expect(syncs.map(errorOf)).toEqual(['REBALANCE_IN_PROGRESS', 'waiting'])
})

test('after a restart a stable group is as it was, and its members have a whole session', () => {
  const party = new ClassicParty()
  const [a, b] = party.gather(['a', 'b'], { protocols: { range: 'topics', sticky: '' } })
  const [s] = [party.join({ instanceId: 'i', protocols: { range: 'more' } })]
  const again = [a, b].map(({ memberId }) => party.join({ memberId, protocols: { range: 'topics', sticky: '' } }))
  for (const join of [...again, s]) party.sync(memberOf(join), { [a.memberId]: 'x', [memberOf(s).memberId]: 'z' })
  const before = party.group.describe()
  expect(before).toMatchObject({ state: 'Stable', generation: 2 })
  // Something is under way that was not stored.
  party.join({ clientId: 'late' })
  party.restart()
  expect(party.group.describe()).toEqual(before)
  party.pass(9_999)
  const members = [...again, s].map(memberOf)
  expect(members.map((member) => party.heartbeat(member))).toEqual(['fine', 'fine', 'fine'])
  expect(members.map((member) => assignmentOf(party.sync(member)))).toEqual(['x', '', 'z'])
  expect(errorOf(party.join({ memberId: b.memberId, protocols: { range: 'topics', sticky: '' } }))).toBe('fine')
  expect(errorOf(party.join({ memberId: a.memberId, protocols: { range: 'topics', sticky: '' } }))).toBe('waiting')
})

test('after a restart an empty group knows its generation, and dead members are gone', () => {
  const party = new ClassicParty()
  const members = party.gather(['a', 'b'])
  party.restart()
  party.leave(...members)
  expect([...party.rows.keys()]).toEqual([undefined])
  party.restart()
  expect(party.group.describe()).toMatchObject({ state: 'Empty', generation: 2, protocolType: 'consumer' })
  party.gather(['c'])
  party.restart()
  party.pass(10_000)
  expect(party.group.describe()).toMatchObject({ state: 'Empty', generation: 4 })
})

test('when the broker stops, whoever waits is answered and nobody waits any more', () => {
  const party = new ClassicParty()
  const [a] = party.gather(['a', 'b'])
  const waiting = party.join({ memberId: a.memberId })
  party.run({ kind: 'close' })
  expect(errorOf(waiting)).toBe('COORDINATOR_NOT_AVAILABLE')
  expect(errorOf(party.join({ clientId: 'c' }))).toBe('COORDINATOR_NOT_AVAILABLE')
  expect(errorOf(party.sync(a))).toBe('COORDINATOR_NOT_AVAILABLE')
  expect(party.commit(a)).toBe('fine')
})

test('which topics consumers subscribe to is known from their metadata', () => {
  const party = new ClassicParty()
  const orders = Buffer.from('0001 00000002 0006 6f7264657273 0001 61'.replaceAll(' ', ''), 'hex')
  party.gather(['a', 'b'], { protocols: { range: orders.toString('latin1') } })
  expect(['orders', 'a', 'x'].map((topic) => party.group.isSubscribedTo(topic))).toEqual([true, true, false])
  expect(['orders', 'x'].map((topic) => party.group.isDoneWith(topic))).toEqual([false, true])
  const [member] = new ClassicParty().gather(['a'], { protocols: { range: 'gibberish' } })
  expect(member.isLeader).toBe(true)
  const unreadable = new ClassicParty()
  unreadable.gather(['a'], { protocols: { range: 'gibberish' } })
  expect([unreadable.group.isSubscribedTo('x'), unreadable.group.isDoneWith('x')]).toEqual([true, false])
  const other = new ClassicParty()
  other.gather(['a'], { protocolType: 'connect' })
  expect([other.group.isSubscribedTo('x'), other.group.isDoneWith('x')]).toEqual([false, false])
})
