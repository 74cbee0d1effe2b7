import type { Clock } from '../../base/clock.ts'
import type { Logger } from '../../base/logger.ts'
import type { Broker } from '../../broker/broker.ts'
import type { Metrics } from '../../metrics/metrics.ts'
import type { RefusableProtocol } from '../../net/faults.ts'
import type { Channel, Session } from '../../net/protocol.ts'
import type { KafkaSettings } from './context.ts'
import type { ErrorName } from './error-codes.ts'
import { ERROR_CODES } from './error-codes.ts'
import { FRAME_LENGTH_BYTES, readRequestHeader } from './headers.ts'
import { Meters, PROTOCOL_NAME } from './meters.ts'
import { MalformedMessageError, Reader } from './reader.ts'
import { createRegistry } from './services.ts'
import type { SessionParts } from './session.ts'
import { KafkaSession, RefusingSession } from './session.ts'

/** Kafka's `socket.request.max.bytes`. */
export const REQUEST_BYTES_MAX = 100 * 1024 * 1024

const API_AND_VERSION_BYTES = 4

/** The Kafka door: Kafka's wire protocol on the same topics. docs/protocol-kafka.md says what of it is served. */
export class KafkaDoor implements RefusableProtocol {
  readonly name = PROTOCOL_NAME
  readonly frameHeaderBytes = FRAME_LENGTH_BYTES
  readonly payloadBytesMax = REQUEST_BYTES_MAX
  readonly errorNames = Object.keys(ERROR_CODES)
  readonly #parts: SessionParts

  constructor(options: {
    readonly broker: Broker
    readonly clock: Clock
    readonly logger: Logger
    readonly metrics: Metrics
    readonly settings: KafkaSettings
  }) {
    const { broker, clock, logger, metrics, settings } = options
    const registry = createRegistry()
    const advertised = registry.advertise()
    const meters = new Meters(metrics)
    this.#parts = { broker, clock, logger, meters, settings, registry, advertise: () => advertised }
  }

  getPayloadBytes(buffer: Buffer, at: number): number {
    const bytes = buffer.readInt32BE(at)
    return bytes < 0 ? Infinity : bytes
  }

  get requestNames(): readonly string[] {
    return this.#parts.registry.names
  }

  getRequestName(buffer: Buffer, start: number, end: number): string | undefined {
    const at = start + FRAME_LENGTH_BYTES
    if (end - at < API_AND_VERSION_BYTES) return undefined
    return this.#parts.registry.find(buffer.readInt16BE(at), buffer.readInt16BE(at + 2))?.api.name
  }

  makeRefusal(buffer: Buffer, start: number, end: number, errorName: string): Buffer | undefined {
    const reader = new Reader(buffer, start + FRAME_LENGTH_BYTES, end)
    try {
      const header = readRequestHeader(reader)
      const service = this.#parts.registry.find(header.apiKey, header.apiVersion)
      return service && Buffer.concat(service.refuse(header, reader, ERROR_CODES[errorName as ErrorName]))
    } catch (error) {
      if (error instanceof MalformedMessageError) return undefined
      throw error
    }
  }

  turnBegan(): void {}

  open(channel: Channel, refusal: string | undefined): Session {
    return refusal === undefined ? new KafkaSession(this.#parts, channel) : new RefusingSession(channel)
  }
}
