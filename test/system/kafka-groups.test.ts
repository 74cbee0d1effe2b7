import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { OffsetCommit } from '../../src/protocols/kafka/apis/08-offset-commit.ts'
import { OffsetFetch } from '../../src/protocols/kafka/apis/09-offset-fetch.ts'
import { FindCoordinator } from '../../src/protocols/kafka/apis/10-find-coordinator.ts'
import { JoinGroup } from '../../src/protocols/kafka/apis/11-join-group.ts'
import { DescribeGroups } from '../../src/protocols/kafka/apis/15-describe-groups.ts'
import { ListGroups } from '../../src/protocols/kafka/apis/16-list-groups.ts'
import { CreateTopics } from '../../src/protocols/kafka/apis/19-create-topics.ts'
import { DeleteTopics } from '../../src/protocols/kafka/apis/20-delete-topics.ts'
import { DeleteGroups } from '../../src/protocols/kafka/apis/42-delete-groups.ts'
import { OffsetDelete } from '../../src/protocols/kafka/apis/47-offset-delete.ts'
import { ConsumerGroupHeartbeat } from '../../src/protocols/kafka/apis/68-consumer-group-heartbeat.ts'
import { ConsumerGroupDescribe } from '../../src/protocols/kafka/apis/69-consumer-group-describe.ts'
import { ERROR_CODES } from '../../src/protocols/kafka/error-codes.ts'
import { COMMIT, FETCH_OFFSETS } from '../support/frame-types.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import { KafkaMember } from '../support/kafka-member.ts'
import { RawClient } from '../support/raw-client.ts'
import type { WholeBroker } from '../support/start-broker.ts'
import { startWholeBroker } from '../support/start-broker.ts'

let broker: WholeBroker
let client: KafkaClient
let json: RawClient
let topicId: string
const members: KafkaMember[] = []
beforeAll(async () => {
  broker = await startWholeBroker()
  client = await KafkaClient.connect(broker.kafkaPort)
  json = await RawClient.connect(broker.port)
  topicId = await createTopic('orders', 12)
})
afterAll(async () => {
  for (const member of members) member.close()
  client.close()
  json.close()
  await broker.stop()
})

async function createTopic(name: string, numPartitions: number): Promise<string> {
  const answer = await client.ask(CreateTopics, 7, { topics: [{ name, numPartitions, replicationFactor: 1 }] })
  expect(answer.topics[0]).toMatchObject({ name, errorCode: 0 })
  return answer.topics[0].topicId
}

async function member(group: string): Promise<KafkaMember> {
  const made = await KafkaMember.connect(broker.kafkaPort, group)
  members.push(made)
  return made
}

/** A subscription as clients write it. */
function subscription(...topics: string[]): Buffer {
  const names = topics.map((topic) => {
    const name = Buffer.alloc(2 + topic.length)
    name.writeInt16BE(topic.length)
    name.write(topic, 2)
    return name
  })
  const head = Buffer.alloc(6)
  head.writeInt32BE(topics.length, 2)
  return Buffer.concat([head, ...names, Buffer.from('ffffffff', 'hex')])
}

interface CommitOptions {
  readonly version?: number
  readonly memberId?: string
  readonly generation?: number
  readonly topic?: string
  readonly partition?: number
  readonly metadata?: string | null
  readonly instanceId?: string | null
}

/** Commits one offset and returns its error, 0 for none. */
async function commit(groupId: string, committedOffset: number, options: CommitOptions = {}): Promise<number> {
  const { version = 8, memberId = '', generation = -1, topic = 'orders', partition = 0, metadata = null } = options
  const { topics } = await client.ask(OffsetCommit, version, {
    groupId,
    memberId,
    generationIdOrMemberEpoch: generation,
    groupInstanceId: options.instanceId ?? null,
    topics: [
      {
        name: topic,
        partitions: [
          { partitionIndex: partition, committedOffset, committedLeaderEpoch: 3, committedMetadata: metadata },
        ],
      },
    ],
  })
  return topics[0].partitions[0].errorCode
}

/** What a group has committed, by topic and partition. */
async function fetchOffsets(groupId: string, more: object = {}) {
  const { groups } = await client.ask(OffsetFetch, 9, { groups: [{ groupId, topics: null, ...more }] })
  const [{ errorCode, topics }] = groups
  const offsets = topics.flatMap(({ name, partitions }) =>
    partitions.map(({ partitionIndex, committedOffset }) => [`${name}-${partitionIndex}`, committedOffset]),
  )
  return { errorCode, offsets: Object.fromEntries(offsets) as Record<string, number> }
}

/** One heartbeat of a member of a consumer group. */
function consumerHeartbeat(groupId: string, memberId: string, memberEpoch: number, more: object = {}, version = 1) {
  return client.ask(ConsumerGroupHeartbeat, version, { groupId, memberId, memberEpoch, ...more })
}

/** What it takes to join. */
const JOINING = { rebalanceTimeoutMs: 10_000, subscribedTopicNames: ['orders'], topicPartitions: [] }

