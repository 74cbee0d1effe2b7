import { expect, test } from 'vitest'

import { SimClock } from '../../test/simulation/sim-clock.ts'
import { BrokerError } from '../base/broker-error.ts'
import { MemoryStore } from '../store/memory-store.ts'
import { toPlain } from './assignment.ts'
import type { JoinAnswer, LeaveAnswer, SyncAnswer } from './classic-messages.ts'
import { CommittedOffsets } from './committed-offsets.ts'
import { GroupCoordinator } from './coordinator.ts'
import type { ConsumerHeartbeat, ConsumerHeartbeatAnswer } from './consumer-messages.ts'
import { OUTSIDER } from './group-offsets.ts'
import type { CommitAnswer, CommitRequest } from './group-offsets.ts'
import type { GroupOptions } from './group-options.ts'
import { isRefusal } from './outcome.ts'
import type { Refusal } from './outcome.ts'

const DAY = 24 * 60 * 60 * 1000

/** A store whose writes can be held back, refused, or failed for good. */
class TestStore extends MemoryStore {
  readonly control: { gate: Promise<void> | undefined; failure: Error | undefined }

  constructor(copyOf?: MemoryStore) {
    const control: TestStore['control'] = { gate: undefined, failure: undefined }
    const beforeWrite = async () => {
      await control.gate
      if (control.failure !== undefined) throw control.failure
    }
    super(copyOf === undefined ? { beforeWrite } : { beforeWrite, copyOf })
    this.control = control
  }
}

class Scene {
  readonly clock: SimClock
  readonly store: TestStore
  readonly offsets: CommittedOffsets
  readonly groups: GroupCoordinator
  /** What the observer was told, in order. */
  readonly observed: string[] = []
  readonly topics = new Map([
    ['t', 2],
    ['u', 1],
  ])

  constructor({ clock = new SimClock(), copyOf, options = {} }: SceneParts = {}) {
    this.clock = clock
    this.store = new TestStore(copyOf)
    this.offsets = new CommittedOffsets(this.store, clock)
    let ids = 0
    this.groups = new GroupCoordinator({
      store: this.store,
      clock,
      committedOffsets: this.offsets,
      options,
      observer: {
        rebalanced: (seconds) => this.observed.push(`rebalanced in ${seconds} s`),
        expired: (memberCount) => this.observed.push(`${memberCount} expired`),
      },
      createId: () => String(++ids),
    })
    this.groups.open({ partitionCount: (topic) => this.topics.get(topic), names: () => this.topics.keys() })
  }

  /** What a start after a crash finds. */
  restart(): Scene {
    this.groups.close()
    return new Scene({ clock: this.clock, copyOf: this.store })
  }

  join(group: string, request: { memberId?: string; instanceId?: string; metadata?: Buffer } = {}) {
    const { metadata = Buffer.from('m'), ...rest } = request
    return ask<JoinAnswer>((reply) => {
      const timeouts = { sessionTimeoutMs: 10_000, rebalanceTimeoutMs: 20_000 }
      const protocols = [{ name: 'range', metadata }]
      const versions = { requiresMemberId: false, supportsSkippingAssignment: true }
      const client = { clientId: 'c', clientHost: 'h' }
      this.groups.join(
        { group, memberId: '', protocolType: 'consumer', protocols, ...timeouts, ...versions, ...client, ...rest },
        reply,
      )
    })
  }

  sync(group: string, { memberId, generation }: { memberId: string; generation: number }) {
    const assignments = [{ memberId, assignment: Buffer.from('all') }]
    return ask<SyncAnswer>((reply) => this.groups.sync({ group, memberId, generation, assignments }, reply))
  }

  heartbeat(group: string, { memberId, generation }: { memberId: string; generation: number }) {
    return ask<object>((reply) => this.groups.heartbeat({ group, memberId, generation }, reply))
  }

  leave(group: string, memberId: string) {
    return ask<LeaveAnswer>((reply) => this.groups.leave({ group, members: [{ memberId }] }, reply))
  }

