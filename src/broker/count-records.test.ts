import { expect, test } from 'vitest'
import { RecordBatchBuilder, setBaseOffset } from '../record/record-batch.ts'
import { countRecords } from './count-records.ts'

/** A batch of so many records from this offset on. */
function batchOf(baseOffset: number, count: number): Buffer {
  const builder = new RecordBatchBuilder()
  builder.begin()
  for (let index = 0; index < count; index++) builder.add(null, Buffer.from('x'), 0)
  const batch = Buffer.from(builder.finish())
  setBaseOffset(batch, 0, baseOffset)
  return batch
}

test('the records from an offset on, in whole batches of which the first may begin before it', () => {
  const batches = Buffer.concat([batchOf(10, 3), batchOf(13, 5)])
  expect(countRecords(batches, 10)).toBe(8)
  expect(countRecords(batches, 12)).toBe(6)
  // Compaction has left nothing between.
  expect(countRecords(batches, 4)).toBe(8)
  expect(countRecords(Buffer.alloc(0), 4)).toBe(0)
})