test('FindCoordinator names this broker for groups and transactions, in all versions', async () => {
  for (let version = 0; version <= 3; version++) {
    const answer = await client.ask(FindCoordinator, version, { key: 'g', keyType: 0 })
    expect(answer).toMatchObject({ errorCode: 0, nodeId: 1, host: '127.0.0.1', port: broker.kafkaPort })
  }
  for (const keyType of [0, 1]) {
    const { coordinators } = await client.ask(FindCoordinator, 6, { keyType, coordinatorKeys: ['a', 'b'] })
    expect(coordinators).toMatchObject([
      { key: 'a', nodeId: 1, errorCode: 0 },
      { key: 'b', nodeId: 1, errorCode: 0 },
    ])
  }
  // There are no share groups.
  const { coordinators } = await client.ask(FindCoordinator, 6, { keyType: 2, coordinatorKeys: ['g:id:0'] })
  expect(coordinators[0].errorCode).toBe(ERROR_CODES.INVALID_REQUEST)
})

test.each([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])('a member joins, syncs, lives and leaves: JoinGroup %i', async (version) => {
  const one = await member(`versions-${version}`)
  const first = await one.client.ask(JoinGroup, version, {
    groupId: one.group,
    sessionTimeoutMs: 6000,
    rebalanceTimeoutMs: 6000,
    memberId: '',
    protocolType: 'consumer',
    protocols: [
      { name: 'range', metadata: Buffer.from('R') },
      { name: 'roundrobin', metadata: Buffer.from('RR') },
    ],
  })
  const protocols = { range: 'R', roundrobin: 'RR' }
  const needsId = version >= 4
  expect(first.errorCode).toBe(needsId ? ERROR_CODES.MEMBER_ID_REQUIRED : 0)
  expect(first.memberId).toMatch(/^test-[0-9a-f-]{36}$/)
  const joined = needsId ? await one.join({ version, memberId: first.memberId, protocols }) : first
  expect(joined).toMatchObject({
    errorCode: 0,
    generationId: 1,
    protocolType: version >= 7 ? 'consumer' : null,
    protocolName: 'range',
    leader: first.memberId,
    memberId: first.memberId,
    skipAssignment: false,
    members: [{ memberId: first.memberId, groupInstanceId: null, metadata: Buffer.from('R') }],
  })
  Object.assign(one, { memberId: first.memberId, generation: 1 })
  const syncVersion = Math.min(version, 5)
  const named = { protocolType: 'consumer', protocolName: 'range' }
  const synced = await one.sync({ [one.memberId]: 'all of it' }, syncVersion, named)
  expect(synced).toMatchObject({ errorCode: 0, assignment: Buffer.from('all of it') })
  if (syncVersion === 5) expect(synced).toMatchObject(named)
  expect(await one.heartbeat({}, Math.min(version, 4))).toBe(0)
  const left = await one.leave(undefined, Math.min(version, 5))
  expect(left.errorCode).toBe(0)
  if (version >= 3) expect(left.members).toEqual([{ memberId: one.memberId, groupInstanceId: null, errorCode: 0 }])
  expect(await one.heartbeat()).toBe(ERROR_CODES.UNKNOWN_MEMBER_ID)
})

test('two members share a group: one leads, both get what it assigns, and each can be told to join again', async () => {
  const [one, two] = [await member('pair'), await member('pair')]
  const alone = await one.join({ protocols: { range: subscription('orders') } })
  expect(alone.leader).toBe(one.memberId)
  // The second one makes the first one join again.
  const joining = two.join({ protocols: { range: subscription('orders') } })
  await expect.poll(() => one.heartbeat()).toBe(ERROR_CODES.REBALANCE_IN_PROGRESS)
  expect((await one.sync()).errorCode).toBe(ERROR_CODES.REBALANCE_IN_PROGRESS)
  const again = await one.join({ protocols: { range: subscription('orders') } })
  const joined = await joining
  expect(again.members.map(({ memberId }) => memberId)).toEqual([one.memberId, two.memberId])
  expect(joined).toMatchObject({ leader: one.memberId, generationId: 2, members: [] })

  // The follower waits for the leader.
  const waiting = two.sync()
  expect(await commit('pair', 1, { memberId: one.memberId, generation: 2 })).toBe(ERROR_CODES.REBALANCE_IN_PROGRESS)
  expect(await one.heartbeat()).toBe(0)
  const led = await one.sync({ [one.memberId]: 'first half', [two.memberId]: 'second half' })
  expect(String(led.assignment)).toBe('first half')
  expect(String((await waiting).assignment)).toBe('second half')

  // Offsets are the members' alone, in their generation.
  expect(await commit('pair', 5, { memberId: two.memberId, generation: 2, metadata: 'm' })).toBe(0)
  expect(await commit('pair', 6, { memberId: two.memberId, generation: 1 })).toBe(ERROR_CODES.ILLEGAL_GENERATION)
  expect(await commit('pair', 6, { memberId: 'other', generation: 2 })).toBe(ERROR_CODES.UNKNOWN_MEMBER_ID)
  expect(await commit('pair', 6)).toBe(ERROR_CODES.UNKNOWN_MEMBER_ID)
  expect(await two.heartbeat({ generationId: 1 })).toBe(ERROR_CODES.ILLEGAL_GENERATION)
  expect(await two.heartbeat({ memberId: 'other' })).toBe(ERROR_CODES.UNKNOWN_MEMBER_ID)
  expect((await two.sync({}, 3, { generationId: 1 })).errorCode).toBe(ERROR_CODES.ILLEGAL_GENERATION)

  const { groups } = await client.ask(DescribeGroups, 5, { groups: ['pair', 'nobody', 'pair'] })
  expect(groups).toMatchObject([
    {
      errorCode: 0,
      groupId: 'pair',
      groupState: 'Stable',
      protocolType: 'consumer',
      protocolData: 'range',
      members: [
        { memberId: one.memberId, clientId: 'test', clientHost: '/127.0.0.1', memberMetadata: subscription('orders') },
        { memberId: two.memberId, memberAssignment: Buffer.from('second half') },
      ],
    },
    { errorCode: 0, groupId: 'nobody', groupState: 'Dead', members: [] },
  ])
})