  consume(group: string, request: Partial<ConsumerHeartbeat> & { memberId: string }) {
    const first = { rebalanceTimeoutMs: 30_000, subscribedTopics: ['t'], owned: new Map<string, ReadonlySet<number>>() }
    const joining = request.memberEpoch === undefined ? first : {}
    return ask<ConsumerHeartbeatAnswer>((reply) => {
      this.groups.consumerHeartbeat(
        { group, memberEpoch: 0, clientId: 'c', clientHost: 'h', ...joining, ...request },
        reply,
      )
    })
  }

  commit(group: string, offset: number, more: Partial<CommitRequest> = {}) {
    return ask<CommitAnswer>((reply) => {
      this.groups.offsets.commit(
        { group, member: OUTSIDER, offsets: [{ topic: 't', partition: 0, offset }], ...more },
        reply,
      )
    })
  }

  /** One member, stable, with everything assigned. */
  async gather(group: string, metadata?: Buffer): Promise<{ memberId: string; generation: number }> {
    const join = this.join(group, metadata && { metadata })
    this.clock.advance(100)
    const member = fine(await join)
    fine(await this.sync(group, member))
    return member
  }
}

interface SceneParts {
  readonly clock?: SimClock
  readonly copyOf?: MemoryStore
  readonly options?: Partial<GroupOptions>
}

function ask<Answer>(send: (reply: (answer: Answer | Refusal) => void) => void): Promise<Answer | Refusal> {
  return new Promise((resolve, reject) => {
    let isAnswered = false
    send((answer) => {
      if (isAnswered) reject(new Error('answered twice'))
      isAnswered = true
      resolve(answer)
    })
  })
}

function fine<Answer extends object>(answer: Answer | Refusal): Answer {
  if (isRefusal(answer)) throw new Error(`${answer.error}: ${answer.message}`)
  return answer
}

async function errorOf(asked: Promise<object>): Promise<string> {
  const answer = await asked
  return isRefusal(answer) ? answer.error : 'fine'
}

/** The error of a commit, whether it is the request's or the offset's. */
async function commitErrorOf(asked: Promise<CommitAnswer | Refusal>): Promise<string> {
  const answer = await asked
  const refusal = isRefusal(answer) ? answer : answer.refusals[0]
  return refusal?.error ?? 'fine'
}

const turn = () => new Promise((resolve) => setImmediate(resolve))

test('groups of both kinds live through a restart', async () => {
  const first = new Scene()
  const classic = await first.gather('classic')
  fine(await first.consume('consumer', { memberId: 'm' }))
  await first.commit('simple', 5)
  const second = first.restart()
  expect(second.groups.list()).toMatchObject([
    { group: 'classic', kind: 'classic', state: 'Stable', protocolType: 'consumer', memberCount: 1 },
    { group: 'consumer', kind: 'consumer', state: 'Stable', protocolType: 'consumer', memberCount: 1 },
    { group: 'simple', kind: 'classic', state: 'Empty', protocolType: '', memberCount: 0 },
  ])
  expect(await errorOf(second.heartbeat('classic', classic))).toBe('fine')
  expect(fine(await second.sync('classic', classic)).assignment.toString()).toBe('all')
  expect(fine(await second.consume('consumer', { memberId: 'm', memberEpoch: 1 })).memberEpoch).toBe(1)
  second.clock.advance(46_000)
  expect(second.groups.list().map(({ state }) => state)).toEqual(['Empty', 'Empty', 'Empty'])
  await turn()
  expect(second.restart().groups.list()).toEqual(second.groups.list())
})

test('no answer tells of what is not durable yet', async () => {
  const scene = new Scene()
  const join = scene.join('g')
  scene.clock.advance(100)
  const member = fine(await join)
  let open = () => {}
  scene.store.control.gate = new Promise((resolve) => (open = resolve))
  const answered: string[] = []
  const note = (name: string) => (answer: object) => answered.push(isRefusal(answer) ? answer.error : name)
  void scene.sync('g', member).then(note('sync'))
  void scene.heartbeat('g', member).then(note('heartbeat'))
  void scene.heartbeat('other', member).then(note('other'))
  await turn()
  await turn()
  expect(answered).toEqual(['UNKNOWN_MEMBER_ID'])
  open()
  await scene.heartbeat('g', member)
  expect(answered).toEqual(['UNKNOWN_MEMBER_ID', 'sync', 'heartbeat'])
})

