import { assert } from '../../../base/assert.ts'
import { crc32c } from '../../../base/crc32c.ts'
import type { RecordFault } from '../../../broker/batch-intake.ts'
import { RecordsRefused } from '../../../broker/batch-intake.ts'
import type { AppendWaiter, PartitionLog } from '../../../log/log-engine.ts'
import {
  BATCH_HEADER_BYTES,
  findBatchFault,
  getBaseOffset,
  getBaseSequence,
  getBatchBytes,
  getCodec,
  getCrc,
  getLastOffsetDelta,
  getMagic,
  getMaxTimestamp,
  getProducerEpoch,
  getProducerId,
  getRecordCount,
  hasLogAppendTime,
  isControlBatch,
  isTransactional,
} from '../../../record/record-batch.ts'
import type { ResponseOf } from '../api.ts'
import type { Produce } from '../apis/00-produce.ts'
import type { RequestContext } from '../context.ts'
import { Refusal } from '../refusal.ts'
import type { Handler } from '../registry.ts'
import { NO_RESPONSE } from '../registry.ts'

type PartitionAnswer = ResponseOf<typeof Produce>['responses'][number]['partitionResponses'][number]

const ACKS = new Map<number, 0 | 1 | 'all'>([
  [0, 0],
  [1, 1],
  [-1, 'all'],
])
const ZSTD_SINCE = 7
/** What the checksum of a batch covers begins here. */
const CHECKED_FROM = 21

/**
 * Appends the batches where they lie in the frame: they are written before the turn ends. All are appended within this
 * call, in the order of the request; the answer waits for them together.
 */
export const produce: Handler<typeof Produce, RequestContext> = (request, context) => {
  const acks = ACKS.get(request.acks)
  const pending = new PendingProduce(context)
  const responses = request.topicData.map(({ name, partitionData }) => ({
    name,
    partitionResponses: partitionData.map(({ index, records }) =>
      pending.append(index, acks === 0, () => {
        if (acks === undefined) {
          throw new Refusal('INVALID_REQUIRED_ACKS', `Cannot wait for acks=${request.acks}: it must be 0, 1 or -1`)
        }
        const topic = context.broker.topics.getExisting(name)
        const log = context.broker.getLog(name, index)
        checkBatch(records, context.version, topic.config)
        if (isTransactional(records, 0)) {
          const producerId = getProducerId(records, 0)
          context.broker.transactions.checkProduce(producerId, getProducerEpoch(records, 0), name, index)
        }
        return { log, batch: context.broker.intake.take(records, topic.config), acks }
      }),
    ),
  }))
  if (acks === 0) {
    context.isLast = context.errors.length > 0
    return NO_RESPONSE
  }
  return pending.settled().then(() => ({ responses }))
}

type Mutable<Value> = { -readonly [Key in keyof Value]: Value[Key] }

/** The answer for a partition as long as nothing was appended to it. */
const NOTHING_APPENDED = {
  index: 0,
  errorCode: 0,
  baseOffset: -1,
  logAppendTimeMs: -1,
  logStartOffset: -1,
  recordErrors: [],
  errorMessage: null,
} as const

function toRecordError({ index, message }: RecordFault) {
  return { batchIndex: index, batchIndexErrorMessage: message }
}

/** The batches of one request that are on their way to the log. */
class PendingProduce {
  readonly #context: RequestContext
  readonly #startedAtMs: number
  #left = 0
  #resolve: () => void = () => {}

  constructor(context: RequestContext) {
    this.#context = context
    this.#startedAtMs = context.broker.clock.monotonic()
  }

