import type { Broker } from '../../../broker/broker.ts'
import type { ProduceRequest } from '../../../broker/produce-request.ts'
import { mayBeDelayed, RecordProducer } from '../../../broker/record-producer.ts'
import type { RecordBatchBuilder } from '../../../record/record-batch.ts'
import type { AnswerQueue } from '../answer-queue.ts'
import { Exchange } from '../answer-queue.ts'
import { encodeAnswer, toWireError } from '../errors.ts'
import type { Meters, OperationMeter } from '../meters.ts'
import type { Messages } from '../wire.ts'
import { FRAME_TYPES } from '../wire.ts'

/**
 * Takes PRODUCE requests with records that are to be delivered later, or might be, which the shorter way for all others
 * does not know.
 */
export class DelayedProducer {
  readonly #meters: Meters
  readonly #batches: RecordBatchBuilder
  readonly #producer: RecordProducer

  /** `batches` is shared with whoever takes other requests. */
  constructor(broker: Broker, meters: Meters, batches: RecordBatchBuilder) {
    this.#meters = meters
    this.#batches = batches
    this.#producer = new RecordProducer(broker, 'take PRODUCE')
  }

  /** Whether a request has such records, or might. */
  concerns(request: ProduceRequest): boolean {
    return mayBeDelayed(request)
  }

  /** Takes the request; what is needed of it later is copied. It answers through `queue`, unless nobody wants to know. */
  take(request: ProduceRequest, queue: AnswerQueue, meter: OperationMeter): void {
    const startedAtMs = queue.clock.monotonic()
    const exchange = request.acks === 0 ? undefined : new Exchange(queue, FRAME_TYPES.PRODUCE, 'write', meter)
    const fail = (error: unknown): void => {
      if (exchange !== undefined) return exchange.fail(error)
      meter.countError(toWireError(error).code, queue.clock.monotonic() - startedAtMs)
      queue.noteMistake(error)
    }
    let answer: Promise<Messages['PRODUCE']['answer']>
    try {
      answer = this.#producer.start(request, this.#batches)
    } catch (error) {
      return fail(error)
    }
    answer.then((value) => {
      const elapsedMs = queue.clock.monotonic() - startedAtMs
      this.#meters.publishLatencyMs.observe(elapsedMs)
      if (exchange === undefined) meter.countOk(elapsedMs)
      else exchange.succeed(encodeAnswer(value))
    }, fail)
  }
}