test('what could not be stored is refused, and all of it is stored the next time', async () => {
  const scene = new Scene()
  const member = await scene.gather('g')
  fine(await scene.consume('c', { memberId: 'm' }))
  scene.store.control.failure = new BrokerError('KAFKA_STORAGE_ERROR', 'full')
  const [leave, heartbeat] = [scene.leave('g', member.memberId), scene.heartbeat('g', member)]
  expect([await errorOf(leave), await errorOf(heartbeat)]).toEqual(['KAFKA_STORAGE_ERROR', 'KAFKA_STORAGE_ERROR'])
  expect(await errorOf(scene.consume('c', { memberId: 'n' }))).toBe('KAFKA_STORAGE_ERROR')
  expect(await errorOf(scene.consume('c', { memberId: 'm', memberEpoch: -1 }))).toBe('KAFKA_STORAGE_ERROR')
  expect(await commitErrorOf(scene.commit('simple', 1))).toBe('KAFKA_STORAGE_ERROR')
  scene.store.control.failure = undefined
  expect(await errorOf(scene.heartbeat('g', member))).toBe('UNKNOWN_MEMBER_ID')
  expect(await errorOf(scene.consume('c', { memberId: 'n', memberEpoch: 3 }))).toBe('FENCED_MEMBER_EPOCH')
  const again = scene.restart()
  const listed = again.groups.list().map(({ group, memberCount }) => `${group} ${memberCount}`)
  expect(listed).toEqual(['c 1', 'g 0'])
  const description = again.groups.describe('c')
  expect(description?.members.map(({ memberId }) => memberId)).toEqual(['n'])
})

test('one timer wakes the group that wants it first', async () => {
  const scene = new Scene()
  expect(scene.clock.pendingTimers).toBe(1)
  const members = [await scene.gather('a'), await scene.gather('b')]
  expect(scene.clock.pendingTimers).toBe(2)
  scene.clock.advance(9_000)
  await scene.heartbeat('b', members[1])
  scene.clock.advance(1_000)
  expect(scene.groups.list().map(({ state }) => state)).toEqual(['Empty', 'Stable'])
  scene.clock.advance(9_000)
  expect(scene.groups.list().map(({ state }) => state)).toEqual(['Empty', 'Empty'])
  scene.groups.close()
  expect(scene.clock.pendingTimers).toBe(0)
})

test('a group becomes one of the other kind while it is empty, and not before', async () => {
  const scene = new Scene()
  await scene.commit('g', 7)
  const classic = await scene.gather('g')
  expect(await errorOf(scene.consume('g', { memberId: 'm' }))).toBe('GROUP_ID_NOT_FOUND')
  await scene.leave('g', classic.memberId)
  expect(fine(await scene.consume('g', { memberId: 'm' })).memberEpoch).toBe(1)
  expect(scene.groups.describe('g')?.kind).toBe('consumer')
  expect(await errorOf(scene.join('g'))).toBe('INCONSISTENT_GROUP_PROTOCOL')
  expect(await errorOf(scene.heartbeat('g', classic))).toBe('UNKNOWN_MEMBER_ID')
  expect(await errorOf(scene.sync('g', classic))).toBe('UNKNOWN_MEMBER_ID')
  expect(fine(await scene.leave('g', classic.memberId))).toEqual({
    members: [{ memberId: classic.memberId, refusal: 'UNKNOWN_MEMBER_ID' }],
  })
  await scene.consume('g', { memberId: 'm', memberEpoch: -1 })
  expect(await errorOf(scene.join('g', { memberId: 'stranger' }))).toBe('UNKNOWN_MEMBER_ID')
  expect(scene.groups.describe('g')).toMatchObject({ kind: 'consumer', state: 'Empty' })
  await scene.gather('g')
  const again = scene.restart()
  expect(again.groups.describe('g')).toMatchObject({ kind: 'classic', state: 'Stable', generation: 1 })
  expect(again.offsets.get('g', 't', 0)?.offset).toBe(7)
})

