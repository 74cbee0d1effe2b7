import { expect, test } from 'vitest'

import { TransactionWorld } from '../../test/support/transaction-world.ts'
import { BrokerError } from '../base/broker-error.ts'
import type { ProducerIdentity, TopicPartition, TransactionalProducer } from './transaction.ts'

const A0 = { topic: 'a', partition: 0 }
const A1 = { topic: 'a', partition: 1 }
const DISK_FULL = new BrokerError('KAFKA_STORAGE_ERROR', 'the disk is full')

async function init(world: TransactionWorld, expected?: ProducerIdentity): Promise<TransactionalProducer> {
  const transactionalId = 't'
  return {
    transactionalId,
    ...(await world.coordinator.initProducer({ transactionalId, timeoutMs: 60_000, expected })),
  }
}

async function begin(world: TransactionWorld, partitions: readonly TopicPartition[] = [A0]) {
  const producer = await init(world)
  await world.coordinator.addPartitions(producer, partitions)
  return producer
}

/** What a request came to: its error, `done`, or undefined while it waits. */
function watch(request: Promise<unknown>): { outcome: string | undefined } {
  const watched: { outcome: string | undefined } = { outcome: undefined }
  request.then(
    () => (watched.outcome = 'done'),
    (error: unknown) => (watched.outcome = error instanceof BrokerError ? error.code : String(error)),
  )
  return watched
}

const outcomeOf = async (request: () => Promise<unknown> | void) => {
  try {
    await request()
    return 'done'
  } catch (error) {
    return error instanceof BrokerError ? error.code : String(error)
  }
}

test('a transaction that commits: its records and offsets count, and then the producer is told', async () => {
  const world = new TransactionWorld()
  const producer = await begin(world, [A0, A1])
  await world.coordinator.addGroup(producer, 'g')
  world.produce(producer, 'a/0', 'one')
  await world.commitOffset(producer, 0, 5)
  expect(world.offsets.get('g', 'in', 0)).toBeUndefined()

  await world.coordinator.end(producer, true)
  expect(world.log('a/0').ended(true)).toEqual(['one'])
  expect(world.log('a/1').entries).toMatchObject([
    { kind: 'marker', isCommit: true, ...ids(producer), coordinatorEpoch: 0 },
  ])
  expect(world.offsets.get('g', 'in', 0)?.offset).toBe(5)
  expect(world.coordinator.get('t')?.state).toBe('CompleteCommit')
  expect(await outcomeOf(() => world.coordinator.end(producer, true))).toBe('done')
  expect(await outcomeOf(() => world.coordinator.end(producer, false))).toBe('INVALID_TXN_STATE')
})

test('a transaction that aborts: neither its records nor its offsets count', async () => {
  const world = new TransactionWorld()
  const producer = await begin(world)
  await world.coordinator.addGroup(producer, 'g')
  world.produce(producer, 'a/0', 'one')
  await world.commitOffset(producer, 0, 5)
  await world.coordinator.end(producer, false)
  expect(world.log('a/0').ended(false)).toEqual(['one'])
  expect(world.offsets.get('g', 'in', 0)).toBeUndefined()
  expect(world.offsets.hasPending('g')).toBe(false)
})

test('only partitions and groups of the open transaction can be written to', async () => {
  const world = new TransactionWorld()
  const producer = await begin(world)
  const stranger = { transactionalId: 't', producerId: 5, producerEpoch: 0 }
  const produce = (who: TransactionalProducer, log: string) => outcomeOf(() => world.produce(who, log, 'x'))
  expect(await produce(producer, 'a/0')).toBe('done')
  expect(await produce(producer, 'a/1')).toBe('INVALID_TXN_STATE')
  expect(await produce({ ...producer, producerEpoch: 1 }, 'a/0')).toBe('INVALID_PRODUCER_EPOCH')
  expect(await produce(stranger, 'a/0')).toBe('INVALID_PRODUCER_ID_MAPPING')
  expect(await outcomeOf(() => world.commitOffset(producer, 0, 1))).toBe('INVALID_TXN_STATE')
  expect(await outcomeOf(() => world.commitOffset(stranger, 0, 1))).toBe('INVALID_PRODUCER_ID_MAPPING')

  const ending = world.coordinator.end(producer, true)
  await world.settle(3)
  expect(await produce(producer, 'a/0')).toBe('INVALID_TXN_STATE')
  await ending
  expect(await produce(producer, 'a/0')).toBe('INVALID_TXN_STATE')
})

