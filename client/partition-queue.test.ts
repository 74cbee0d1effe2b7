import { expect, test } from 'vitest'
import { getBaseSequence, getProducerEpoch } from '../src/record/batch-header.ts'
import type { DeliverySink } from './delivery.ts'
import type { IdentitySource, ProducerBatch, ProducerIdentity } from './partition-queue.ts'
import { PartitionQueue } from './partition-queue.ts'
import { BatchWriter, OutgoingRecord } from './record-batch.ts'

const SINK: DeliverySink = { delivered() {}, failed() {} }

class Identities implements IdentitySource {
  identity: ProducerIdentity | undefined = { producerId: 7, producerEpoch: 0 }
  currentOrAsk() {
    return this.identity
  }
  renew(stale: ProducerIdentity, { isFenced }: { isFenced: boolean }) {
    const { producerId, producerEpoch } = stale
    this.identity = isFenced ? { producerId: 8, producerEpoch: 0 } : { producerId, producerEpoch: producerEpoch + 1 }
  }
}

/** A queue with closed batches of so many records each. */
function queueOf(...counts: number[]) {
  const queue = new PartitionQueue('t', 0)
  const identities = new Identities()
  const record = new OutgoingRecord()
  const add = (count: number) => {
    const batch = queue.begin(0, new BatchWriter(100))
    record.hold(null, 'value', 0)
    for (let left = count; left > 0; left--) batch.add(record, SINK)
    queue.close()
    return batch
  }
  const batches = counts.map(add)
  /** Takes what can go; each as `epoch:sequence`. */
  const take = () => {
    const taken: string[] = []
    while (queue.peek() !== undefined) {
      const batch = queue.take(identities)
      if (batch?.bytes === undefined) break
      taken.push(`${getProducerEpoch(batch.bytes, 0)}:${getBaseSequence(batch.bytes, 0)}`)
    }
    return taken
  }
  return { queue, batches, take, add, identities }
}

const fail = (batch: ProducerBatch) => {
  batch.fail(new Error('given up'))
  return batch
}

test('batches are counted by their records', () => {
  const { take } = queueOf(3, 1, 5)
  expect(take()).toEqual(['0:0', '0:3', '0:4'])
})

test('what was lost goes again in its old order, with its old sequences, and new ones wait', () => {
  const { queue, batches, take, add } = queueOf(1, 1, 1)
  take()
  add(1)
  queue.failed(batches[1])
  expect(take()).toEqual([])
  queue.failed(batches[2])
  queue.failed(batches[0])
  expect(take()).toEqual(['0:0', '0:1', '0:2', '0:3'])
})

test('a batch that came too early because one before it was refused goes again', () => {
  const { queue, batches, take } = queueOf(1, 2)
  take()
  queue.failed(batches[0])
  expect(queue.refused(batches[1], 'OUT_OF_ORDER_SEQUENCE_NUMBER')).toBe('again')
  expect(take()).toEqual(['0:0', '0:1'])
})

test('the sequence of a batch that was refused for good goes to the next one', () => {
  const { queue, batches, take, add } = queueOf(4)
  take()
  expect(queue.refused(batches[0], 'INVALID_REQUEST')).toBe('fail')
  add(1)
  expect(take()).toEqual(['0:0'])
})

test('when others are on their way behind it, they get the next epoch', () => {
  const { queue, batches, take } = queueOf(4, 1, 1)
  take()
  expect(queue.refused(batches[0], 'INVALID_REQUEST')).toBe('fail')
  expect(queue.refused(batches[1], 'OUT_OF_ORDER_SEQUENCE_NUMBER')).toBe('again')
  expect(take()).toEqual([])
  expect(queue.refused(batches[2], 'OUT_OF_ORDER_SEQUENCE_NUMBER')).toBe('again')
  expect(take()).toEqual(['1:0', '1:1'])
})

test('one that was given up, and may be there or not, costs an epoch only when it is missed', () => {
  for (const isThere of [true, false]) {
    const { queue, batches, take, add } = queueOf(1, 1)
    take()
    fail(batches[0])
    queue.failed(batches[0])
    queue.failed(batches[1])
    expect(take()).toEqual(['0:1'])
    if (isThere) queue.delivered(batches[1])
    else expect(queue.refused(batches[1], 'OUT_OF_ORDER_SEQUENCE_NUMBER')).toBe('again')
    add(1)
    expect(take()).toEqual(isThere ? ['0:2'] : ['1:0', '1:1'])
  }
})

test('a hole that nobody can explain is not passed over', () => {
  const { queue, batches, take, add } = queueOf(1, 1)
  take()
  queue.delivered(batches[0])
  expect(queue.refused(batches[1], 'OUT_OF_ORDER_SEQUENCE_NUMBER')).toBe('fail')
  add(1)
  expect(take()).toEqual(['1:0'])
})

test('a producer that the broker has forgotten, or locked out, goes on under another identity', () => {
  const { queue, batches, take, identities } = queueOf(1)
  take()
  expect(queue.refused(batches[0], 'UNKNOWN_PRODUCER_ID')).toBe('again')
  expect(take()).toEqual(['1:0'])
  expect(queue.refused(batches[0], 'INVALID_PRODUCER_EPOCH')).toBe('again')
  expect(take()).toEqual(['0:0'])
  expect(identities.identity?.producerId).toBe(8)
})

test('batches of two identities do not overtake one another, and without one nothing goes', () => {
  const { queue, batches, take, add, identities } = queueOf(1)
  take()
  identities.identity = undefined
  add(1)
  expect(take()).toEqual([])
  identities.identity = { producerId: 7, producerEpoch: 3 }
  expect(take()).toEqual([])
  queue.delivered(batches[0])
  expect(take()).toEqual(['3:0'])
})

test('sequences begin again behind the largest', () => {
  const { queue, batches, take, add } = queueOf(3)
  take()
  queue.delivered(batches[0])
  const large = add(1)
  large.producer = { producerId: 7, producerEpoch: 0, baseSequence: 2 ** 31 - 1 }
  expect(take()).toEqual([`0:${2 ** 31 - 1}`])
  expect(queue.refused(large, 'INVALID_REQUEST')).toBe('fail')
  add(3)
  add(1)
  expect(take()).toEqual([`0:${2 ** 31 - 1}`, '0:2'])
})