test('a group that came to nothing leaves nothing behind', async () => {
  const scene = new Scene()
  expect(await errorOf(scene.join('g', { instanceId: 'a\u0000' }))).toBe('INVALID_REQUEST')
  expect(await errorOf(scene.consume('c', { memberId: 'm', subscribedRegex: '(' }))).toBe('INVALID_REGULAR_EXPRESSION')
  expect(scene.groups.list()).toEqual([])
  expect([...scene.store.entries('groups')]).toEqual([])
})

test.each(['', 'a\u0000b', 'x'.repeat(256)])('the group id %j is refused', async (group) => {
  const scene = new Scene()
  const errors = [scene.join(group), scene.consume(group, { memberId: 'm' }), scene.commit(group, 1)].map(errorOf)
  expect(await Promise.all(errors)).toEqual(['INVALID_GROUP_ID', 'INVALID_GROUP_ID', 'INVALID_GROUP_ID'])
})

test('there are only so many groups, offsets, and so much memory for members', async () => {
  const scene = new Scene({ options: { groupsMax: 2, offsetsMax: 3 } })
  await scene.commit('a', 1)
  await scene.commit('b', 1)
  const more = [scene.commit('c', 1), scene.join('c'), scene.consume('c', { memberId: 'm' })].map(errorOf)
  expect(await Promise.all(more)).toEqual(['POLICY_VIOLATION', 'POLICY_VIOLATION', 'POLICY_VIOLATION'])
  const offsets = [1, 2].map((partition) => ({ topic: 't', partition, offset: 1 }))
  expect(await errorOf(scene.commit('a', 1, { offsets }))).toBe('POLICY_VIOLATION')
  const small = new Scene({ options: { bytesMax: 10 } })
  await small.gather('a', Buffer.alloc(5))
  expect([await errorOf(small.join('b')), await errorOf(small.consume('c', { memberId: 'm' }))]).toEqual([
    'GROUP_MAX_SIZE_REACHED',
    'GROUP_MAX_SIZE_REACHED',
  ])
  small.clock.advance(10_000)
  expect(await errorOf(small.consume('c', { memberId: 'm' }))).toBe('fine')
})

test('members commit for themselves, and nobody else does', async () => {
  const scene = new Scene()
  expect(await commitErrorOf(scene.commit('g', 1, { member: { memberId: 'x', generation: 1 } }))).toBe(
    'GROUP_ID_NOT_FOUND',
  )
  expect(await commitErrorOf(scene.commit('g', 1))).toBe('fine')
  expect(await commitErrorOf(scene.commit('g', 1, { member: { memberId: 'x', generation: 1 } }))).toBe(
    'UNKNOWN_MEMBER_ID',
  )
  const member = await scene.gather('g')
  expect(await commitErrorOf(scene.commit('g', 2))).toBe('UNKNOWN_MEMBER_ID')
  scene.clock.advance(9_000)
  expect(await commitErrorOf(scene.commit('g', 3, { member }))).toBe('fine')
  scene.clock.advance(9_000)
  expect(await errorOf(scene.heartbeat('g', member))).toBe('fine')
  fine(await scene.consume('c', { memberId: 'm' }))
  expect(await commitErrorOf(scene.commit('c', 4, { member: { memberId: 'm', generation: 1 } }))).toBe('fine')
  expect(await commitErrorOf(scene.commit('c', 5, { member: { memberId: 'm', generation: 2 } }))).toBe(
    'STALE_MEMBER_EPOCH',
  )
  expect(['g', 'c'].map((group) => scene.offsets.get(group, 't', 0)?.offset)).toEqual([3, 4])
})