test('a producer that comes after another one locks it out, and its open transaction is aborted', async () => {
  const world = new TransactionWorld()
  const before = await begin(world)
  world.produce(before, 'a/0', 'lost')
  const after = await init(world)
  expect(after).toEqual({ ...before, producerEpoch: 2 })
  // The marker has an epoch of its own between the two.
  expect(world.log('a/0').entries.at(-1)).toMatchObject({ kind: 'marker', isCommit: false, producerEpoch: 1 })
  expect(world.log('a/0').ended(false)).toEqual(['lost'])

  const { coordinator } = world
  expect(await outcomeOf(() => coordinator.addPartitions(before, [A0]))).toBe('PRODUCER_FENCED')
  expect(await outcomeOf(() => coordinator.addGroup(before, 'g'))).toBe('PRODUCER_FENCED')
  expect(await outcomeOf(() => coordinator.end(before, true))).toBe('PRODUCER_FENCED')
  expect(await outcomeOf(() => world.produce(before, 'a/0', 'x'))).toBe('INVALID_PRODUCER_EPOCH')
  expect(await outcomeOf(() => world.commitOffset(before, 0, 1))).toBe('INVALID_PRODUCER_EPOCH')
  expect(await outcomeOf(() => init(world, ids(before)))).toBe('PRODUCER_FENCED')
})

test('a transaction that takes too long is aborted, and its producer locked out', async () => {
  const world = new TransactionWorld()
  const producer = await begin(world)
  world.produce(producer, 'a/0', 'late')
  world.clock.advance(59_999)
  await world.settle()
  expect(world.coordinator.get('t')?.state).toBe('Ongoing')
  world.clock.advance(1)
  await world.settle()
  expect(world.coordinator.get('t')).toMatchObject({ state: 'CompleteAbort', producerEpoch: 1 })
  expect(world.log('a/0').ended(false)).toEqual(['late'])
  expect(await outcomeOf(() => world.coordinator.end(producer, true))).toBe('PRODUCER_FENCED')
  expect(world.clock.pendingTimers).toBe(1)
})

test('the time of a transaction counts from its beginning, and stops with its end', async () => {
  const world = new TransactionWorld()
  const producer = await begin(world)
  world.clock.advance(50_000)
  await world.coordinator.addPartitions(producer, [A1])
  await world.coordinator.end(producer, true)
  await world.coordinator.addPartitions(producer, [A0])
  world.clock.advance(59_000)
  await world.settle()
  expect(world.coordinator.get('t')?.state).toBe('Ongoing')
})

test.each([0, -1, 900_001])('a timeout of %i ms is refused', async (timeoutMs) => {
  const { coordinator } = new TransactionWorld()
  const request = { transactionalId: 't', timeoutMs }
  expect(await outcomeOf(() => coordinator.initProducer(request))).toBe('INVALID_TRANSACTION_TIMEOUT')
})

test.each(['', 'x'.repeat(256), 'a\u0000b', '\ud800'])('%j is no transactional id', async (transactionalId) => {
  const { coordinator } = new TransactionWorld()
  const request = { transactionalId, timeoutMs: 1 }
  expect(await outcomeOf(() => coordinator.initProducer(request))).toBe('INVALID_REQUEST')
})

test('a partition that takes no marker keeps the transaction from ending, and is tried again and again', async () => {
  const world = new TransactionWorld()
  const producer = await begin(world, [A0, A1])
  await world.coordinator.addGroup(producer, 'g')
  await world.commitOffset(producer, 0, 5)
  world.log('a/0').failure = DISK_FULL
  const ending = watch(world.coordinator.end(producer, true))
  await world.settle()
  expect(world.log('a/1').entries).toHaveLength(1)
  const [adding, again, other] = [
    watch(world.coordinator.addPartitions(producer, [A0])),
    watch(world.coordinator.end(producer, true)),
    watch(world.coordinator.end(producer, false)),
  ]
  await world.settle()
  expect([ending, adding, again, other].map(({ outcome }) => outcome)).toEqual([
    undefined,
    undefined,
    undefined,
    'INVALID_TXN_STATE',
  ])

  // It is certain to be committed; whoever wants to go on has to wait.
  world.clock.advance(5_000)
  await world.settle()
  expect([ending, adding, again].map(({ outcome }) => outcome)).toEqual([
    'done',
    'CONCURRENT_TRANSACTIONS',
    'CONCURRENT_TRANSACTIONS',
  ])
  expect(world.offsets.get('g', 'in', 0)).toBeUndefined()

  const next = watch(world.coordinator.addPartitions(producer, [A0]))
  world.log('a/0').failure = undefined
  await passTime(world, 5_000)
  expect(next.outcome).toBe('done')
  expect(world.offsets.get('g', 'in', 0)?.offset).toBe(5)
  expect(world.log('a/0').entries).toHaveLength(1)
  expect(world.log('a/1').entries).toHaveLength(1)
})