  /** Appends what `prepare` returns, and returns the answer for it, which is complete once all are settled. */
  append(
    index: number,
    isUnanswered: boolean,
    prepare: () => { log: PartitionLog; batch: Buffer; acks: 0 | 1 | 'all' },
  ): PartitionAnswer {
    const answer: Mutable<PartitionAnswer> = { ...NOTHING_APPENDED, index }
    const fail = (error: unknown) => {
      Object.assign(answer, NOTHING_APPENDED, this.#context.describe(error), { index })
      if (error instanceof RecordsRefused) answer.recordErrors = error.faults.map(toRecordError)
    }
    try {
      const { log, batch, acks } = prepare()
      const waiter: AppendWaiter = {
        appended: (error) => {
          if (error !== undefined) fail(error)
          answer.logStartOffset = error === undefined ? log.logStartOffset : -1
          this.#settle()
        },
      }
      const recordCount = getRecordCount(batch, 0)
      if (hasLogAppendTime(batch, 0)) answer.logAppendTimeMs = getMaxTimestamp(batch, 0)
      answer.baseOffset = this.#context.broker.produce(log, batch, recordCount, acks, isUnanswered ? undefined : waiter)
      if (!isUnanswered) this.#left++
    } catch (error) {
      fail(error)
    }
    return answer
  }

  settled(): Promise<void> {
    if (this.#left === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#resolve = resolve
    })
  }

  #settle(): void {
    this.#left--
    assert(this.#left >= 0, 'a batch settles once')
    if (this.#left > 0) return
    const { parts, broker, errors } = this.#context
    if (errors.length === 0) parts.meters.publishLatencyMs.observe(broker.clock.monotonic() - this.#startedAtMs)
    this.#resolve()
  }
}

/**
 * Kafka's conditions for what a producer may send for one partition.
 *
 * @throws Refusal
 */
function checkBatch(
  batch: Buffer | null,
  version: number,
  limits: { readonly batchBytesMax: number; readonly segmentBytes: number },
): asserts batch is Buffer {
  if (batch === null || batch.length === 0) throw invalid('there is no record batch')
  if (batch.length < BATCH_HEADER_BYTES) throw corrupt(`${batch.length} bytes are no record batch`)
  if (getMagic(batch, 0) !== 2) throw invalid(`its format is ${getMagic(batch, 0)}, only 2 is taken`)
  const batchBytes = getBatchBytes(batch, 0)
  if (batchBytes < batch.length && batchBytes >= BATCH_HEADER_BYTES)
    throw invalid('there is more than one record batch')
  if (batch.length > limits.batchBytesMax) {
    throw new Refusal('MESSAGE_TOO_LARGE', tooLarge(batch.length, limits.batchBytesMax, 'max.message.bytes'))
  }
  if (batch.length > limits.segmentBytes) {
    throw new Refusal('RECORD_LIST_TOO_LARGE', tooLarge(batch.length, limits.segmentBytes, 'segment.bytes'))
  }
  const fault = findBatchFault(batch, 0, batch.length)
  if (fault !== undefined) {
    // With the right checksum it came as it was sent, and sending it again does not help.
    const isAsSent = batchBytes === batch.length && crc32c(batch, CHECKED_FROM, batch.length) === getCrc(batch, 0)
    throw isAsSent ? invalid(fault) : corrupt(fault)
  }
  const recordCount = getRecordCount(batch, 0)
  if (recordCount === 0 || getLastOffsetDelta(batch, 0) !== recordCount - 1) {
    throw invalid(`it has ${recordCount} records and ${getLastOffsetDelta(batch, 0) + 1} offsets`)
  }
  if (getBaseOffset(batch, 0) !== 0) throw invalid(`its base offset is ${getBaseOffset(batch, 0)}, not 0`)
  if (isControlBatch(batch, 0)) throw invalid('it is a control batch, which only brokers write')
  if (getProducerId(batch, 0) >= 0 && getBaseSequence(batch, 0) < 0) throw invalid('it has a producer and no sequence')
  if (hasLogAppendTime(batch, 0)) {
    throw new Refusal('INVALID_TIMESTAMP', 'Cannot append a batch with log append time: only the broker sets that')
  }
  if (version < ZSTD_SINCE && getCodec(batch, 0) === 'zstd') {
    throw new Refusal(
      'UNSUPPORTED_COMPRESSION_TYPE',
      `Cannot take zstd in version ${version}: ${ZSTD_SINCE} or later can`,
    )
  }
}

function invalid(why: string): Refusal {
  return new Refusal('INVALID_RECORD', `Cannot append the batch: ${why}`)
}

function corrupt(why: string): Refusal {
  return new Refusal('CORRUPT_MESSAGE', `Cannot append the batch: ${why}`)
}

function tooLarge(bytes: number, bytesMax: number, key: string): string {
  return `Cannot append a batch of ${bytes} bytes: at most ${bytesMax} (${key})`
}