test('what a join is refused for', async () => {
  const one = await member('refusing')
  await one.join({ protocols: { range: 'R' } })
  await one.sync({ [one.memberId]: '' })
  const joinAs = async (options: Parameters<KafkaMember['join']>[0], group = 'refusing') =>
    (await (await member(group)).join(options)).errorCode
  expect(await joinAs({ sessionTimeoutMs: 5999 })).toBe(ERROR_CODES.INVALID_SESSION_TIMEOUT)
  expect(await joinAs({ sessionTimeoutMs: 1_800_001 })).toBe(ERROR_CODES.INVALID_SESSION_TIMEOUT)
  expect(await joinAs({ protocolType: 'connect' })).toBe(ERROR_CODES.INCONSISTENT_GROUP_PROTOCOL)
  expect(await joinAs({ protocols: { sticky: '' } })).toBe(ERROR_CODES.INCONSISTENT_GROUP_PROTOCOL)
  expect(await joinAs({ protocols: {} }, 'without-protocols')).toBe(ERROR_CODES.INCONSISTENT_GROUP_PROTOCOL)
  expect(await joinAs({ memberId: 'made-up' })).toBe(ERROR_CODES.UNKNOWN_MEMBER_ID)
  expect(await joinAs({ memberId: 'made-up' }, 'not-there')).toBe(ERROR_CODES.UNKNOWN_MEMBER_ID)
  expect(await joinAs({}, '')).toBe(ERROR_CODES.INVALID_GROUP_ID)
  expect(await joinAs({}, 'a\nb')).toBe(ERROR_CODES.INVALID_GROUP_ID)
  expect(await joinAs({ instanceId: '\u0000' })).toBe(ERROR_CODES.INVALID_REQUEST)
  expect(await joinAs({ protocols: { range: Buffer.alloc(2 ** 20) } })).toBe(ERROR_CODES.INVALID_REQUEST)
  expect((await one.sync({}, 5, { protocolType: 'connect' })).errorCode).toBe(ERROR_CODES.INCONSISTENT_GROUP_PROTOCOL)
  expect((await one.sync({}, 5, { protocolName: 'sticky' })).errorCode).toBe(ERROR_CODES.INCONSISTENT_GROUP_PROTOCOL)
  // Nothing of that has disturbed the group.
  expect(await one.heartbeat()).toBe(0)
})

test('a static member takes its place again without a rebalance, and whoever was there is fenced', async () => {
  const [one, two] = [await member('static'), await member('static')]
  const first = await one.join({ version: 9, instanceId: 'till-1', protocols: { range: 'R' } })
  expect(first).toMatchObject({ errorCode: 0, members: [{ groupInstanceId: 'till-1' }] })
  expect(first.memberId).toMatch(/^till-1-/)
  await one.sync({ [one.memberId]: 'mine' })
  const back = await two.join({ version: 9, instanceId: 'till-1', protocols: { range: 'R' } })
  expect(back).toMatchObject({ errorCode: 0, generationId: first.generationId, skipAssignment: true })
  expect(back.memberId).not.toBe(first.memberId)
  expect(String((await two.sync()).assignment)).toBe('mine')

  expect(await one.heartbeat()).toBe(ERROR_CODES.FENCED_INSTANCE_ID)
  expect((await one.sync()).errorCode).toBe(ERROR_CODES.FENCED_INSTANCE_ID)
  const { memberId, generation } = one
  expect(await commit('static', 1, { memberId, generation, instanceId: 'till-1' })).toBe(ERROR_CODES.FENCED_INSTANCE_ID)
  expect((await one.leave()).members).toMatchObject([{ errorCode: ERROR_CODES.FENCED_INSTANCE_ID }])
  const { members: answers } = await two.leave([
    { memberId: 'stranger' },
    { memberId: '', groupInstanceId: 'nobody' },
    { memberId: '', groupInstanceId: 'till-1' },
  ])
  expect(answers.map(({ errorCode }) => errorCode)).toEqual([
    ERROR_CODES.UNKNOWN_MEMBER_ID,
    ERROR_CODES.UNKNOWN_MEMBER_ID,
    0,
  ])
  expect(await two.heartbeat()).toBe(ERROR_CODES.UNKNOWN_MEMBER_ID)
})

