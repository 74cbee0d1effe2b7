import type { LogWatch } from '../../../broker/log-watches.ts'
import type { Isolation, PartitionLog, ReadBatches } from '../../../log/log-engine.ts'
import { getBaseOffset, getBatchBytes, getLastOffsetDelta } from '../../../record/record-batch.ts'
import type { RequestOf, ResponseOf } from '../api.ts'
import type { Fetch } from '../apis/01-fetch.ts'
import type { RequestContext, Waiting } from '../context.ts'
import { Refusal } from '../refusal.ts'
import type { Handler } from '../registry.ts'
import { checkLeaderEpoch, getTopicById } from './topic-lookup.ts'

type TopicWish = RequestOf<typeof Fetch>['topics'][number]
type PartitionWish = TopicWish['partitions'][number]
type TopicAnswer = ResponseOf<typeof Fetch>['responses'][number]
type PartitionAnswer = TopicAnswer['partitions'][number]

/** Bytes of records that one answer has at most, but for a larger batch at its beginning. */
export const FETCH_BYTES_MAX = 16 * 1024 * 1024
/** The same when the answers of all connections take too much memory and this one must not wait. */
const SCARCE_BYTES = 64 * 1024
/** Longer waits are cut to this. */
const WAIT_MS_MAX = 600_000
const TOPIC_IDS_SINCE = 13
/** Clients from before Kafka 2.1 do not know zstd. */
const ZSTD_SINCE = 10
const FINAL_EPOCH = -1
const READ_COMMITTED = 1
const NO_RECORDS = Buffer.alloc(0)

/** Reads partitions in the order of the request, and waits if there is too little to read. */
export const fetch: Handler<typeof Fetch, RequestContext> = (request, context) => {
  if (request.sessionId !== 0 && request.sessionEpoch !== FINAL_EPOCH) {
    return { errorCode: context.refuse('FETCH_SESSION_ID_NOT_FOUND'), responses: [] }
  }
  return new RunningFetch(request, context).run()
}

/** What reading a partition has come to. */
interface Reading {
  readonly log: PartitionLog | undefined
  readonly error: unknown
  /** How far this client could read when it was read: what is beyond has not been looked for. */
  readonly readTo: number
  batches: ReadBatches | undefined
}

class RunningFetch implements Waiting {
  readonly #request: RequestOf<typeof Fetch>
  readonly #context: RequestContext
  readonly #isolation: Isolation
  readonly #deadlineMs: number
  #mayWait: boolean
  /** Whether the answer must be smaller than the client and the log would have it. */
  #isCut = false
  #watch: LogWatch | undefined
  #wake: () => void = () => {}

  constructor(request: RequestOf<typeof Fetch>, context: RequestContext) {
    this.#request = request
    this.#context = context
    this.#isolation = request.isolationLevel === READ_COMMITTED ? 'read_committed' : 'read_uncommitted'
    const waitMs = Math.min(request.maxWaitMs, WAIT_MS_MAX)
    this.#mayWait = waitMs > 0
    this.#deadlineMs = context.broker.clock.monotonic() + waitMs
  }

