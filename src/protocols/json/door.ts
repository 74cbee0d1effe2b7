import { BufferPool } from '../../base/buffer-pool.ts'
import type { Clock } from '../../base/clock.ts'
import type { Logger } from '../../base/logger.ts'
import type { Broker } from '../../broker/broker.ts'
import type { Metrics } from '../../metrics/metrics.ts'
import type { RefusableProtocol } from '../../net/faults.ts'
import type { Channel, Session } from '../../net/protocol.ts'
import { UNPACKED_BYTES_MAX } from '../../record/record-batch.ts'
import { encodeAnswer } from './errors.ts'
import { Meters, PROTOCOL_NAME } from './meters.ts'
import { BatchFetcher } from './operations/fetch-batches.ts'
import { Fetcher } from './operations/fetch.ts'
import { BatchProducer } from './operations/produce-batches.ts'
import { Producer } from './operations/produce.ts'
import type { DoorParts } from './session.ts'
import { JsonSession, RefusingSession } from './session.ts'
import { TurnClock } from './turn-clock.ts'
import type { ErrorAnswer, OperationName, WireErrorCode } from './wire.ts'
import { encodeFrame, FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX, FRAME_TYPES, WIRE_ERRORS } from './wire.ts'

/** The JSON door: frames of JSON to operations of the broker and back. docs/protocol-json.md is what it keeps to. */
export class JsonDoor implements RefusableProtocol {
  readonly name = PROTOCOL_NAME
  readonly frameHeaderBytes = FRAME_HEADER_BYTES
  readonly payloadBytesMax = FRAME_PAYLOAD_BYTES_MAX
  readonly requestNames = Object.keys(FRAME_TYPES)
  readonly errorNames = Object.keys(WIRE_ERRORS)
  readonly #parts: DoorParts
  readonly #producer: Producer
  readonly #batchProducer: BatchProducer

  constructor(options: {
    readonly broker: Broker
    readonly clock: Clock
    readonly logger: Logger
    readonly metrics: Metrics
    /** The most that the records of a compressed batch may grow to when they are read. */
    readonly unpackedBytesMax?: number
  }) {
    const { broker, clock, logger, metrics, unpackedBytesMax = UNPACKED_BYTES_MAX } = options
    const meters = new Meters(metrics)
    const pool = new BufferPool()
    this.#producer = new Producer(broker, meters)
    this.#batchProducer = new BatchProducer(broker, meters)
    this.#parts = {
      context: { broker, logger },
      clock: new TurnClock(clock),
      meters,
      producer: this.#producer,
      batchProducer: this.#batchProducer,
      fetcher: new Fetcher(broker, unpackedBytesMax, pool),
      batchFetcher: new BatchFetcher(broker, pool),
    }
  }

  getPayloadBytes(buffer: Buffer, at: number): number {
    return buffer.readUInt32BE(at + 1)
  }

  getRequestName(buffer: Buffer, start: number): string | undefined {
    return this.requestNames.find((name) => FRAME_TYPES[name as OperationName] === buffer[start])
  }

  makeRefusal(buffer: Buffer, start: number, _end: number, errorName: string): Buffer {
    const { sentence } = WIRE_ERRORS[errorName as WireErrorCode]
    const answer: ErrorAnswer = { error: { code: errorName as WireErrorCode, message: sentence } }
    return encodeFrame(buffer[start], encodeAnswer(answer))
  }

  turnBegan(): void {
    this.#producer.turnBegan()
    this.#batchProducer.turnBegan()
  }

  open(channel: Channel, refusal: string | undefined): Session {
    return refusal === undefined ? new JsonSession(this.#parts, channel) : new RefusingSession(channel, refusal)
  }
}
