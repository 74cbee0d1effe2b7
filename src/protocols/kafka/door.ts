import type { Clock } from '../../base/clock.ts'
import type { Logger } from '../../base/logger.ts'
import type { Broker } from '../../broker/broker.ts'
import type { Metrics } from '../../metrics/metrics.ts'
import type { Channel, Protocol, Session } from '../../net/protocol.ts'
import type { KafkaSettings } from './context.ts'
import { FRAME_LENGTH_BYTES } from './headers.ts'
import { Meters, PROTOCOL_NAME } from './meters.ts'
import { createRegistry } from './services.ts'
import type { SessionParts } from './session.ts'
import { KafkaSession, RefusingSession } from './session.ts'

/** Kafka's `socket.request.max.bytes`. */
export const REQUEST_BYTES_MAX = 100 * 1024 * 1024

/** The Kafka door: Kafka's wire protocol on the same topics. docs/protocol-kafka.md says what of it is served. */
export class KafkaDoor implements Protocol {
  readonly name = PROTOCOL_NAME
  readonly frameHeaderBytes = FRAME_LENGTH_BYTES
  readonly payloadBytesMax = REQUEST_BYTES_MAX
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

  turnBegan(): void {}

  open(channel: Channel, refusal: string | undefined): Session {
    return refusal === undefined ? new KafkaSession(this.#parts, channel) : new RefusingSession(channel)
  }
}