test('a partition that is gone keeps nobody waiting', async () => {
  const world = new TransactionWorld()
  const producer = await begin(world, [A0, A1])
  world.log('a/0').failure = DISK_FULL
  const ending = watch(world.coordinator.end(producer, true))
  await world.settle()
  world.logs.delete('a/0')
  await passTime(world, 1_000)
  expect(ending.outcome).toBe('done')
})

test('what cannot be stored has not happened', async () => {
  const world = new TransactionWorld()
  const producer = await begin(world)
  world.refuses = () => true
  const { coordinator } = world
  expect(await outcomeOf(() => coordinator.addPartitions(producer, [A1]))).toBe('COORDINATOR_NOT_AVAILABLE')
  expect(await outcomeOf(() => coordinator.addGroup(producer, 'g'))).toBe('COORDINATOR_NOT_AVAILABLE')
  expect(await outcomeOf(() => coordinator.end(producer, true))).toBe('COORDINATOR_NOT_AVAILABLE')
  expect(await outcomeOf(() => init(world))).toBe('COORDINATOR_NOT_AVAILABLE')
  const another = { transactionalId: 'u', timeoutMs: 1 }
  expect(await outcomeOf(() => coordinator.initProducer(another))).toBe('COORDINATOR_NOT_AVAILABLE')
  expect(coordinator.list()).toMatchObject([{ state: 'Ongoing', producerEpoch: 0 }])
  expect(world.log('a/0').entries).toEqual([])

  // A timeout goes on trying.
  await passTime(world, 60_000)
  expect(coordinator.get('t')?.state).toBe('Ongoing')
  world.refuses = () => false
  await passTime(world, 5_000)
  expect(coordinator.get('t')).toMatchObject({ state: 'CompleteAbort', producerEpoch: 1 })
})

test('a last row that cannot be stored is stored later', async () => {
  const world = new TransactionWorld()
  const producer = await begin(world)
  world.refuses = ([{ value }]) => value?.includes('CompleteCommit') === true
  const ending = watch(world.coordinator.end(producer, true))
  await passTime(world, 4_000)
  expect(ending.outcome).toBeUndefined()
  world.refuses = () => false
  await passTime(world, 5_000)
  expect(ending.outcome).toBe('done')
  expect(world.coordinator.get('t')?.state).toBe('CompleteCommit')
})

test('after a start, open transactions have what is left of their time, and whose time is over are aborted', async () => {
  const world = new TransactionWorld()
  const producer = await begin(world)
  world.produce(producer, 'a/0', 'one')
  world.clock.advance(40_000)
  world.restart()
  expect(world.coordinator.get('t')).toMatchObject({ state: 'Ongoing', ...ids(producer) })
  world.produce(producer, 'a/0', 'two')
  world.clock.advance(19_999)
  await world.settle()
  expect(world.coordinator.get('t')?.state).toBe('Ongoing')
  world.clock.advance(1)
  await world.settle()
  expect(world.log('a/0').ended(false)).toEqual(['one', 'two'])

  const second = await begin(world)
  world.produce(second, 'a/0', 'three')
  world.coordinator.close()
  world.clock.advance(600_000)
  world.restart()
  await passTime(world, 1)
  expect(world.log('a/0').ended(false)).toEqual(['one', 'two', 'three'])
})

test('a transaction that only a log knows is aborted at the start', async () => {
  const world = new TransactionWorld()
  world.log('a/0').entries.push({ kind: 'record', producerId: 99, producerEpoch: 4, name: 'orphan' })
  world.restart()
  await world.settle()
  expect(world.log('a/0').entries.at(-1)).toMatchObject({ kind: 'marker', producerId: 99, producerEpoch: 4 })
  expect(world.log('a/0').ended(false)).toEqual(['orphan'])
})