test('whoever says nothing for a session is dropped, and the others share again', async () => {
  const [one, two] = [await member('silent'), await member('silent')]
  const joining = Promise.all([one.join(), two.join()])
  await joining
  const leader = (await client.ask(DescribeGroups, 4, { groups: ['silent'] })).groups[0].members[0].memberId
  const [lead, follow] = leader === one.memberId ? [one, two] : [two, one]
  expect((await lead.sync({ [lead.memberId]: 'a', [follow.memberId]: 'b' })).errorCode).toBe(0)
  await follow.sync()
  follow.close()
  await expect.poll(() => lead.heartbeat(), { timeout: 8000, interval: 200 }).toBe(ERROR_CODES.REBALANCE_IN_PROGRESS)
  expect((await lead.join()).members).toHaveLength(1)
}, 15_000)

test('a client that goes while it waits leaves nothing behind but its place, which it loses', async () => {
  const [one, two] = [await member('going'), await member('going')]
  await one.join()
  await one.sync({ [one.memberId]: '' })
  const joining = two.join().catch(() => undefined)
  await expect.poll(() => one.heartbeat()).toBe(ERROR_CODES.REBALANCE_IN_PROGRESS)
  two.close()
  await joining
  const again = await one.join()
  expect(again.errorCode).toBe(0)
  expect(await one.heartbeat()).toBe(0)
})

test.each([2, 3, 4, 5, 6, 7, 8, 9])(
  'offsets are committed and come back with text and epoch: OffsetCommit %i',
  async (version) => {
    const group = `committed-${version}`
    expect(await commit(group, 42, { version, metadata: 'déjà lu', partition: 3 })).toBe(0)
    const wish = { name: 'orders', partitionIndexes: [3, 4, 99] }
    const expected = [
      { partitionIndex: 3, committedOffset: 42, committedLeaderEpoch: version >= 6 ? 3 : -1, metadata: 'déjà lu' },
      { partitionIndex: 4, committedOffset: -1, committedLeaderEpoch: -1, metadata: '', errorCode: 0 },
      { partitionIndex: 99, committedOffset: -1, errorCode: 0 },
    ]
    for (let fetchVersion = 1; fetchVersion <= 9; fetchVersion++) {
      const request =
        fetchVersion < 8 ? { groupId: group, topics: [wish] } : { groups: [{ groupId: group, topics: [wish] }] }
      const answer = await client.ask(OffsetFetch, fetchVersion, request)
      const { topics } = fetchVersion < 8 ? answer : answer.groups[0]
      const withoutEpoch = expected.map((each) => ({ ...each, committedLeaderEpoch: -1 }))
      expect(topics).toMatchObject([{ name: 'orders', partitions: fetchVersion < 5 ? withoutEpoch : expected }])
    }
    const all = await client.ask(OffsetFetch, 7, { groupId: group, topics: null, requireStable: true })
    expect(all.topics).toMatchObject([{ name: 'orders', partitions: [{ partitionIndex: 3, committedOffset: 42 }] }])
  },
)

test('what a commit is refused for', async () => {
  expect(await commit('by-hand', 1, { topic: 'nothing' })).toBe(ERROR_CODES.UNKNOWN_TOPIC_OR_PARTITION)
  expect(await commit('by-hand', 1, { partition: 12 })).toBe(ERROR_CODES.UNKNOWN_TOPIC_OR_PARTITION)
  expect(await commit('by-hand', 1, { partition: -1 })).toBe(ERROR_CODES.UNKNOWN_TOPIC_OR_PARTITION)
  expect(await commit('by-hand', -2)).toBe(ERROR_CODES.INVALID_REQUEST)
  expect(await commit('by-hand', 1, { metadata: 'x'.repeat(4097) })).toBe(ERROR_CODES.OFFSET_METADATA_TOO_LARGE)
  expect(await commit('', 1)).toBe(ERROR_CODES.INVALID_GROUP_ID)
  expect((await fetchOffsets('by-hand')).offsets).toEqual({})
  // Of a group that is not there, or has no members.
  const stranger = { memberId: 'm', generation: 1 }
  expect(await commit('by-hand', 1, { ...stranger, version: 8 })).toBe(ERROR_CODES.ILLEGAL_GENERATION)
  expect(await commit('by-hand', 1, { ...stranger, version: 9 })).toBe(ERROR_CODES.GROUP_ID_NOT_FOUND)
  expect(await commit('by-hand', 1, { metadata: 'x'.repeat(4096) })).toBe(0)
  expect(await commit('by-hand', 1, stranger)).toBe(ERROR_CODES.UNKNOWN_MEMBER_ID)
})

