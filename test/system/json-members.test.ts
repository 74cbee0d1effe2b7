import { afterEach, beforeEach, expect, test } from 'vitest'
import { SimClock } from '../simulation/sim-clock.ts'
import { COMMIT, CREATE_TOPIC, FETCH_OFFSETS, HEARTBEAT, PRODUCE } from '../support/frame-types.ts'
import { RawClient } from '../support/raw-client.ts'
import type { TestBroker } from '../support/start-broker.ts'
import { startTestBroker } from '../support/start-broker.ts'

// Members of groups who speak through the JSON door, by a clock that is turned by hand.

const SESSION_MS = 45_000

let clock: SimClock
let broker: TestBroker
let client: RawClient
beforeEach(async () => {
  clock = new SimClock()
  broker = await startTestBroker({ clock })
  client = await RawClient.connect(broker.port)
  await ask(CREATE_TOPIC, { topic: 'orders', partitions: 4 })
})
afterEach(async () => {
  client.close()
  await broker.stop()
})

async function ask(type: number, payload: object) {
  return (await client.ask(type, payload)).json
}

const beat = (request: object) => ask(HEARTBEAT, { group: 'g', ...request })
const orders = (...partitions: number[]) => (partitions.length === 0 ? [] : [{ topic: 'orders', partitions }])
const commit = (request: object) => ask(COMMIT, { topic: 'orders', partition: 0, group: 'g', offset: 0, ...request })

test('a heartbeat without a group is what it always was', async () => {
  expect(await ask(HEARTBEAT, {})).toEqual({ ok: true })
  expect((await ask(HEARTBEAT, { memberId: 'a' })).error).toEqual({
    code: 'INVALID_REQUEST',
    message: 'Cannot take HEARTBEAT without "group": text is needed',
  })
})

test('one member has everything, two share it, and who leaves gives it back', async () => {
  const first = await beat({ topics: ['orders'] })
  const { memberId } = first
  expect(first).toEqual({
    ok: true,
    memberId: expect.stringMatching(/^[\w-]{22,36}$/),
    generation: 1,
    heartbeatIntervalMs: 2000,
    assignment: orders(0, 1, 2, 3),
  })
  expect(await beat({ memberId })).toEqual(first)

  // Nothing is free for the second one before the first has given it away, which its next heartbeat but one says.
  expect(await beat({ memberId: 'b', topics: ['orders'] })).toMatchObject({ memberId: 'b', assignment: [] })
  expect(await beat({ memberId })).toMatchObject({ generation: 1, assignment: orders(0, 1) })
  expect(await beat({ memberId: 'b' })).toMatchObject({ assignment: [] })
  expect(await beat({ memberId })).toMatchObject({ generation: 2, assignment: orders(0, 1) })
  expect(await beat({ memberId: 'b' })).toMatchObject({ generation: 2, assignment: orders(2, 3) })

  expect(await beat({ memberId, leave: true })).toMatchObject({ ok: true, memberId, generation: -1, assignment: [] })
  expect(await beat({ memberId: 'b' })).toMatchObject({ generation: 3, assignment: orders(0, 1, 2, 3) })
})

test('what a member says it owns is not given to another, however often it beats', async () => {
  const { memberId } = await beat({ topics: ['orders'] })
  await beat({ memberId: 'b', topics: ['orders'] })
  for (let i = 0; i < 3; i++) {
    const busy = await beat({ memberId, owned: orders(0, 1, 2, 3) })
    expect(busy).toMatchObject({ generation: 1, assignment: orders(0, 1) })
    expect(await beat({ memberId: 'b' })).toMatchObject({ assignment: [] })
  }
  expect(await beat({ memberId, owned: orders(0, 1, 3) })).toMatchObject({ generation: 1 })
  expect(await beat({ memberId, owned: orders(0, 1) })).toMatchObject({ generation: 2 })
  expect(await beat({ memberId: 'b' })).toMatchObject({ assignment: orders(2, 3) })
})

test('a member that stops beating loses its partitions, and is told so when it comes back', async () => {
  const { memberId } = await beat({ topics: ['orders'] })
  await beat({ memberId: 'b', topics: ['orders'] })
  clock.advance(SESSION_MS - 1)
  await beat({ memberId: 'b' })
  clock.advance(1)
  expect(await beat({ memberId: 'b' })).toMatchObject({ assignment: orders(0, 1, 2, 3) })

  // Whoever says what it knows is told that this is over; whoever does not is a new member of the same name.
  expect((await beat({ memberId, generation: 1 })).error.code).toBe('UNKNOWN_MEMBER_ID')
  expect((await beat({ memberId, topics: ['orders'], owned: orders(0) })).error.code).toBe('UNKNOWN_MEMBER_ID')
  expect(await beat({ memberId, topics: ['orders'] })).toMatchObject({ memberId, assignment: [] })
})

