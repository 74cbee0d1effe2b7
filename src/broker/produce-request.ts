import { viewBytes } from '../base/bytes.ts'
import type { ViewedBytes } from '../base/bytes.ts'
import { murmur2 } from './partitioner.ts'
import type { RecordBatchBuilder, RecordHeader } from '../record/record-batch.ts'

const COLUMN_LENGTH_MIN = 128

/**
 * A PRODUCE request, checked and decoded. Its records are kept in columns rather than objects: where the key and the
 * value of each lie in `decoded`, and its timestamp. One request is filled again and again; it is good until the next.
 */
export class ProduceRequest {
  topic = ''
  /** -1: each record goes where its key belongs. */
  partition = 0
  acks: 0 | 1 | 'all' = 'all'
  recordCount = 0

  /** The keys and values, one behind the other. */
  decoded: ViewedBytes = viewBytes(Buffer.alloc(0))
  /** Where the next key or value goes. */
  decodedBytes = 0
  /** -1 for null, as in the three columns after it. */
  keyStart = new Int32Array(COLUMN_LENGTH_MIN)
  keyEnd = new Int32Array(COLUMN_LENGTH_MIN)
  valueStart = new Int32Array(COLUMN_LENGTH_MIN)
  valueEnd = new Int32Array(COLUMN_LENGTH_MIN)
  /** Unix milliseconds. */
  timestamps = new Float64Array(COLUMN_LENGTH_MIN)
  /** The headers of those records that have any, by index. Undefined when none has. */
  headers: Map<number, readonly RecordHeader[]> | undefined
  /** When those records are due that are to wait, by index: Unix milliseconds, later than now. Undefined when none is. */
  dueAts: Map<number, number> | undefined
  /** The partitions of those records that say one themselves, by index. Undefined when none does. */
  partitions: Map<number, number> | undefined

  hasKey(index: number): boolean {
    return this.keyStart[index] >= 0
  }

  /** The murmur2 of the key of a record that has one. */
  hashKey(index: number): number {
    return murmur2(this.decoded.buffer, this.keyStart[index], this.keyEnd[index])
  }

  /** One record, as views of what is decoded: good until the next request. */
  viewOf(index: number): {
    readonly key: Buffer | null
    readonly value: Buffer | null
    readonly timestamp: number
    readonly headers: readonly RecordHeader[]
  } {
    const { decoded, keyStart, keyEnd, valueStart, valueEnd, timestamps, headers } = this
    const { buffer } = decoded
    return {
      key: keyStart[index] < 0 ? null : buffer.subarray(keyStart[index], keyEnd[index]),
      value: valueStart[index] < 0 ? null : buffer.subarray(valueStart[index], valueEnd[index]),
      timestamp: timestamps[index],
      headers: headers?.get(index) ?? [],
    }
  }

  /** Copies one record into the open batch of `builder`. */
  addTo(builder: RecordBatchBuilder, index: number): void {
    builder.addSlices(
      this.decoded,
      this.keyStart[index],
      this.keyEnd[index],
      this.valueStart[index],
      this.valueEnd[index],
      this.timestamps[index],
      this.headers?.get(index),
    )
  }

  /** Forgets the records and makes sure that `bytes` of keys and values can follow. */
  clear(bytes: number): void {
    this.recordCount = 0
    this.decodedBytes = 0
    this.headers = undefined
    this.dueAts = undefined
    this.partitions = undefined
    if (this.decoded.buffer.length < bytes) {
      this.decoded = viewBytes(Buffer.allocUnsafeSlow(Math.max(bytes, this.decoded.buffer.length * 2)))
    }
  }

  /** Makes sure of a place for one more record in every column. */
  reserveRecord(): void {
    if (this.recordCount < this.timestamps.length) return
    this.keyStart = grow(this.keyStart)
    this.keyEnd = grow(this.keyEnd)
    this.valueStart = grow(this.valueStart)
    this.valueEnd = grow(this.valueEnd)
    const timestamps = new Float64Array(this.timestamps.length * 2)
    timestamps.set(this.timestamps)
    this.timestamps = timestamps
  }
}

function grow(column: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const longer = new Int32Array(column.length * 2)
  longer.set(column)
  return longer
}