test('one request with partitions that are there and others: each has its own answer', async () => {
  const partition = (partitionIndex: number, committedMetadata = '') => {
    return { partitionIndex, committedOffset: partitionIndex, committedMetadata }
  }
  const { topics } = await client.ask(OffsetCommit, 8, {
    groupId: 'mixed',
    memberId: '',
    topics: [
      { name: 'nothing', partitions: [partition(0)] },
      { name: 'orders', partitions: [partition(77), partition(1, 'x'.repeat(5000)), partition(2)] },
    ],
  })
  const codes = topics.map(({ partitions }) => partitions.map(({ errorCode }) => errorCode))
  const { UNKNOWN_TOPIC_OR_PARTITION, OFFSET_METADATA_TOO_LARGE } = ERROR_CODES
  expect(codes).toEqual([[UNKNOWN_TOPIC_OR_PARTITION], [UNKNOWN_TOPIC_OR_PARTITION, OFFSET_METADATA_TOO_LARGE, 0]])
  expect((await fetchOffsets('mixed')).offsets).toEqual({ 'orders-2': 2 })
})

test('both doors have the same offsets and groups', async () => {
  expect(await commit('shared', 7)).toBe(0)
  const seen = await json.ask(FETCH_OFFSETS, { group: 'shared' })
  expect(seen.json).toMatchObject({ state: 'Empty', offsets: [{ topic: 'orders', partition: 0, offset: 7 }] })
  await json.ask(COMMIT, { group: 'shared', topic: 'orders', partition: 1, offset: 0 })
  expect((await fetchOffsets('shared')).offsets).toEqual({ 'orders-0': 7, 'orders-1': 0 })
  const one = await member('shared')
  await one.join()
  const refused = await json.ask(COMMIT, { group: 'shared', topic: 'orders', partition: 1, offset: 0 })
  expect(refused.json.error.message).toContain('it has 1 members')
})

test('groups are listed by state and kind, and deleted when they are empty', async () => {
  const group = 'to-be-deleted'
  expect(await commit(group, 1)).toBe(0)
  const one = await member('listed-classic')
  await one.join()
  await consumerHeartbeat('listed-consumer', 'member-1', 0, JOINING)
  const list = async (request: object, version = 5) => {
    const { errorCode, groups } = await client.ask(ListGroups, version, request)
    expect(errorCode).toBe(0)
    return groups.filter(({ groupId }) => groupId === group || groupId.startsWith('listed-'))
  }
  expect(await list({})).toEqual([
    { groupId: 'listed-classic', protocolType: 'consumer', groupState: 'CompletingRebalance', groupType: 'classic' },
    { groupId: 'listed-consumer', protocolType: 'consumer', groupState: 'Stable', groupType: 'consumer' },
    { groupId: group, protocolType: '', groupState: 'Empty', groupType: 'classic' },
  ])
  expect(await list({}, 0)).toHaveLength(3)
  expect(await list({ statesFilter: ['empty'] }, 4)).toMatchObject([{ groupId: group }])
  expect(await list({ typesFilter: ['Consumer'] })).toMatchObject([{ groupId: 'listed-consumer' }])
  expect(await list({ typesFilter: ['share'] })).toEqual([])

  const { results } = await client.ask(DeleteGroups, 2, { groupsNames: [group, 'listed-classic', 'nobody', group] })
  expect(results).toEqual([
    { groupId: group, errorCode: 0 },
    { groupId: 'listed-classic', errorCode: ERROR_CODES.NON_EMPTY_GROUP },
    { groupId: 'nobody', errorCode: ERROR_CODES.GROUP_ID_NOT_FOUND },
  ])
  expect((await fetchOffsets(group)).offsets).toEqual({})
})

test('single offsets are deleted, but not those that members want to read', async () => {
  const one = await member('reading')
  await createTopic('left', 1)
  expect(await commit('reading', 1)).toBe(0)
  expect(await commit('reading', 1, { topic: 'left' })).toBe(0)
  await one.join({ protocols: { range: subscription('orders') } })
  await one.sync({ [one.memberId]: '' })
  const forget = (groupId: string, ...names: string[]) => {
    const topics = names.map((name) => ({ name, partitions: [{ partitionIndex: 0 }] }))
    return client.ask(OffsetDelete, 0, { groupId, topics })
  }
  const { errorCode, topics } = await forget('reading', 'orders', 'left', 'nothing')
  expect(errorCode).toBe(0)
  expect(topics.map(({ partitions }) => partitions[0].errorCode)).toEqual([
    ERROR_CODES.GROUP_SUBSCRIBED_TO_TOPIC,
    0,
    ERROR_CODES.UNKNOWN_TOPIC_OR_PARTITION,
  ])
  expect((await fetchOffsets('reading')).offsets).toEqual({ 'orders-0': 1 })
  expect((await forget('nobody', 'orders')).errorCode).toBe(ERROR_CODES.GROUP_ID_NOT_FOUND)

  const two = await member('connecting')
  expect(await commit('connecting', 1)).toBe(0)
  await two.join({ protocolType: 'connect' })
  expect((await forget('connecting', 'orders')).errorCode).toBe(ERROR_CODES.NON_EMPTY_GROUP)
})