  async run(): Promise<ResponseOf<typeof Fetch>> {
    this.#context.waiting = this
    for (;;) {
      const bytesMax = this.#grant()
      this.#context.channel.reserveOutput(bytesMax)
      const readings = await this.#readAll(bytesMax)
      this.#context.channel.reserveOutput(-bytesMax)
      const isEnough = this.#isEnough(readings)
      if (isEnough || !this.#mayWait || this.#context.isAbandoned) return this.#answer(readings)
      for (const { batches } of readings) batches?.release()
      if (!(await this.#wait(readings))) this.#mayWait = false
    }
  }

  stopWaiting(): void {
    this.#mayWait = false
    this.#watch?.cancel()
    this.#wake()
  }

  abandon(): void {
    this.stopWaiting()
  }

  /** How many bytes of records the answer may have. */
  #grant(): number {
    const { broker, channel } = this.#context
    let available = 0
    for (const topic of this.#request.topics) {
      for (const { partition, fetchOffset, partitionMaxBytes } of topic.partitions) {
        const name = this.#nameOf(topic)
        const log = name === undefined ? undefined : broker.findLog(name, partition)
        if (log !== undefined && this.#endOf(log) > fetchOffset) available += Math.min(partitionMaxBytes, log.sizeBytes)
      }
    }
    const wanted = Math.max(0, Math.min(this.#request.maxBytes, FETCH_BYTES_MAX, available))
    const granted = wanted === 0 ? 0 : channel.grantOutput(wanted) || Math.min(wanted, SCARCE_BYTES)
    this.#isCut = granted < wanted
    return granted
  }

  #nameOf({ topic, topicId }: TopicWish): string | undefined {
    const { version, broker } = this.#context
    return version >= TOPIC_IDS_SINCE ? broker.topics.getById(topicId)?.name : topic
  }

  /** The offset up to which this client may read. */
  #endOf(log: PartitionLog): number {
    return this.#isolation === 'read_committed' ? log.lastStableOffset : log.highWatermark
  }

  async #readAll(bytesMax: number): Promise<Reading[]> {
    const readings: Reading[] = []
    let bytesLeft = bytesMax
    let isFirst = true
    for (const topic of this.#request.topics) {
      for (const wish of topic.partitions) {
        if (this.#context.isTurnOver) await this.#context.pause()
        const reading = this.#begin(topic, wish)
        readings.push(reading)
        const { log } = reading
        const isOutside =
          log !== undefined && (wish.fetchOffset < log.logStartOffset || wish.fetchOffset > log.highWatermark)
        if (log === undefined || (wish.fetchOffset >= reading.readTo && !isOutside)) continue
        if (!isFirst && bytesLeft <= 0 && !isOutside) continue
        try {
          const batches = await read(
            log,
            wish.fetchOffset,
            Math.min(wish.partitionMaxBytes, bytesLeft),
            this.#isolation,
          )
          // Only the first one may be too large: so that nobody gets stuck, and no answer grows with each partition.
          if (!isFirst && batches.bytes.length > bytesLeft) {
            batches.release()
            bytesLeft = 0
            continue
          }
          reading.batches = batches
          bytesLeft -= batches.bytes.length
          if (batches.bytes.length > 0) isFirst = false
        } catch (error) {
          readings[readings.length - 1] = { ...reading, error }
        }
      }
    }
    return readings
  }

  #begin(topic: TopicWish, wish: PartitionWish): Reading {
    try {
      const name =
        this.#context.version >= TOPIC_IDS_SINCE ? getTopicById(this.#context, topic.topicId).name : topic.topic
      const log = this.#context.broker.getLog(name, wish.partition)
      checkLeaderEpoch(log, wish.currentLeaderEpoch)
      const { version, broker } = this.#context
      if (version < ZSTD_SINCE && broker.topics.get(name)?.config.compression === 'zstd') {
        throw new Refusal('UNSUPPORTED_COMPRESSION_TYPE', `Cannot read zstd in version ${version}: ${ZSTD_SINCE} can`)
      }
      return { log, error: undefined, readTo: this.#endOf(log), batches: undefined }
    } catch (error) {
      return { log: undefined, error, readTo: -1, batches: undefined }
    }
  }

  #isEnough(readings: readonly Reading[]): boolean {
    if (readings.length === 0 || readings.some(({ error }) => error !== undefined)) return true
    const bytes = readings.reduce((sum, { batches }) => sum + (batches?.bytes.length ?? 0), 0)
    const { minBytes, maxBytes } = this.#request
    return bytes >= Math.min(minBytes, maxBytes, FETCH_BYTES_MAX) || (this.#isCut && bytes > 0)
  }

  /** Waits for news of any of the partitions; false when there was none in time. */
  async #wait(readings: readonly Reading[]): Promise<boolean> {
    const logs: PartitionLog[] = []
    for (const { log, readTo } of readings) {
      if (log === undefined) continue
      // What has come since then would wake nobody.
      if (this.#endOf(log) > readTo) return true
      logs.push(log)
    }
    const { clock } = this.#context.broker
    const leftMs = this.#deadlineMs - clock.monotonic()
    if (leftMs <= 0) return false
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      this.#watch = this.#context.broker.watch(logs, leftMs, resolve)
    })
    return this.#mayWait && clock.monotonic() < this.#deadlineMs
  }

  #answer(readings: readonly Reading[]): ResponseOf<typeof Fetch> {
    let next = 0
    const responses = this.#request.topics.map(({ topic, topicId, partitions }) => ({
      topic,
      topicId,
      partitions: partitions.map((wish) => this.#answerOne(wish, readings[next++])),
    }))
    return { errorCode: 0, responses }
  }

  #answerOne({ partition: partitionIndex, fetchOffset }: PartitionWish, reading: Reading): PartitionAnswer {
    const { log, batches } = reading
    if (batches !== undefined) this.#context.lent.push(batches)
    const records = batches?.bytes ?? NO_RECORDS
    try {
      if (log === undefined || reading.error !== undefined) throw reading.error
      const { highWatermark, lastStableOffset, logStartOffset } = log
      const abortedTransactions = this.#listAborted(log, fetchOffset, records)
      const offsets = { highWatermark, lastStableOffset, logStartOffset }
      return { partitionIndex, errorCode: 0, ...offsets, abortedTransactions, records }
    } catch (error) {
      const abortedTransactions = this.#isolation === 'read_committed' ? [] : null
      const errorCode = this.#context.codeOf(error)
      return { partitionIndex, errorCode, highWatermark: -1, abortedTransactions, records: NO_RECORDS }
    }
  }

  /** Those that the client must leave out of these records; null for a client that leaves nothing out. */
  #listAborted(log: PartitionLog, fromOffset: number, records: Buffer): PartitionAnswer['abortedTransactions'] {
    if (this.#isolation !== 'read_committed') return null
    return records.length === 0 ? [] : [...log.abortedTransactions(fromOffset, getEndOffset(records))]
  }
}

/** The offset behind the last of these batches. */
function getEndOffset(batches: Buffer): number {
  let last = 0
  for (let at = 0; at < batches.length; at += getBatchBytes(batches, at)) last = at
  return getBaseOffset(batches, last) + getLastOffsetDelta(batches, last) + 1
}

function read(log: PartitionLog, fromOffset: number, bytesMax: number, isolation: Isolation): Promise<ReadBatches> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | undefined, batches: ReadBatches) => {
      if (error === undefined) return resolve(batches)
      batches.release()
      reject(error)
    }
    log.read(fromOffset, bytesMax, done, isolation)
  })
}