test('of several offsets each one is refused for itself', async () => {
  const scene = new Scene()
  const offsets = [
    { topic: 't', partition: 0, offset: 1, metadata: 'ñ'.repeat(2049) },
    { topic: 't', partition: 1, offset: 2, metadata: 'ñ'.repeat(2048), leaderEpoch: 3 },
    { topic: 't', partition: 2, offset: -1 },
    { topic: 't', partition: 3, offset: 2 ** 53 },
  ]
  const { refusals } = fine(await scene.commit('g', 0, { offsets }))
  expect(refusals.map((refusal) => refusal?.error)).toEqual([
    'OFFSET_METADATA_TOO_LARGE',
    undefined,
    'INVALID_REQUEST',
    'INVALID_REQUEST',
  ])
  const fetched = fine(scene.groups.offsets.fetch({ group: 'g' }))
  expect(fetched).toMatchObject([
    { topic: 't', partition: 1, committed: { offset: 2, leaderEpoch: 3 }, isUnstable: false },
  ])
})

test('offsets are fetched by partition or all together, and tell whether they are about to change', async () => {
  const scene = new Scene()
  await scene.commit('g', 1)
  const request = { group: 'g', member: OUTSIDER, offsets: [{ topic: 't', partition: 0, offset: 9 }] }
  expect(fine(await ask<CommitAnswer>((reply) => scene.groups.offsets.stage(7, request, reply)))).toEqual({
    refusals: [undefined],
  })
  const partitions = [
    { topic: 't', partition: 0 },
    { topic: 'x', partition: 5 },
  ]
  const fetch = (current: Scene) => current.groups.offsets.fetch({ group: 'g', partitions })
  const again = scene.restart()
  for (const current of [scene, again]) {
    expect(fetch(current)).toMatchObject([
      { ...partitions[0], committed: { offset: 1 }, isUnstable: true },
      { ...partitions[1], committed: undefined, isUnstable: false },
    ])
  }
  await again.groups.offsets.endTransaction(7, true)
  expect(fetch(again)).toMatchObject([{ committed: { offset: 9 }, isUnstable: false }, {}])
  expect(again.groups.offsets.fetch({ group: 'nobody' })).toEqual([])
  expect(again.groups.offsets.fetch({ group: 'nobody', partitions })).toMatchObject([{ committed: undefined }, {}])
})

test('a transaction commits for a member of the right generation, or for one that cannot say which', async () => {
  const scene = new Scene()
  const member = await scene.gather('g')
  const stage = (group: string, who: CommitRequest['member']) =>
    errorOf(
      ask<CommitAnswer>((reply) => {
        const offsets = [{ topic: 't', partition: 0, offset: 9 }]
        scene.groups.offsets.stage(7, { group, member: who, offsets }, reply)
      }),
    )
  expect(await stage('g', OUTSIDER)).toBe('fine')
  expect(await stage('g', member)).toBe('fine')
  expect(await stage('g', { ...member, generation: 7 })).toBe('ILLEGAL_GENERATION')
  expect(await stage('g', { ...member, memberId: 'x' })).toBe('UNKNOWN_MEMBER_ID')
  expect(await stage('nobody', { memberId: 'x', generation: 1 })).toBe('GROUP_ID_NOT_FOUND')
})

test('a consumer that fetches offsets in the wrong epoch is told so', async () => {
  const scene = new Scene()
  fine(await scene.consume('g', { memberId: 'm' }))
  const fetch = (member: { memberId: string; generation: number }) => {
    const answer = scene.groups.offsets.fetch({ group: 'g', member })
    return isRefusal(answer) ? answer.error : 'fine'
  }
  expect(fetch({ memberId: 'm', generation: 1 })).toBe('fine')
  expect(fetch({ memberId: 'm', generation: 2 })).toBe('STALE_MEMBER_EPOCH')
})

/** A subscription to topic t as consumers send it. */
const TO_T = Buffer.from('0000 00000001 0001 74 ffffffff'.replaceAll(' ', ''), 'hex')