test('a consumer group: the broker assigns, and a partition goes on when the one before has let go', async () => {
  const one = await consumerHeartbeat('new', 'member-1', 0, JOINING)
  expect(one).toMatchObject({ errorCode: 0, memberId: 'member-1', memberEpoch: 1, heartbeatIntervalMs: 2000 })
  const all = Array.from({ length: 12 }, (_, partition) => partition)
  expect(one.assignment?.topicPartitions).toEqual([{ topicId, partitions: all }])

  const two = await consumerHeartbeat('new', 'member-2', 0, JOINING)
  expect(two).toMatchObject({ errorCode: 0, memberEpoch: 2, assignment: { topicPartitions: [] } })
  const told = await consumerHeartbeat('new', 'member-1', 1)
  const kept = told.assignment?.topicPartitions[0].partitions ?? []
  expect(told.memberEpoch).toBe(1)
  expect(kept).toHaveLength(6)
  const partitions = { topicPartitions: [{ topicId, partitions: kept }] }
  expect(await consumerHeartbeat('new', 'member-1', 1, partitions)).toMatchObject({ errorCode: 0, memberEpoch: 2 })
  const got = (await consumerHeartbeat('new', 'member-2', 2)).assignment?.topicPartitions[0].partitions ?? []
  expect([...kept, ...got].toSorted((left, right) => left - right)).toEqual(all)

  // Offsets, in the member's epoch.
  const second = { memberId: 'member-2', generation: 2 }
  expect(await commit('new', 5, { ...second, version: 9 })).toBe(0)
  expect(await commit('new', 5, { ...second, version: 8 })).toBe(ERROR_CODES.UNSUPPORTED_VERSION)
  expect(await commit('new', 5, { ...second, version: 9, generation: 1 })).toBe(ERROR_CODES.STALE_MEMBER_EPOCH)
  expect(await commit('new', 5, { memberId: 'x', generation: 2, version: 9 })).toBe(ERROR_CODES.UNKNOWN_MEMBER_ID)
  expect(await commit('new', 5, { version: 9 })).toBe(ERROR_CODES.UNKNOWN_MEMBER_ID)
  expect(await fetchOffsets('new', { memberId: 'member-2', memberEpoch: 2 })).toEqual({
    errorCode: 0,
    offsets: { 'orders-0': 5 },
  })
  const stale = await fetchOffsets('new', { memberId: 'member-2', memberEpoch: 1 })
  expect(stale).toEqual({ errorCode: ERROR_CODES.STALE_MEMBER_EPOCH, offsets: {} })
  expect((await fetchOffsets('new', { memberId: 'x', memberEpoch: 1 })).errorCode).toBe(ERROR_CODES.UNKNOWN_MEMBER_ID)
  expect((await fetchOffsets('new')).errorCode).toBe(0)

  const { groups } = await client.ask(ConsumerGroupDescribe, 1, {
    groupIds: ['new', 'by-hand', 'nobody'],
    includeAuthorizedOperations: false,
  })
  expect(groups).toMatchObject([
    {
      errorCode: 0,
      groupId: 'new',
      groupState: 'Stable',
      groupEpoch: 2,
      assignmentEpoch: 2,
      assignorName: 'uniform',
      members: [
        {
          memberId: 'member-1',
          memberEpoch: 2,
          clientId: 'test',
          clientHost: '/127.0.0.1',
          subscribedTopicNames: ['orders'],
          subscribedTopicRegex: null,
          assignment: { topicPartitions: [{ topicId, topicName: 'orders', partitions: kept }] },
          targetAssignment: { topicPartitions: [{ topicId, topicName: 'orders', partitions: kept }] },
          memberType: 1,
        },
        { memberId: 'member-2' },
      ],
    },
    { errorCode: ERROR_CODES.GROUP_ID_NOT_FOUND, groupId: 'by-hand', members: [] },
    { errorCode: ERROR_CODES.GROUP_ID_NOT_FOUND, groupId: 'nobody', members: [] },
  ])
  const classic = await client.ask(DescribeGroups, 5, { groups: ['new'] })
  expect(classic.groups).toMatchObject([{ errorCode: 0, groupState: 'Dead' }])

  expect(await consumerHeartbeat('new', 'member-1', -1)).toMatchObject({ errorCode: 0, memberEpoch: -1 })
  await expect
    .poll(async () => (await consumerHeartbeat('new', 'member-2', 2)).assignment?.topicPartitions[0].partitions.length)
    .toBe(12)
})

