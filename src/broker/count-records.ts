import { getBaseOffset, getBatchBytes, getRecordCount } from '../record/record-batch.ts'

/** How many records from `fromOffset` on are in these whole batches; one that has gaps before it counts a little less. */
export function countRecords(batches: Buffer, fromOffset: number): number {
  if (batches.length === 0) return 0
  let count = Math.min(0, getBaseOffset(batches, 0) - fromOffset)
  for (let at = 0; at < batches.length; at += getBatchBytes(batches, at)) count += getRecordCount(batches, at)
  return Math.max(0, count)
}
