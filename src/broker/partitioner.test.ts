import { expect, test } from 'vitest'
import { parseTopicName } from '../base/topic-name.ts'
import { choosePartition, KeylessPartitioner, murmur2 } from './partitioner.ts'

// Apache Kafka's own vectors: UtilsTest.testMurmur2.
const VECTORS: [string, number][] = [
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
]

test.each(VECTORS)('murmur2 of %s is what Kafka says', (text, hash) => {
  const key = Buffer.from(text)
  expect(murmur2(key, 0, key.length)).toBe(hash)
})

test('murmur2 looks at nothing outside its range', () => {
  for (const [text, hash] of VECTORS) {
    const key = Buffer.from(`<${text}>`)
    expect(murmur2(key, 1, key.length - 1)).toBe(hash)
  }
})

test('a key with a negative hash gets the partition that Kafka gives it', () => {
  // Utils.toPositive(-973932308) is 1173551340; its remainder by 7 is 3.
  expect(choosePartition(-973932308, 7)).toBe(1173551340 % 7)
  expect(choosePartition(479470107, 7)).toBe(479470107 % 7)
  expect(choosePartition(-2147483648, 7)).toBe(0)
})

test('requests without keys take turns through the partitions of their topic', () => {
  const partitioner = new KeylessPartitioner()
  const orders = parseTopicName('orders')
  const payments = parseTopicName('payments')
  const turns = (topic: typeof orders, partitionCount: number, count: number) =>
    Array.from({ length: count }, () => partitioner.next(topic, partitionCount))
  expect(turns(orders, 3, 4)).toEqual([0, 1, 2, 0])
  expect(turns(payments, 2, 3)).toEqual([0, 1, 0])
  expect(turns(orders, 5, 5)).toEqual([1, 2, 3, 4, 0])
  expect(turns(orders, 1, 2)).toEqual([0, 0])
  partitioner.forget(orders)
  expect(turns(orders, 3, 2)).toEqual([0, 1])
})