test('what a heartbeat of a consumer group is refused for', async () => {
  const joinAs = async (memberId: string, more: object = {}, version = 1) => {
    const answer = await consumerHeartbeat('strict', memberId, 0, { ...JOINING, ...more }, version)
    expect(answer.errorMessage === null).toBe(answer.errorCode === 0)
    return answer.errorCode
  }
  expect(await joinAs('one', { instanceId: 'i' })).toBe(0)
  expect(await joinAs('')).toBe(ERROR_CODES.INVALID_REQUEST)
  expect(await joinAs('two', { rebalanceTimeoutMs: -1 })).toBe(ERROR_CODES.INVALID_REQUEST)
  expect(await joinAs('two', { subscribedTopicNames: null })).toBe(ERROR_CODES.INVALID_REQUEST)
  expect(await joinAs('two', { topicPartitions: null })).toBe(ERROR_CODES.INVALID_REQUEST)
  expect(await joinAs('two', { serverAssignor: 'best' })).toBe(ERROR_CODES.UNSUPPORTED_ASSIGNOR)
  expect(await joinAs('two', { subscribedTopicRegex: '(' })).toBe(ERROR_CODES.INVALID_REGULAR_EXPRESSION)
  expect(await joinAs('two', { instanceId: 'i' })).toBe(ERROR_CODES.UNRELEASED_INSTANCE_ID)
  const codeOf = async (group: string, memberId: string, memberEpoch: number, more = {}) =>
    (await consumerHeartbeat(group, memberId, memberEpoch, more)).errorCode
  expect(await codeOf('strict', 'one', 7)).toBe(ERROR_CODES.FENCED_MEMBER_EPOCH)
  expect(await codeOf('strict', 'two', 1)).toBe(ERROR_CODES.UNKNOWN_MEMBER_ID)
  expect(await codeOf('strict', 'two', -2)).toBe(ERROR_CODES.INVALID_REQUEST)
  expect(await codeOf('not-there', 'two', 1)).toBe(ERROR_CODES.UNKNOWN_MEMBER_ID)
  expect(await codeOf('not-there', 'two', -1)).toBe(ERROR_CODES.GROUP_ID_NOT_FOUND)
  // Leaves for a while, and another one takes its place.
  expect(await codeOf('strict', 'one', -2, { instanceId: 'i' })).toBe(0)
  expect(await joinAs('two', { instanceId: 'i' })).toBe(0)
  expect(await codeOf('strict', 'one', 1, { instanceId: 'i' })).toBe(ERROR_CODES.FENCED_INSTANCE_ID)

  // One kind of members at a time.
  expect((await (await member('strict')).join()).errorCode).toBe(ERROR_CODES.INCONSISTENT_GROUP_PROTOCOL)
  const one = await member('strict-classic')
  await one.join()
  expect((await consumerHeartbeat('strict-classic', 'one', 0, JOINING)).errorCode).toBe(ERROR_CODES.GROUP_ID_NOT_FOUND)
})

test('version 0 gives a member its id, a pattern picks topics, and topics come and go', async () => {
  await createTopic('weather-a', 1)
  const made = await consumerHeartbeat('weather', '', 0, { ...JOINING, subscribedTopicNames: ['weather-a'] }, 0)
  expect(made).toMatchObject({ errorCode: 0, memberEpoch: 1 })
  expect(made.memberId).toMatch(/^[0-9a-f-]{36}$/)
  const wish = { ...JOINING, subscribedTopicNames: null, subscribedTopicRegex: 'weather-.*' }
  const { memberEpoch } = await consumerHeartbeat('patterns', 'm', 0, wish)
  const added = await createTopic('weather-b', 2)
  const grown = await consumerHeartbeat('patterns', 'm', memberEpoch)
  expect(grown.assignment?.topicPartitions).toContainEqual({ topicId: added, partitions: [0, 1] })
  await client.ask(DeleteTopics, 6, {
    topics: [{ name: 'weather-b', topicId: '00000000-0000-0000-0000-000000000000' }],
    timeoutMs: 1000,
  })
  // What it still has of the topic that is gone does not matter.
  const owned = { topicPartitions: [{ topicId: added, partitions: [0, 1] }] }
  const shrunk = await consumerHeartbeat('patterns', 'm', grown.memberEpoch, owned)
  expect(shrunk.errorCode).toBe(0)
  expect(shrunk.assignment?.topicPartitions).toHaveLength(1)
})

test('who waits when the broker stops is answered, and can go on with the next one', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cafelog-'))
  const first = await startWholeBroker({ directory })
  const [one, two] = [await KafkaMember.connect(first.kafkaPort, 'g'), await KafkaMember.connect(first.kafkaPort, 'g')]
  await one.join()
  await one.sync({ [one.memberId]: 'all' })
  const joining = two.join()
  await expect.poll(() => one.heartbeat()).toBe(ERROR_CODES.REBALANCE_IN_PROGRESS)
  const stopped = first.stop()
  expect((await joining).errorCode).toBe(ERROR_CODES.COORDINATOR_NOT_AVAILABLE)
  await stopped

  const second = await startWholeBroker({ directory })
  const back = await KafkaMember.connect(second.kafkaPort, 'g')
  Object.assign(back, { memberId: one.memberId, generation: one.generation })
  expect(String((await back.sync()).assignment)).toBe('all')
  expect(await back.heartbeat()).toBe(0)
  for (const each of [one, two, back]) each.close()
  await second.stop()
  rmSync(directory, { recursive: true })
})

