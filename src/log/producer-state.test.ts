import { expect, test } from 'vitest'
import { makeProducerBatch } from '../../test/support/producer-batches.ts'
import { BrokerError } from '../base/broker-error.ts'
import { addToSequence, PRODUCERS_MAX, ProducerStates } from './producer-state.ts'

/** A log of which only the offsets are there. */
class Offsets {
  readonly states = new ProducerStates()
  next = 0

  /** Where the batch went, or the code of the refusal. */
  send(
    producerId: number,
    sequence: number,
    options: { count?: number; epoch?: number; inTransaction?: boolean } = {},
  ) {
    const { count = 1, epoch = 0, inTransaction = false } = options
    const values = Array.from({ length: count }, () => 'v')
    const batch = makeProducerBatch(values, { producerId, epoch, sequence, isTransactional: inTransaction })
    try {
      const kept = this.states.check(batch)
      if (kept !== undefined) return `again ${kept.baseOffset}`
      const offset = this.next
      this.states.append(batch, 0, offset, 1000)
      this.next += count
      return offset
    } catch (error) {
      if (error instanceof BrokerError) return error.code
      throw error
    }
  }

  end(producerId: number, isCommit: boolean, { epoch = 0, coordinatorEpoch = 0 } = {}) {
    const marker = { producerId, producerEpoch: epoch, coordinatorEpoch, isCommit, timestamp: 7 }
    try {
      this.states.checkMarker(marker)
      this.states.appendMarker(marker, this.next, 1000)
      return this.next++
    } catch (error) {
      if (error instanceof BrokerError) return error.code
      throw error
    }
  }
}

test('a producer numbers its records without a gap', () => {
  const log = new Offsets()
  expect(log.send(7, 0, { count: 3 })).toBe(0)
  expect(log.send(7, 3)).toBe(3)
  expect(log.send(7, 5)).toBe('OUT_OF_ORDER_SEQUENCE_NUMBER')
  expect(log.send(7, 3, { count: 2 })).toBe('OUT_OF_ORDER_SEQUENCE_NUMBER')
  expect(log.send(8, 0)).toBe(4)
  expect(log.send(7, 4)).toBe(5)
})

test('one of the last five batches sent again is found, an older one is out of order', () => {
  const log = new Offsets()
  for (let sequence = 0; sequence < 12; sequence += 2) log.send(7, sequence, { count: 2 })
  expect([0, 2, 4, 6, 8, 10].map((sequence) => log.send(7, sequence, { count: 2 }))).toEqual([
    'OUT_OF_ORDER_SEQUENCE_NUMBER',
    'again 2',
    'again 4',
    'again 6',
    'again 8',
    'again 10',
  ])
})

test('a producer of which nothing is known may begin anywhere', () => {
  const log = new Offsets()
  expect(log.send(7, 41, { epoch: 3 })).toBe(0)
  expect(log.send(7, 42, { epoch: 3 })).toBe(1)
})

test('sequences begin again behind 2^31 - 1', () => {
  const log = new Offsets()
  expect(log.send(7, 0x7ffffffe, { count: 4 })).toBe(0)
  expect(addToSequence(0x7ffffffe, 3)).toBe(1)
  expect(log.send(7, 0x7ffffffe, { count: 4 })).toBe('again 0')
  expect(log.send(7, 2)).toBe(4)
  expect(addToSequence(0x7fffffff, 1)).toBe(0)
})

test('a newer epoch begins at 0 and locks the older one out', () => {
  const log = new Offsets()
  log.send(7, 0)
  expect(log.send(7, 1, { epoch: 1 })).toBe('OUT_OF_ORDER_SEQUENCE_NUMBER')
  expect(log.send(7, 0, { epoch: 1 })).toBe(1)
  expect(log.send(7, 1)).toBe('INVALID_PRODUCER_EPOCH')
  expect(log.send(7, 0)).toBe('INVALID_PRODUCER_EPOCH')
  expect(log.send(7, 0, { epoch: 1 })).toBe('again 1')
})

test('a transaction holds back what follows until its marker may be read', () => {
  const log = new Offsets()
  expect(log.states.firstUnstableOffset).toBeUndefined()
  log.send(1, 0)
  log.send(7, 0, { inTransaction: true, count: 2 })
  log.send(8, 0, { inTransaction: true })
  expect(log.send(7, 2)).toBe('INVALID_TXN_STATE')
  expect(log.end(7, true)).toBe(4)
  expect(log.states.firstUnstableOffset).toBe(1)
  log.states.noteHighWatermark(4)
  expect(log.states.firstUnstableOffset).toBe(1)
  log.states.noteHighWatermark(5)
  expect(log.states.firstUnstableOffset).toBe(3)
  log.end(8, false)
  log.states.noteHighWatermark(6)
  expect(log.states.firstUnstableOffset).toBeUndefined()
  expect(log.states.aborted.find(0, 6)).toEqual([{ producerId: 8, firstOffset: 3 }])
  expect(log.send(7, 2)).toBe(6)
})

