import { Fetch } from '../../src/protocols/kafka/apis/01-fetch.ts'
import {
  decodeRecords,
  getBaseOffset,
  getBatchBytes,
  getLastOffsetDelta,
  getProducerId,
  isControlBatch,
  isTransactional,
} from '../../src/record/record-batch.ts'
import type { DecodedRecord } from '../../src/record/record-batch.ts'
import type { KafkaClient } from './kafka-client.ts'

const ABORT = 0
const READ_COMMITTED = 1
const BYTES_MAX = 10_000_000
const NO_ID = '00000000-0000-0000-0000-000000000000'

/** Where a reader of committed records is in one partition. */
export interface CommittedPosition {
  readonly topic: string
  readonly partition: number
  offset: number
}

/**
 * Reads what there is from the position on, as a consumer with isolation.level=read_committed does: the records of
 * aborted transactions are left out, by the list that comes with them.
 */
export async function readCommitted(client: KafkaClient, position: CommittedPosition): Promise<DecodedRecord[]> {
  const { topic, partition } = position
  const { responses } = await client.ask(Fetch, 11, {
    maxWaitMs: 0,
    minBytes: 1,
    maxBytes: BYTES_MAX,
    isolationLevel: READ_COMMITTED,
    topics: [
      {
        topic,
        topicId: NO_ID,
        partitions: [{ partition, fetchOffset: position.offset, partitionMaxBytes: BYTES_MAX }],
      },
    ],
  })
  const { errorCode, records, abortedTransactions } = responses[0].partitions[0]
  if (errorCode !== 0) throw new Error(`Topic "${topic}", partition ${partition} cannot be read: error ${errorCode}`)
  const batches = records ?? Buffer.alloc(0)
  const aborted = (abortedTransactions ?? []).toSorted((left, right) => left.firstOffset - right.firstOffset)
  const aborting = new Set<number>()
  const found: DecodedRecord[] = []
  for (let at = 0; at < batches.length; at += getBatchBytes(batches, at)) {
    const lastOffset = getBaseOffset(batches, at) + getLastOffsetDelta(batches, at)
    while (aborted.length > 0 && aborted[0].firstOffset <= lastOffset) {
      aborting.add((aborted.shift() as (typeof aborted)[number]).producerId)
    }
    const producerId = getProducerId(batches, at)
    if (isControlBatch(batches, at)) {
      // Its key is a version and then the kind, both int16.
      if (decodeRecords(batches, at)[0]?.key?.readInt16BE(2) === ABORT) aborting.delete(producerId)
    } else if (!isTransactional(batches, at) || !aborting.has(producerId)) {
      found.push(...decodeRecords(batches, at).filter(({ offset }) => offset >= position.offset))
    }
    position.offset = lastOffset + 1
  }
  return found
}