test('the times of groups are settings, and groups have metrics', async () => {
  const quick = await startWholeBroker({
    environment: {
      CAFELOG_GROUP_INITIAL_REBALANCE_DELAY: '0ms',
      CAFELOG_GROUP_MIN_SESSION_TIMEOUT: '200ms',
      CAFELOG_GROUP_MAX_SESSION_TIMEOUT: '3s',
      CAFELOG_GROUP_CONSUMER_SESSION_TIMEOUT: '3s',
      CAFELOG_GROUP_CONSUMER_HEARTBEAT_INTERVAL: '100ms',
      CAFELOG_OFFSETS_RETENTION: '3s',
    },
  })
  const own = await KafkaClient.connect(quick.kafkaPort)
  const one = await KafkaMember.connect(quick.kafkaPort, 'classic')
  const scrape = async () => (await fetch(`http://127.0.0.1:${quick.httpPort}/metrics`)).text()
  const topics = [{ name: 'orders', numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }]
  await own.ask(CreateTopics, 7, { topics, timeoutMs: 1000 })

  for (const sessionTimeoutMs of [199, 3001]) {
    expect((await one.join({ sessionTimeoutMs })).errorCode).toBe(ERROR_CODES.INVALID_SESSION_TIMEOUT)
  }
  expect((await one.join({ sessionTimeoutMs: 3000 })).errorCode).toBe(0)
  await one.sync({ [one.memberId]: '' })
  const joining = { groupId: 'consumer', memberId: 'm', memberEpoch: 0, ...JOINING }
  expect(await own.ask(ConsumerGroupHeartbeat, 1, joining)).toMatchObject({ errorCode: 0, heartbeatIntervalMs: 100 })
  const partitions = [{ partitionIndex: 0, committedOffset: 0, committedMetadata: null }]
  const committed = [{ name: 'orders', partitions: [...partitions, { ...partitions[0], partitionIndex: 1 }] }]
  await own.ask(OffsetCommit, 8, { groupId: 'by-hand', memberId: '', topics: committed })

  const before = await scrape()
  expect(before).toContain('cafelog_consumer_groups{kind="consumer",state="Stable"} 1\n')
  expect(before).toContain('cafelog_consumer_groups{kind="classic",state="Empty"} 1\n')
  expect(before).toContain('cafelog_consumer_group_members{group="classic"} 1\n')
  expect(before).toContain('cafelog_consumer_group_members{group="by-hand"} 0\n')
  expect(before).toContain('cafelog_consumer_group_state{group="classic",state="Stable"} 1\n')
  expect(before).toContain('cafelog_consumer_rebalances_total{group="classic"} 1\n')
  expect(before).toContain('cafelog_consumer_rebalance_duration_seconds_count 1\n')
  expect(before).toContain('cafelog_offset_commits_total{result="ok"} 1\n')
  expect(before).toContain('cafelog_offset_commits_total{result="error"} 1\n')

  // The members' sessions end, and a little later nothing is left to know of the groups.
  await expect.poll(scrape, { timeout: 10_000 }).toContain('cafelog_consumer_members_expired_total 2\n')
  await expect.poll(scrape, { timeout: 10_000 }).not.toContain('cafelog_consumer_group_members{')
  for (const each of [own, one]) each.close()
  await quick.stop()
}, 30_000)

test('requests that name very many things are answered, and those that name too many close the connection', async () => {
  const many = Array.from({ length: 90_000 }, (_, index) => index)
  const [one, two] = [await member('many'), await member('many')]
  await one.join()
  const left = await two.leave(many.map((index) => ({ memberId: `m-${index}` })))
  expect(left.members).toHaveLength(many.length)
  expect(left.members.every(({ errorCode }) => errorCode === ERROR_CODES.UNKNOWN_MEMBER_ID)).toBe(true)
  const names = many.map((index) => `g-${index}`)
  expect((await client.ask(DescribeGroups, 5, { groups: names })).groups).toHaveLength(many.length)
  expect((await client.ask(DeleteGroups, 2, { groupsNames: names })).results).toHaveLength(many.length)
  const fetched = await client.ask(OffsetFetch, 7, {
    groupId: 'many',
    topics: [{ name: 'orders', partitionIndexes: many.slice(1) }],
  })
  expect(fetched.topics[0].partitions).toHaveLength(many.length - 1)
  const partitions = many.slice(1).map((partitionIndex) => ({ partitionIndex }))
  const topics = [{ name: 'orders', partitions }]
  expect(await commit('many-deleted', 1)).toBe(0)
  const deleted = await client.ask(OffsetDelete, 0, { groupId: 'many-deleted', topics })
  expect(deleted.topics[0].partitions.filter(({ errorCode }) => errorCode === 0)).toHaveLength(11)
  const wish = { committedOffset: 1, committedMetadata: '' }
  const committed = await client.ask(OffsetCommit, 8, {
    groupId: 'many-committed',
    memberId: '',
    topics: [{ name: 'orders', partitions: partitions.map((each) => ({ ...each, ...wish })) }],
  })
  expect(committed.topics[0].partitions.filter(({ errorCode }) => errorCode === 0)).toHaveLength(11)

  const other = await KafkaClient.connect(broker.kafkaPort)
  other.send(DescribeGroups, 5, { groups: Array.from({ length: 1_000_000 }, (_, index) => `g-${index}`) })
  expect(await other.next()).toBe(undefined)
  expect((await client.ask(ListGroups, 5, {})).errorCode).toBe(0)
}, 30_000)