test('offsets are deleted unless a member subscribes to their topic', async () => {
  const scene = new Scene()
  const partitions = [
    { topic: 't', partition: 0 },
    { topic: 'u', partition: 0 },
  ]
  const offsets = partitions.map((each) => ({ ...each, offset: 1 }))
  const errors = async (group: string) =>
    (await scene.groups.offsets.delete(group, partitions)).map((refusal) => refusal?.error)
  await scene.commit('simple', 0, { offsets })
  expect(await errors('simple')).toEqual([undefined, undefined])
  await expect(errors('simple')).rejects.toMatchObject({ code: 'GROUP_ID_NOT_FOUND' })
  const member = await scene.gather('classic', TO_T)
  await scene.commit('classic', 0, { offsets, member })
  expect(await errors('classic')).toEqual(['GROUP_SUBSCRIBED_TO_TOPIC', undefined])
  expect(scene.offsets.list('classic')).toMatchObject([{ topic: 't' }])
  fine(await scene.consume('consumer', { memberId: 'm' }))
  await scene.commit('consumer', 0, { offsets, member: { memberId: 'm', generation: 1 } })
  expect(await errors('consumer')).toEqual(['GROUP_SUBSCRIBED_TO_TOPIC', undefined])
})

test('a group is deleted with everything, unless it has members', async () => {
  const scene = new Scene()
  await expect(scene.groups.delete('g')).rejects.toMatchObject({ code: 'GROUP_ID_NOT_FOUND' })
  await scene.commit('g', 1)
  const member = await scene.gather('g')
  await expect(scene.groups.delete('g')).rejects.toMatchObject({ code: 'NON_EMPTY_GROUP' })
  await scene.leave('g', member.memberId)
  expect(await scene.groups.delete('g')).toBe(1)
  fine(await scene.consume('c', { memberId: 'm' }))
  await expect(scene.groups.delete('c')).rejects.toMatchObject({ code: 'NON_EMPTY_GROUP' })
  await scene.consume('c', { memberId: 'm', memberEpoch: -1 })
  expect(await scene.groups.delete('c')).toBe(0)
  expect(scene.groups.list()).toEqual([])
  expect([...scene.store.entries('groups'), ...scene.store.entries('offsets')]).toEqual([])
  expect(await errorOf(scene.heartbeat('g', member))).toBe('UNKNOWN_MEMBER_ID')
  expect(await errorOf(scene.consume('c', { memberId: 'm', memberEpoch: 1 }))).toBe('UNKNOWN_MEMBER_ID')
  expect(await errorOf(scene.consume('c', { memberId: 'm', memberEpoch: -1 }))).toBe('GROUP_ID_NOT_FOUND')
})

test('offsets expire when nobody has been in their group for a week, and with them the group', async () => {
  let scene = new Scene()
  const pass = async (milliseconds: number) => {
    scene.clock.advance(milliseconds)
    for (let round = 0; round < 20; round++) await turn()
  }
  const both = ['t', 'u'].map((topic) => ({ topic, partition: 0, offset: 1 }))
  await scene.commit('simple', 1)
  const member = await scene.gather('left', TO_T)
  await scene.commit('left', 1, { offsets: both, member })
  fine(await scene.consume('stays', { memberId: 'm' }))
  await scene.commit('stays', 1, { offsets: both, member: { memberId: 'm', generation: 1 } })
  await scene.commit('unstable', 1)
  const staged = { group: 'unstable', member: OUTSIDER, offsets: both }
  await ask<CommitAnswer>((reply) => scene.groups.offsets.stage(7, staged, reply))
  // A day in the group, then it is left.
  for (let seconds = 0; seconds < 24 * 60 * 60; seconds += 5) {
    scene.clock.advance(5_000)
    await Promise.all([scene.heartbeat('left', member), scene.consume('stays', { memberId: 'm', memberEpoch: 1 })])
  }
  await scene.leave('left', member.memberId)
  await turn()
  scene = scene.restart()
  const stays = () => scene.consume('stays', { memberId: 'm', memberEpoch: 1 })
  const live = async (milliseconds: number) => {
    for (let passed = 0; passed < milliseconds; passed += 40_000) {
      scene.clock.advance(40_000)
      fine(await stays())
    }
    await pass(0)
  }
  const left = () =>
    scene.groups
      .list()
      .map(({ group }) => `${group}: ${(scene.offsets.list(group) ?? []).map(({ topic }) => topic).join(' ')}`)
  await live(5.9 * DAY)
  expect(left()).toEqual(['left: t u', 'simple: t', 'stays: t u', 'unstable: t'])
  await live(0.2 * DAY)
  expect(left()).toEqual(['left: t u', 'stays: t', 'unstable: t'])
  await live(DAY)
  expect(left()).toEqual(['stays: t', 'unstable: t'])
  await scene.groups.offsets.endTransaction(7, false)
  await live(DAY / 24)
  expect(left()).toEqual(['stays: t'])
})

