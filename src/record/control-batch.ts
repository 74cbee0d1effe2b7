import { assert } from '../base/assert.ts'
import {
  BATCH_HEADER_BYTES,
  getMaxTimestamp,
  getProducerEpoch,
  getProducerId,
  isControlBatch,
  writeBatchHeader,
} from './batch-header.ts'
import { decodeRecords } from './record-reader.ts'

/** The end of a transaction, as the coordinator has it written into each partition of the transaction. */
export interface TransactionMarker {
  readonly producerId: number
  readonly producerEpoch: number
  readonly coordinatorEpoch: number
  readonly isCommit: boolean
  /** Unix milliseconds. */
  readonly timestamp: number
}

const TRANSACTIONAL_CONTROL = 0x30
const ABORT = 0
const COMMIT = 1

// The one record of a marker's batch (docs/log-format.md has records in general):
//
//   length varint 16 │ attributes 0 │ timestampDelta 0 │ offsetDelta 0
//   │ keyLength varint 4 │ version i16 0 │ type i16, 0 abort, 1 commit
//   │ valueLength varint 6 │ version i16 0 │ coordinatorEpoch i32 │ headerCount 0
const RECORD_BYTES = 17
const KEY_LENGTH_AT = 4
const TYPE_AT = 7
const VALUE_LENGTH_AT = 9
const COORDINATOR_EPOCH_AT = 12
const TYPE_IN_KEY = 2
const COORDINATOR_EPOCH_IN_VALUE = 2
const KEY_BYTES = 4
const VALUE_BYTES = 6

/** Makes the control batch of a marker: one record, no sequence, base offset 0. Kafka's EndTransactionMarker. */
export function encodeMarkerBatch(marker: TransactionMarker): Buffer {
  const at = BATCH_HEADER_BYTES
  const batch = Buffer.alloc(at + RECORD_BYTES)
  // Zigzag: twice the number.
  batch[at] = 2 * (RECORD_BYTES - 1)
  batch[at + KEY_LENGTH_AT] = 2 * KEY_BYTES
  batch.writeInt16BE(marker.isCommit ? COMMIT : ABORT, at + TYPE_AT)
  batch[at + VALUE_LENGTH_AT] = 2 * VALUE_BYTES
  batch.writeInt32BE(marker.coordinatorEpoch, at + COORDINATOR_EPOCH_AT)
  writeBatchHeader(batch, 0, batch.length, {
    recordCount: 1,
    baseTimestamp: marker.timestamp,
    maxTimestamp: marker.timestamp,
    attributes: TRANSACTIONAL_CONTROL,
    producerId: marker.producerId,
    producerEpoch: marker.producerEpoch,
  })
  return batch
}

/** What a control batch says; undefined when it ends no transaction, as batches of other kinds and versions. */
export function decodeMarkerBatch(batch: Buffer, at: number): TransactionMarker | undefined {
  assert(isControlBatch(batch, at), 'only a control batch holds a marker')
  const [record] = decodeRecords(batch, at)
  if (record === undefined) return undefined
  const { key, value } = record
  if (key === null || key.length < KEY_BYTES) return undefined
  const type = key.readInt16BE(TYPE_IN_KEY)
  if (type !== ABORT && type !== COMMIT) return undefined
  return {
    producerId: getProducerId(batch, at),
    producerEpoch: getProducerEpoch(batch, at),
    coordinatorEpoch: value === null || value.length < VALUE_BYTES ? -1 : value.readInt32BE(COORDINATOR_EPOCH_IN_VALUE),
    isCommit: type === COMMIT,
    timestamp: getMaxTimestamp(batch, at),
  }
}
