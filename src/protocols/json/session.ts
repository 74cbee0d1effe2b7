import { BrokerError } from '../../base/broker-error.ts'
import type { Channel, Session } from '../../net/protocol.ts'
import { AnswerQueue, Exchange } from './answer-queue.ts'
import type { DoorContext, OperationContext } from './context.ts'
import { encodeAnswer, encodeError, encodeHeader } from './errors.ts'
import { Fields } from './fields.ts'
import type { Meters } from './meters.ts'
import { OPERATIONS } from './operations.ts'
import type { BatchFetcher } from './operations/fetch-batches.ts'
import type { Fetcher } from './operations/fetch.ts'
import type { BatchProducer } from './operations/produce-batches.ts'
import type { Producer } from './operations/produce.ts'
import { parsePayload } from './payload.ts'
import type { TurnClock } from './turn-clock.ts'
import { FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX, FRAME_TYPES } from './wire.ts'

/** What the sessions of the door share. */
export interface DoorParts {
  readonly context: DoorContext
  readonly clock: TurnClock
  readonly meters: Meters
  readonly producer: Producer
  readonly batchProducer: BatchProducer
  readonly fetcher: Fetcher
  readonly batchFetcher: BatchFetcher
}

const NO_PAYLOAD = Buffer.from('{}')

/** One connection to the JSON door: starts each request when its turn has come and answers all in their order. */
export class JsonSession implements Session {
  readonly #parts: DoorParts
  readonly #queue: AnswerQueue
  readonly #context: OperationContext

  constructor(parts: DoorParts, channel: Channel) {
    this.#parts = parts
    this.#context = { ...parts.context, peer: channel.peer }
    this.#queue = new AnswerQueue(parts.clock, channel, (error) => {
      if (error instanceof BrokerError) return
      parts.context.logger.error({ peer: channel.peer, err: error }, 'a request failed by a mistake of ours')
    })
  }

  get inFlight(): number {
    return this.#queue.inFlight
  }

  takeFrame(buffer: Buffer, start: number, end: number): boolean {
    const type = buffer[start]
    const payloadStart = start + FRAME_HEADER_BYTES
    const meter = this.#parts.meters.ofType(type)
    if (type === FRAME_TYPES.PRODUCE) {
      if (!this.#queue.mayStart('write')) return false
      this.#parts.producer.take(this.#queue, meter, buffer, payloadStart, end)
    } else if (type === FRAME_TYPES.PRODUCE_BATCHES) {
      if (!this.#queue.mayStart('write')) return false
      this.#parts.batchProducer.take(this.#queue, meter, buffer, payloadStart, end)
    } else if (type === FRAME_TYPES.FETCH) {
      if (!this.#queue.mayStart('read')) return false
      if (!this.#parts.fetcher.take(this.#queue, meter, buffer.subarray(payloadStart, end))) return false
    } else if (type === FRAME_TYPES.FETCH_BATCHES) {
      if (!this.#queue.mayStart('read')) return false
      if (!this.#parts.batchFetcher.take(this.#queue, meter, buffer.subarray(payloadStart, end))) return false
    } else if (!this.#takeOther(type, buffer.subarray(payloadStart, end))) {
      return false
    }
    meter.bytesIn.add(end - start)
    return true
  }

  refuseFrame(buffer: Buffer, at: number): void {
    const type = buffer[at]
    const payloadBytes = buffer.readUInt32BE(at + 1)
    const exchange = new Exchange(this.#queue, type, 'read', this.#parts.meters.ofType(type))
    exchange.fail(
      new BrokerError(
        'INVALID_REQUEST',
        `Cannot take a frame with a payload of ${payloadBytes} bytes: at most ${FRAME_PAYLOAD_BYTES_MAX} are allowed`,
      ),
    )
  }

  wrapUp(): void {
    this.#queue.stopWaiting()
  }

  closed(): void {
    this.#queue.close()
  }

  #takeOther(type: number, payload: Buffer): boolean {
    const entry = OPERATIONS.get(type)
    const requestClass = entry?.requestClass ?? 'other'
    if (!this.#queue.mayStart(requestClass)) return false
    const exchange = new Exchange(this.#queue, type, requestClass, this.#parts.meters.ofType(type))
    if (entry === undefined) {
      const message = `Cannot take a frame of type ${type}: no operation has that type`
      exchange.fail(new BrokerError('INVALID_REQUEST', message))
      return true
    }
    try {
      const bytes = payload.length === 0 && type === FRAME_TYPES.HEARTBEAT ? NO_PAYLOAD : payload
      const fields = new Fields(entry.name, parsePayload(entry.name, bytes))
      const answer = entry.operation(this.#context, fields)
      if (answer instanceof Promise) this.#settleLater(exchange, answer)
      else succeed(exchange, answer)
    } catch (error) {
      exchange.fail(error)
    }
    return true
  }

  #settleLater(exchange: Exchange, answer: Promise<object>): void {
    const { meters } = this.#parts
    const isCommit = exchange.type === FRAME_TYPES.COMMIT
    answer.then(
      (value) => {
        if (isCommit) meters.offsetCommitsOk.add(1)
        succeed(exchange, value)
      },
      (error: unknown) => {
        if (isCommit) meters.offsetCommitsFailed.add(1)
        exchange.fail(error)
      },
    )
  }
}

function succeed(exchange: Exchange, answer: object): void {
  const payload = encodeAnswer(answer)
  if (payload.length <= FRAME_PAYLOAD_BYTES_MAX) return exchange.succeed(payload)
  const message = `Cannot answer in one frame: the answer has ${payload.length} bytes, ask for a part of it`
  exchange.fail(new BrokerError('INVALID_REQUEST', message))
}

/** A connection that is one too many: its first request is answered with the reason, then it ends. */
export class RefusingSession implements Session {
  readonly inFlight = 0
  readonly #channel: Channel
  readonly #refusal: string

  constructor(channel: Channel, refusal: string) {
    this.#channel = channel
    this.#refusal = refusal
  }

  takeFrame(buffer: Buffer, start: number): boolean {
    this.refuseFrame(buffer, start)
    this.#channel.end()
    return true
  }

  refuseFrame(buffer: Buffer, at: number): void {
    // The one code that tells a client to try again later.
    const payload = encodeError(new BrokerError('UNKNOWN_SERVER_ERROR', this.#refusal))
    this.#channel.sendText(encodeHeader(buffer[at], payload.length) + payload)
  }

  wrapUp(): void {}
  closed(): void {}
}