test('a commit with a generation is the member’s of that generation alone', async () => {
  const { memberId, generation } = await beat({ topics: ['orders'] })
  expect(await commit({ memberId, generation })).toEqual({ ok: true })
  await beat({ memberId: 'b', topics: ['orders'] })
  await beat({ memberId })
  expect(await beat({ memberId })).toMatchObject({ generation: 2 })
  expect((await commit({ memberId, generation })).error).toEqual({
    code: 'STALE_MEMBER_EPOCH',
    message: 'Cannot commit offsets in epoch 1 of group "g": the member is in epoch 2',
  })
  expect(await commit({ memberId, generation: 2, offset: 1 })).toEqual({ ok: true })
  expect((await commit({ memberId: 'nobody', generation: 2 })).error.code).toBe('UNKNOWN_MEMBER_ID')
  expect((await commit({})).error.code).toBe('INVALID_REQUEST')
  expect((await commit({ memberId })).error.message).toContain('"generation"')
  expect((await commit({ generation: 2 })).error.message).toContain('"memberId"')
  expect((await ask(FETCH_OFFSETS, { group: 'g' })).offsets).toMatchObject([{ partition: 0, offset: 1 }])
})

test('a group is behind by records, and by the age of the next of them', async () => {
  const lag = async () => {
    const { offsets } = await ask(FETCH_OFFSETS, { group: 'g' })
    return [offsets[0].lag, offsets[0].lagMs]
  }
  await commit({})
  expect(await lag()).toEqual([0, 0])
  for (let i = 0; i < 3; i++) {
    await ask(PRODUCE, { topic: 'orders', partition: 0, records: [{ value: null }, { value: null }] })
    clock.advance(1000)
  }
  expect(await lag()).toEqual([6, 3000])
  await commit({ offset: 3 })
  expect(await lag()).toEqual([3, 2000])
  await commit({ offset: 6 })
  expect(await lag()).toEqual([0, 0])
})

test('a static member that leaves finds its partitions again', async () => {
  const first = await beat({ topics: ['orders'], instanceId: 'one' })
  await beat({ memberId: 'b', topics: ['orders'] })
  await beat({ memberId: first.memberId, instanceId: 'one' })
  await beat({ memberId: first.memberId, instanceId: 'one' })
  const refused = await beat({ topics: ['orders'], instanceId: 'one' })
  expect(refused.error.code).toBe('UNRELEASED_INSTANCE_ID')

  const gone = await beat({ memberId: first.memberId, instanceId: 'one', leave: true })
  expect(gone).toMatchObject({ generation: -2, assignment: [] })
  expect(await beat({ memberId: 'b' })).toMatchObject({ assignment: orders(2, 3) })
  const back = await beat({ topics: ['orders'], instanceId: 'one' })
  expect(back).toMatchObject({ generation: 2, assignment: orders(0, 1) })
  expect(back.memberId).not.toBe(first.memberId)
  const fenced = await beat({ memberId: first.memberId, instanceId: 'one', generation: 2 })
  expect(fenced.error.code).toBe('FENCED_INSTANCE_ID')
})

test('members subscribe by pattern, choose an assignor, and are seen with what they have', async () => {
  await ask(CREATE_TOPIC, { topic: 'orders-eu', partitions: 2 })
  const member = await beat({ topicPattern: 'orders.*', assignor: 'range', clientId: 'billing' })
  const assignment = [...orders(0, 1, 2, 3), { topic: 'orders-eu', partitions: [0, 1] }]
  expect(member.assignment).toEqual(assignment)
  expect(await ask(FETCH_OFFSETS, { group: 'g' })).toMatchObject({
    state: 'Stable',
    members: [{ member: member.memberId, client: 'billing', host: '/127.0.0.1' }],
  })
  expect((await beat({ topics: ['orders'], assignor: 'best' })).error.message).toContain('"best"')
})

test('what is wrong is named', async () => {
  const wrong: [object, string][] = [
    [{ topics: ['orders'], group: '' }, 'group'],
    [{ topics: ['orders'], group: 7 }, '"group" 7'],
    [{ memberId: 'new' }, 'a subscription is needed'],
    [{ topics: 'orders' }, '"topics" "orders"'],
    [{ topics: ['orders', 1] }, '"topics[1]" 1'],
    [{ topics: ['orders'], generation: -1 }, '"generation" -1'],
    [{ topics: ['orders'], rebalanceTimeoutMs: 0 }, '"rebalanceTimeoutMs" 0'],
    [{ topics: ['orders'], owned: {} }, '"owned" {}'],
    [{ topics: ['orders'], owned: [{ topic: 'orders', partitions: [-1] }] }, '"owned[0]"'],
    [{ topics: ['orders'], owned: [null] }, '"owned[0]" null'],
    [{ topics: ['orders'], leave: 1 }, '"leave" 1'],
    [{ topics: ['orders'], memberId: '\n' }, 'memberId'],
  ]
  for (const [request, words] of wrong) {
    const { error } = await beat(request)
    expect(error).toEqual({ code: 'INVALID_REQUEST', message: expect.stringContaining(words) })
  }
  expect((await beat({ memberId: 'x', leave: true })).error.code).toBe('GROUP_ID_NOT_FOUND')
})
