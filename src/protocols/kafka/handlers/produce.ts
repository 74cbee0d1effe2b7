import { assert } from '../../../base/assert.ts'
import type { RecordFault } from '../../../broker/batch-intake.ts'
import { RecordsRefused } from '../../../broker/batch-intake.ts'
import type { TakenBatch } from '../../../broker/broker.ts'
import type { Acks, AppendWaiter } from '../../../log/log-engine.ts'
import { getCodec, getMaxTimestamp, hasLogAppendTime } from '../../../record/record-batch.ts'
import type { ResponseOf } from '../api.ts'
import type { Produce } from '../apis/00-produce.ts'
import type { RequestContext } from '../context.ts'
import { Refusal } from '../refusal.ts'
import type { Handler } from '../registry.ts'
import { NO_RESPONSE } from '../registry.ts'

type PartitionAnswer = ResponseOf<typeof Produce>['responses'][number]['partitionResponses'][number]

const ACKS = new Map<number, Acks>([
  [0, 0],
  [1, 1],
  [-1, 'all'],
])
const ZSTD_SINCE = 7

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
        const taken = context.broker.takeBatch(name, index, records)
        if (records !== null) checkCodec(records, context.version)
        return { taken, acks }
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
  append(index: number, isUnanswered: boolean, prepare: () => { taken: TakenBatch; acks: Acks }): PartitionAnswer {
    const answer: Mutable<PartitionAnswer> = { ...NOTHING_APPENDED, index }
    const fail = (error: unknown) => {
      Object.assign(answer, NOTHING_APPENDED, this.#context.describe(error), { index })
      if (error instanceof RecordsRefused) answer.recordErrors = error.faults.map(toRecordError)
    }
    try {
      const { taken, acks } = prepare()
      const { log, batch } = taken
      const waiter: AppendWaiter = {
        appended: (error) => {
          if (error !== undefined) fail(error)
          answer.logStartOffset = error === undefined ? log.logStartOffset : -1
          this.#settle()
        },
      }
      if (hasLogAppendTime(batch, 0)) answer.logAppendTimeMs = getMaxTimestamp(batch, 0)
      answer.baseOffset = this.#context.broker.produceTaken(taken, acks, isUnanswered ? undefined : waiter)
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

/** @throws Refusal */
function checkCodec(batch: Buffer, version: number): void {
  if (version >= ZSTD_SINCE || getCodec(batch, 0) !== 'zstd') return
  throw new Refusal(
    'UNSUPPORTED_COMPRESSION_TYPE',
    `Cannot take zstd in version ${version}: ${ZSTD_SINCE} or later can`,
  )
}
