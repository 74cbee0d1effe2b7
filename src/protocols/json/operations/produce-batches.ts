import { BrokerError } from '../../../base/broker-error.ts'
import type { Broker } from '../../../broker/broker.ts'
import type { AppendWaiter } from '../../../log/log-engine.ts'
import type { AnswerQueue } from '../answer-queue.ts'
import { Exchange } from '../answer-queue.ts'
import type { BatchesRequest, DecodedBatch } from '../batches-parser.ts'
import { BatchesParser } from '../batches-parser.ts'
import { encodeAnswer, toWireError } from '../errors.ts'
import type { Meters, OperationMeter } from '../meters.ts'
import type { RefusedPartition, WireErrorCode } from '../wire.ts'
import { FRAME_TYPES } from '../wire.ts'

/**
 * Takes PRODUCE_BATCHES requests: record batches that a producer has packed, numbered and compressed by itself, each of
 * which is taken or refused by itself. One parser serves all connections, as in `Producer`.
 */
export class BatchProducer {
  readonly #broker: Broker
  readonly #meters: Meters
  readonly #parser = new BatchesParser()

  constructor(broker: Broker, meters: Meters) {
    this.#broker = broker
    this.#meters = meters
  }

  /** The log has written all batches of earlier turns: their memory is free. */
  turnBegan(): void {
    this.#parser.turnBegan()
  }

  /** Takes the request whose payload lies between `start` and `end`; it answers through `queue`, or never. */
  take(queue: AnswerQueue, meter: OperationMeter, buffer: Buffer, start: number, end: number): void {
    let request: BatchesRequest
    try {
      request = this.#parser.parse(buffer, start, end)
    } catch (error) {
      new Exchange(queue, FRAME_TYPES.PRODUCE_BATCHES, 'write', meter).fail(error)
      return
    }
    if (request.acks === 0) this.#appendUnanswered(request.batches, queue, meter)
    else this.#append(request.batches, request.acks, new BatchesExchange(queue, meter, this.#meters))
  }

  #append(batches: readonly DecodedBatch[], acks: 1 | 'all', exchange: BatchesExchange): void {
    for (const { topic, partition, batch } of batches) {
      const part = exchange.addPart(topic, partition)
      try {
        const taken = this.#broker.takeBatch(topic, partition, batch)
        part.baseOffset = this.#broker.produceTaken(taken, acks, part)
      } catch (error) {
        part.appended(error)
      }
    }
    exchange.allAdded()
  }

  #appendUnanswered(batches: readonly DecodedBatch[], queue: AnswerQueue, meter: OperationMeter): void {
    const startedAtMs = queue.clock.monotonic()
    const refused: WireErrorCode[] = []
    for (const { topic, partition, batch } of batches) {
      try {
        const taken = this.#broker.takeBatch(topic, partition, batch)
        this.#broker.produceTaken(taken, 0)
      } catch (error) {
        refused.push(toProduceError(error).code)
        queue.noteMistake(error)
      }
    }
    if (refused.length === 0) meter.countOk(queue.clock.monotonic() - startedAtMs)
    else meter.countRefused(refused, queue.clock.monotonic() - startedAtMs)
  }
}

/** A batch on its way to the log. */
class Part implements AppendWaiter {
  readonly topic: string
  readonly partition: number
  baseOffset = 0
  error: unknown
  readonly #exchange: BatchesExchange

  constructor(exchange: BatchesExchange, topic: string, partition: number) {
    this.#exchange = exchange
    this.topic = topic
    this.partition = partition
  }

  appended(error: unknown): void {
    this.error = error
    this.#exchange.partSettled()
  }
}

/** A PRODUCE_BATCHES in flight. It is answered when all of its batches have come to their end. */
class BatchesExchange extends Exchange {
  readonly #meters: Meters
  readonly #parts: Part[] = []
  #settledCount = 0
  #areAllAdded = false

  constructor(queue: AnswerQueue, meter: OperationMeter, meters: Meters) {
    super(queue, FRAME_TYPES.PRODUCE_BATCHES, 'write', meter)
    this.#meters = meters
  }

  addPart(topic: string, partition: number): Part {
    const part = new Part(this, topic, partition)
    this.#parts.push(part)
    return part
  }

  allAdded(): void {
    this.#areAllAdded = true
    this.#answerIfSettled()
  }

  partSettled(): void {
    this.#settledCount++
    this.#answerIfSettled()
  }

  #answerIfSettled(): void {
    if (!this.#areAllAdded || this.#settledCount < this.#parts.length) return
    const refused: WireErrorCode[] = []
    let results = ''
    for (const part of this.#parts) {
      if (results !== '') results += ','
      results += this.#describe(part, refused)
    }
    if (refused.length === 0) {
      this.#meters.publishLatencyMs.observe(this.queue.clock.monotonic() - this.startedAtMs)
    }
    this.succeed(`{"ok":true,"results":[${results}]}`, refused)
  }

  #describe({ topic, partition, baseOffset, error }: Part, refused: WireErrorCode[]): string {
    // A topic name needs no escaping.
    if (error === undefined) return `{"topic":"${topic}","partition":${partition},"baseOffset":${baseOffset}}`
    this.queue.noteMistake(error)
    const wireError = toProduceError(error)
    refused.push(wireError.code)
    return encodeAnswer({ topic, partition, error: wireError })
  }
}

/** Here, unlike in a FETCH, it is the client's batch that is damaged, and no disk. */
function toProduceError(error: unknown): RefusedPartition['error'] {
  const wireError = toWireError(error)
  const isDamaged = error instanceof BrokerError && error.code === 'CORRUPT_MESSAGE'
  return isDamaged ? { ...wireError, code: 'CORRUPT_MESSAGE' } : wireError
}