test('markers are fenced by the epochs of producer and coordinator', () => {
  const log = new Offsets()
  log.send(7, 0, { epoch: 2, inTransaction: true })
  expect(log.end(7, true, { epoch: 1 })).toBe('INVALID_PRODUCER_EPOCH')
  expect(log.end(7, false, { epoch: 3, coordinatorEpoch: 5 })).toBe(1)
  expect(log.end(7, true, { epoch: 3, coordinatorEpoch: 4 })).toBe('TRANSACTION_COORDINATOR_FENCED')
  expect(log.send(7, 1, { epoch: 2 })).toBe('INVALID_PRODUCER_EPOCH')
  expect(log.send(7, 0, { epoch: 3 })).toBe(2)
  expect(log.end(99, true)).toBe(3)
  expect(log.send(99, 0)).toBe(4)
})

test('what the log does not keep is taken back, step by step', () => {
  const log = new Offsets()
  log.send(7, 0, { inTransaction: true })
  log.send(8, 0)
  log.states.settle(2)
  const before = JSON.stringify(log.states.list())
  for (let sequence = 1; sequence < 9; sequence++) log.send(7, sequence, { inTransaction: true })
  log.end(7, false)
  log.send(7, 9, { inTransaction: true })
  log.send(8, 0, { epoch: 1 })
  log.send(9, 0, { inTransaction: true })
  expect(log.states.aborted.count).toBe(1)
  log.states.rollBack(2)
  log.next = 2
  expect(JSON.stringify(log.states.list())).toBe(before)
  expect(log.states.aborted.count).toBe(0)
  expect(log.states.firstUnstableOffset).toBe(0)
  expect(log.send(7, 0, { inTransaction: true })).toBe('again 0')
  expect(log.send(7, 1, { inTransaction: true })).toBe(2)
  expect(log.send(8, 1)).toBe(3)
})

test('the aborted transactions of a range are those with records in it', () => {
  const log = new Offsets()
  log.send(7, 0, { inTransaction: true }) // 0
  log.send(8, 0, { inTransaction: true }) // 1
  log.send(7, 1, { inTransaction: true }) // 2
  log.send(1, 0) // 3
  log.end(7, false) // 4
  log.send(7, 2, { inTransaction: true }) // 5
  log.end(8, false) // 6
  log.end(7, true) // 7
  log.send(9, 0, { inTransaction: true }) // 8
  log.end(9, false) // 9
  const find = (from: number, to: number) => log.states.aborted.find(from, to).map(({ producerId }) => producerId)
  expect(find(0, 10)).toEqual([7, 8, 9])
  expect(find(0, 1)).toEqual([7])
  expect(find(2, 3)).toEqual([7])
  expect(find(3, 8)).toEqual([])
  expect(find(3, 9)).toEqual([9])
  log.states.aborted.trim(5)
  expect(find(0, 10)).toEqual([8, 9])
  log.states.aborted.trim(10)
  expect(log.states.aborted.count).toBe(0)
})

test('silent producers are forgotten, one with an open transaction is not', () => {
  const log = new Offsets()
  log.send(7, 0)
  log.send(8, 0, { inTransaction: true })
  log.states.settle(2)
  log.states.expire(1000)
  expect(log.states.count).toBe(2)
  log.states.expire(1001)
  expect(log.states.list().map(({ producerId }) => producerId)).toEqual([8])
  expect(log.send(7, 55)).toBe(2)
})

test('a partition remembers so many producers, and then forgets those that were silent longest', () => {
  const log = new Offsets()
  log.send(0, 0, { inTransaction: true })
  for (let producerId = 1; producerId < PRODUCERS_MAX; producerId++) log.send(producerId, 0)
  log.states.settle(log.next)
  expect(log.states.count).toBe(PRODUCERS_MAX)
  expect(log.send(PRODUCERS_MAX, 0)).toBe(PRODUCERS_MAX)
  expect(log.states.count).toBe(PRODUCERS_MAX - Math.floor(PRODUCERS_MAX / 16) + 1)
  expect(log.states.get(0)).toBeDefined()
  expect(log.states.get(1)).toBeUndefined()
})

test('the state is that of any end of the log which is not behind what is written', () => {
  const log = new Offsets()
  log.send(7, 0)
  log.states.settle(1)
  log.send(7, 1)
  log.send(8, 0)
  const at = (end: number) =>
    log.states.entriesBefore(end).map(({ producerId, batches }) => [producerId, batches.at(-1)?.lastSequence])
  expect([1, 2, 3].map(at)).toEqual([[[7, 0]], [[7, 1]], [[7, 1], [8, 0]]]) // prettier-ignore
})