test('limits are kept', async () => {
  const options = { idsMax: 2, partitionsPerTransactionMax: 2, groupsPerTransactionMax: 1, requestsPerIdMax: 2 }
  const world = new TransactionWorld(options)
  const { coordinator } = world
  const producer = await begin(world, [A0, A1])
  expect(await outcomeOf(() => coordinator.addPartitions(producer, [{ topic: 'b', partition: 0 }]))).toBe(
    'POLICY_VIOLATION',
  )
  await coordinator.addGroup(producer, 'g')
  expect(await outcomeOf(() => coordinator.addGroup(producer, 'h'))).toBe('POLICY_VIOLATION')
  const makeOne = (transactionalId: string) =>
    outcomeOf(() => coordinator.initProducer({ transactionalId, timeoutMs: 1 }))
  expect(await makeOne('u')).toBe('done')
  expect(await makeOne('v')).toBe('POLICY_VIOLATION')

  world.log('a/0').failure = DISK_FULL
  const requests = [1, 2, 3, 4].map(() => watch(coordinator.end(producer, true)))
  await world.settle()
  expect(requests.map(({ outcome }) => outcome)).toEqual([undefined, undefined, undefined, 'CONCURRENT_TRANSACTIONS'])

  const small = new TransactionWorld({ bytesMax: 3_000 })
  const many = Array.from({ length: 100 }, (_, partition) => ({ topic: 'a', partition }))
  expect(await outcomeOf(() => begin(small, many))).toBe('POLICY_VIOLATION')
  expect(await outcomeOf(() => begin(small, [A0]))).toBe('done')
})

test('a transactional id that nobody uses is forgotten after a week, and one in use is not', async () => {
  const world = new TransactionWorld()
  const idle = await world.coordinator.initProducer({ transactionalId: 'idle', timeoutMs: 60_000 })
  const producer = await init(world)
  await passTime(world, 7 * 24 * 3_600_000 - 3_600_000)
  await world.coordinator.addPartitions(producer, [A0])
  await world.coordinator.end(producer, true)
  await passTime(world, 2 * 3_600_000)
  expect(world.coordinator.list().map(({ transactionalId }) => transactionalId)).toEqual(['t'])
  expect(await outcomeOf(() => world.coordinator.end({ transactionalId: 'idle', ...idle }, true))).toBe(
    'INVALID_PRODUCER_ID_MAPPING',
  )
  world.restart()
  expect(world.coordinator.list()).toHaveLength(1)
  const again = await world.coordinator.initProducer({ transactionalId: 'idle', timeoutMs: 60_000 })
  expect(again.producerId).not.toBe(idle.producerId)
})

test('whoever waits when the broker stops is told so, and nothing is left behind', async () => {
  const world = new TransactionWorld()
  const producer = await begin(world)
  world.log('a/0').failure = DISK_FULL
  const ending = watch(world.coordinator.end(producer, true))
  await world.settle()
  const waiting = watch(init(world))
  world.coordinator.close()
  await world.settle()
  expect([ending.outcome, waiting.outcome]).toEqual(['COORDINATOR_NOT_AVAILABLE', 'COORDINATOR_NOT_AVAILABLE'])
  expect(await outcomeOf(() => init(world))).toBe('COORDINATOR_NOT_AVAILABLE')
  expect(await outcomeOf(() => world.coordinator.end(producer, true))).toBe('COORDINATOR_NOT_AVAILABLE')
  expect(world.clock.pendingTimers).toBe(0)
})

/** Lets time pass in small steps, and everything happen that it leads to. */
async function passTime(world: TransactionWorld, milliseconds: number) {
  await world.settle()
  const end = world.clock.monotonic() + milliseconds
  while (world.clock.monotonic() < end) {
    const stepMs = Math.min(end - world.clock.monotonic(), world.clock.nextTimerInMs ?? Infinity)
    world.clock.advance(stepMs)
    await world.settle(8)
  }
  await world.settle()
}

function ids({ producerId, producerEpoch }: TransactionalProducer): ProducerIdentity {
  return { producerId, producerEpoch }
}