test('rebalances are timed, and members that are not heard of are counted', async () => {
  const scene = new Scene()
  const member = await scene.gather('classic')
  expect(scene.observed).toEqual(['rebalanced in 0.1 s'])
  expect(scene.groups.list()).toMatchObject([{ group: 'classic', memberCount: 1, generation: 1 }])
  fine(await scene.leave('classic', member.memberId))
  expect(scene.groups.list()).toMatchObject([{ group: 'classic', memberCount: 0, generation: 2 }])
  await scene.gather('classic')
  scene.observed.length = 0
  scene.clock.advance(10_000)
  expect(scene.observed).toEqual(['1 expired'])

  const one = fine(await scene.consume('consumer', { memberId: 'one' }))
  fine(await scene.consume('consumer', { memberId: 'two' }))
  scene.clock.advance(3000)
  fine(await scene.consume('consumer', { memberId: 'one', memberEpoch: one.memberEpoch }))
  const owned = new Map([['t', new Set([0])]])
  const two = fine(await scene.consume('consumer', { memberId: 'one', memberEpoch: one.memberEpoch, owned }))
  scene.observed.length = 0
  fine(await scene.consume('consumer', { memberId: 'two', memberEpoch: two.memberEpoch }))
  expect(scene.observed).toEqual(['rebalanced in 3 s'])
  scene.observed.length = 0
  scene.clock.advance(45_000)
  expect(scene.observed).toEqual(['2 expired'])
})

test('consumer groups are told when topics change', async () => {
  const scene = new Scene()
  expect(toPlain(fine(await scene.consume('g', { memberId: 'm' })).assignment ?? new Map())).toEqual({ t: [0, 1] })
  scene.topics.set('t', 3)
  scene.groups.topicChanged('t')
  const answer = fine(await scene.consume('g', { memberId: 'm', memberEpoch: 1 }))
  expect([answer.memberEpoch, toPlain(answer.assignment ?? new Map())]).toEqual([2, { t: [0, 1, 2] }])
})

test('when the broker stops, whoever waits is answered', async () => {
  const scene = new Scene()
  const waiting = scene.join('g')
  scene.groups.close()
  scene.groups.close()
  expect(await errorOf(waiting)).toBe('COORDINATOR_NOT_AVAILABLE')
  expect(await errorOf(scene.join('new'))).toBe('COORDINATOR_NOT_AVAILABLE')
  expect(await commitErrorOf(scene.commit('simple', 1))).toBe('fine')
})

test('what members send is copied: their buffers may be used again', async () => {
  const scene = new Scene()
  const metadata = Buffer.from('metadata')
  const join = scene.join('g', { metadata })
  metadata.fill(0)
  scene.clock.advance(100)
  expect(fine(await join).members[0].metadata.toString()).toBe('metadata')
})

test('a row that cannot be read stops the start', async () => {
  const store = new MemoryStore()
  await store.commit([{ table: 'groups', key: 'g', value: Buffer.from('{"version":2}') }])
  expect(() => new Scene({ copyOf: store })).toThrow(
    'Cannot read the row "g" of consumer groups in the store: it has version 2',
  )
})
