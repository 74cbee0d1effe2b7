import { Fetch } from '../../src/protocols/kafka/apis/01-fetch.ts'
import { decodeRecords, getBatchBytes, getProducerId, isControlBatch } from '../../src/record/record-batch.ts'
import type { DecodedRecord } from '../../src/record/record-batch.ts'
import type { KafkaClient } from './kafka-client.ts'
import { errorName } from './kafka-producer.ts'

const NO_ID = '00000000-0000-0000-0000-000000000000'
export const READ_COMMITTED = 1

/** What one fetch of a partition came to. */
export interface PartitionRead {
  /** What a consumer shows: without markers and without what was aborted. */
  readonly records: readonly DecodedRecord[]
  /** Their values as text. */
  readonly values: readonly string[]
  readonly markers: number
  /** Where it goes on. */
  readonly nextOffset: number
  readonly highWatermark: number
  readonly lastStableOffset: number
  readonly abortedTransactions: readonly { readonly producerId: number; readonly firstOffset: number }[] | null
}

/** Fetches a partition once, as a consumer does, and leaves out what a consumer leaves out. */
export async function readPartition(
  client: KafkaClient,
  topic: string,
  { isolationLevel = READ_COMMITTED, fetchOffset = 0, partition = 0, maxWaitMs = 0 } = {},
): Promise<PartitionRead> {
  const partitions = [{ partition, fetchOffset, partitionMaxBytes: 1_000_000 }]
  const request = { maxWaitMs, minBytes: 1, isolationLevel, topics: [{ topic, topicId: NO_ID, partitions }] }
  const { responses } = await client.ask(Fetch, 11, request)
  const answer = responses[0].partitions[0]
  if (answer.errorCode !== 0) throw new Error(`cannot read ${topic}/${partition}: ${errorName(answer.errorCode)}`)
  const { highWatermark, lastStableOffset, abortedTransactions } = answer
  const records = answer.records ?? Buffer.alloc(0)
  const left = [...(abortedTransactions ?? [])]
  const aborted = new Set<number>()
  const shown: DecodedRecord[] = []
  let markers = 0
  let nextOffset = fetchOffset
  for (let at = 0; at < records.length; at += getBatchBytes(records, at)) {
    const producerId = getProducerId(records, at)
    for (const record of decodeRecords(records, at)) {
      const { offset } = record
      nextOffset = offset + 1
      if (isControlBatch(records, at)) {
        markers++
        aborted.delete(producerId)
        continue
      }
      while (left.length > 0 && left[0].firstOffset <= offset) aborted.add(left.shift()?.producerId ?? -1)
      if (!aborted.has(producerId)) shown.push(record)
    }
  }
  const values = shown.map(({ value }) => String(value))
  return { records: shown, values, markers, nextOffset, highWatermark, lastStableOffset, abortedTransactions }
}

/** Reads all committed records that there are; fails when a transaction is open that keeps it from the end. */
export async function readAllCommitted(
  client: KafkaClient,
  topic: string,
  partition: number,
): Promise<DecodedRecord[]> {
  const records: DecodedRecord[] = []
  for (let fetchOffset = 0; ;) {
    const read = await readPartition(client, topic, { fetchOffset, partition })
    records.push(...read.records)
    if (read.nextOffset === read.highWatermark) return records
    if (read.nextOffset === fetchOffset) {
      throw new Error(`${topic}/${partition} is open from ${read.lastStableOffset} to ${read.highWatermark}`)
    }
    fetchOffset = read.nextOffset
  }
}
