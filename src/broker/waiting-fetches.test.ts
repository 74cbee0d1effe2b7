import { expect, test } from 'vitest'
import { SimClock } from '../../test/simulation/sim-clock.ts'
import { parseTopicName } from '../base/topic-name.ts'
import type { PartitionLog, ReadBatches } from '../log/log-engine.ts'
import { WaitingFetches } from './waiting-fetches.ts'

/** A log of which only reading is of interest: it gives its bytes from the offset on, one byte an offset. */
function makeLog() {
  const content = { bytes: Buffer.alloc(0), lent: 0 }
  const log: PartitionLog = {
    topic: parseTopicName('orders'),
    partition: 0,
    logStartOffset: 0,
    logEndOffset: 0,
    highWatermark: 0,
    lastStableOffset: 0,
    leaderEpoch: 0,
    sizeBytes: 0,
    deliveredRecords: 0,
    segmentCount: 1,
    failure: undefined,
    append: () => 0,
    read(fromOffset, _bytesMax, done) {
      content.lent++
      done(undefined, { bytes: content.bytes.subarray(fromOffset), release: () => content.lent-- })
    },
    findOffsetByTime: () => undefined,
    findOffsetOfMaxTimestamp: () => undefined,
    epochEndOffset: () => undefined,
    deleteRecordsBefore: () => Promise.resolve(),
    abortedTransactions: () => [],
    endTransaction: () => 0,
    hasOpenTransaction: () => false,
    describeProducers: () => [],
    findFirstRecord: () => undefined,
  }
  return { log, content }
}

function makeWaiting() {
  const clock = new SimClock()
  const parked = { count: 0 }
  const waiting = new WaitingFetches(clock, { add: (count) => (parked.count += count) })
  const { log, content } = makeLog()
  const answers: string[] = []
  const fetch = (wish: { fromOffset?: number; bytesMin?: number; waitMs?: number } = {}) =>
    waiting.start(
      { log, fromOffset: 0, bytesMax: 1000, bytesMin: 1, waitMs: 5000, isolation: 'read_uncommitted', ...wish },
      (error: Error | undefined, batches: ReadBatches) => {
        answers.push(error?.message ?? String(batches.bytes))
        batches.release()
      },
    )
  const put = (text: string) => {
    content.bytes = Buffer.concat([content.bytes, Buffer.from(text)])
    waiting.wake(log)
  }
  return { clock, waiting, parked, log, content, answers, fetch, put }
}

test('a fetch is answered at once when there is data, or when it will not wait', () => {
  const { answers, fetch, put, parked } = makeWaiting()
  fetch({ waitMs: 0 })
  put('abc')
  fetch()
  fetch({ fromOffset: 2 })
  expect(answers).toEqual(['', 'abc', 'c'])
  expect(parked.count).toBe(0)
})

test('a parked fetch is answered by the data it waited for, or empty when its time is over', () => {
  const { clock, answers, fetch, put, parked, content } = makeWaiting()
  fetch()
  fetch({ fromOffset: 1, waitMs: 100 })
  expect(parked.count).toBe(2)
  clock.advance(99)
  expect(answers).toEqual([])
  clock.advance(1)
  expect(answers).toEqual([''])
  put('ab')
  expect(answers).toEqual(['', 'ab'])
  expect(parked.count).toBe(0)
  expect(content.lent).toBe(0)
  clock.advance(10_000)
  expect(answers).toHaveLength(2)
})

test('a fetch waits for as many bytes as it asked for, and then takes what there is', () => {
  const { clock, answers, fetch, put } = makeWaiting()
  fetch({ bytesMin: 3 })
  put('a')
  put('b')
  expect(answers).toEqual([])
  put('c')
  expect(answers).toEqual(['abc'])
  fetch({ bytesMin: 9, waitMs: 10 })
  clock.advance(10)
  expect(answers).toEqual(['abc', 'abc'])
})

test('a cancelled fetch is never answered, and a retired log answers with the reason', () => {
  const { waiting, answers, fetch, put, parked, log, clock } = makeWaiting()
  fetch().cancel()
  fetch()
  waiting.fail(log, new Error('gone'))
  put('data')
  clock.advance(10_000)
  expect(answers).toEqual(['gone'])
  expect(parked.count).toBe(0)
})

test('all waits end when the broker stops', () => {
  const { waiting, answers, fetch, parked } = makeWaiting()
  fetch()
  fetch()
  waiting.endAll()
  expect(answers).toEqual(['', ''])
  expect(parked.count).toBe(0)
})

test('fetches that wait for the same bytes share one read, which is given back by the last of them', () => {
  const { waiting, log, content, put } = makeWaiting()
  let reads = 0
  const read = log.read.bind(log)
  log.read = (...request) => {
    reads++
    read(...request)
  }
  const borrowed: ReadBatches[] = []
  for (const fromOffset of [0, 0, 0, 1]) {
    const wish = { log, fromOffset, bytesMax: 1000, bytesMin: 1, waitMs: 5000, isolation: 'read_uncommitted' as const }
    waiting.start(wish, (_error, batches) => borrowed.push(batches))
  }
  reads = 0
  put('ab')
  expect(reads).toBe(2)
  expect(borrowed.map(({ bytes }) => String(bytes))).toEqual(['ab', 'ab', 'ab', 'b'])
  const lentMeanwhile = borrowed.map((batches) => {
    batches.release()
    return content.lent
  })
  expect(lentMeanwhile).toEqual([2, 2, 1, 0])
})

test('a crowd is answered over several turns, those that left meanwhile excepted', async () => {
  const { waiting, log, content, answers, fetch, put } = makeWaiting()
  const crowd = Array.from({ length: 250 }, () => fetch())
  put('a')
  expect(answers.length).toBe(100)
  crowd[150].cancel()
  await expect.poll(() => answers.length).toBe(249)
  expect(content.lent).toBe(0)
  waiting.wake(log)
  expect(answers.length).toBe(249)
})

test('a fetch whose read took a while does not miss what came meanwhile', () => {
  const { waiting, log, content, answers } = makeWaiting()
  const read = log.read.bind(log)
  let finish = () => {}
  log.read = (fromOffset, bytesMax, done) => {
    read(fromOffset, bytesMax, (error, batches) => {
      const bytes = Buffer.from(batches.bytes)
      finish = () => done(error, { bytes, release: () => batches.release() })
    })
  }
  const wish = { log, fromOffset: 0, bytesMax: 1000, bytesMin: 3, waitMs: 5000, isolation: 'read_uncommitted' as const }
  content.bytes = Buffer.from('a')
  waiting.start(wish, (_error, batches) => {
    answers.push(String(batches.bytes))
    batches.release()
  })
  content.bytes = Buffer.from('abc')
  Object.assign(log, { highWatermark: 3 })
  waiting.wake(log)
  finish()
  finish()
  expect(answers).toEqual(['abc'])
})
