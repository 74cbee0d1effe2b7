import { MultiFetch } from '../../../broker/multi-fetch.ts'
import type { PartitionReading } from '../../../broker/multi-fetch.ts'
import type { Isolation, PartitionLog } from '../../../log/log-engine.ts'
import { getBaseOffset, getBatchBytes, getLastOffsetDelta } from '../../../record/record-batch.ts'
import type { RequestOf, ResponseOf } from '../api.ts'
import type { Fetch } from '../apis/01-fetch.ts'
import type { RequestContext } from '../context.ts'
import { Refusal } from '../refusal.ts'
import type { Handler } from '../registry.ts'
import { checkLeaderEpoch, getTopicById } from './topic-lookup.ts'

type FetchRequest = RequestOf<typeof Fetch>
type TopicWish = FetchRequest['topics'][number]
type PartitionWish = TopicWish['partitions'][number]
type TopicAnswer = ResponseOf<typeof Fetch>['responses'][number]
type PartitionAnswer = TopicAnswer['partitions'][number]

/** Bytes of records that one answer has at most, but for a larger batch at its beginning. */
export const FETCH_BYTES_MAX = 16 * 1024 * 1024
/** Longer waits are cut to this. */
const WAIT_MS_MAX = 600_000
const TOPIC_IDS_SINCE = 13
/** Clients from before Kafka 2.1 do not know zstd. */
const ZSTD_SINCE = 10
const FINAL_EPOCH = -1
const READ_COMMITTED = 1
const NO_RECORDS = Buffer.alloc(0)

/** Reads partitions in the order of the request, and waits if there is too little to read. */
export const fetch: Handler<typeof Fetch, RequestContext> = async (request, context) => {
  if (request.sessionId !== 0 && request.sessionEpoch !== FINAL_EPOCH) {
    return { errorCode: context.refuse('FETCH_SESSION_ID_NOT_FOUND'), responses: [] }
  }
  const isolation: Isolation = request.isolationLevel === READ_COMMITTED ? 'read_committed' : 'read_uncommitted'
  const topics = request.topics.flatMap((topic) => topic.partitions.map(() => topic))
  const partitions = request.topics.flatMap((topic) => topic.partitions)
  const running = new MultiFetch(
    { news: context.broker, outgoing: context.channel, turns: context.turns },
    {
      partitions,
      bytesMax: Math.min(request.maxBytes, FETCH_BYTES_MAX),
      bytesMin: request.minBytes,
      waitMs: Math.min(request.maxWaitMs, WAIT_MS_MAX),
      isolation,
      outputPerByte: 1,
      getLog: (index) => getLog(context, topics[index], partitions[index]),
      findLog: (index) => findLog(context, topics[index], partitions[index]),
    },
  )
  context.waiting = running
  const readings = await running.run()
  let next = 0
  const responses = request.topics.map(({ topic, topicId, partitions: wishes }) => ({
    topic,
    topicId,
    partitions: wishes.map((wish) => answerOne(context, wish, readings[next++], isolation)),
  }))
  return { errorCode: 0, responses }
}

/** @throws BrokerError, Refusal */
function getLog(context: RequestContext, topic: TopicWish, wish: PartitionWish): PartitionLog {
  const { version, broker } = context
  const name = version >= TOPIC_IDS_SINCE ? getTopicById(context, topic.topicId).name : topic.topic
  const log = broker.getLog(name, wish.partition)
  checkLeaderEpoch(log, wish.currentLeaderEpoch)
  if (version < ZSTD_SINCE && broker.topics.get(name)?.config.compression === 'zstd') {
    throw new Refusal('UNSUPPORTED_COMPRESSION_TYPE', `Cannot read zstd in version ${version}: ${ZSTD_SINCE} can`)
  }
  return log
}

function findLog(context: RequestContext, topic: TopicWish, { partition }: PartitionWish): PartitionLog | undefined {
  const { version, broker } = context
  const name = version >= TOPIC_IDS_SINCE ? broker.topics.getById(topic.topicId)?.name : topic.topic
  return name === undefined ? undefined : broker.findLog(name, partition)
}

function answerOne(
  context: RequestContext,
  { partition: partitionIndex, fetchOffset }: PartitionWish,
  { log, batches, error }: PartitionReading,
  isolation: Isolation,
): PartitionAnswer {
  if (batches !== undefined) context.lent.push(batches)
  const records = batches?.bytes ?? NO_RECORDS
  try {
    if (log === undefined || error !== undefined) throw error
    const { highWatermark, lastStableOffset, logStartOffset } = log
    const abortedTransactions = isolation === 'read_committed' ? listAborted(log, fetchOffset, records) : null
    const offsets = { highWatermark, lastStableOffset, logStartOffset }
    return { partitionIndex, errorCode: 0, ...offsets, abortedTransactions, records }
  } catch (fault) {
    const abortedTransactions = isolation === 'read_committed' ? [] : null
    const errorCode = context.codeOf(fault)
    return { partitionIndex, errorCode, highWatermark: -1, abortedTransactions, records: NO_RECORDS }
  }
}

/** Those that the client must leave out of these records. */
function listAborted(
  log: PartitionLog,
  fromOffset: number,
  records: Buffer,
): NonNullable<PartitionAnswer['abortedTransactions']> {
  return records.length === 0 ? [] : [...log.abortedTransactions(fromOffset, getEndOffset(records))]
}

/** The offset behind the last of these batches. */
function getEndOffset(batches: Buffer): number {
  let last = 0
  for (let at = 0; at < batches.length; at += getBatchBytes(batches, at)) last = at
  return getBaseOffset(batches, last) + getLastOffsetDelta(batches, last) + 1
}
