import { FRAME_TYPES, type ProducedPartition, type ScheduledRecord } from '../src/protocols/json/wire.ts'
import type { JsonConnection } from '../client/json-connection.ts'
import { call } from '../client/operations.ts'
import { toWire, type NewRecord } from './record.ts'

/** Requests on their way at a time: enough to keep broker and network busy, few enough to stop soon. */
const IN_FLIGHT_MAX = 16

/** A record with the input it came from. */
export interface InputRecord {
  readonly record: NewRecord
  readonly input: Buffer
}

/** Told once about each batch that was sent. */
export interface SenderListener {
  /** `partitions` says where the records went, `scheduled` which of them wait; both are empty with `acks: 0`. */
  stored(
    batch: readonly InputRecord[],
    partitions: readonly ProducedPartition[],
    scheduled: readonly ScheduledRecord[],
  ): void
  /** Refused by the broker, or not known because the connection broke. */
  failed(batch: readonly InputRecord[], error: unknown): void
  /** Nothing is on its way any more. */
  idle(): void
}

/** Sends batches of records in order, several requests at a time. */
export class RecordSender {
  readonly #connection: JsonConnection
  readonly #topic: string
  readonly #acks: 'all' | 1 | 0
  readonly #listener: SenderListener
  readonly #inFlight = new Set<Promise<void>>()

  constructor(connection: JsonConnection, topic: string, acks: 'all' | 1 | 0, listener: SenderListener) {
    this.#connection = connection
    this.#topic = topic
    this.#acks = acks
    this.#listener = listener
  }

  get isIdle(): boolean {
    return this.#inFlight.size === 0
  }

  /** Sends one batch to a partition, -1 for the broker's choice by key; resolves when there is room for another. */
  async send(partition: number, batch: readonly InputRecord[]): Promise<void> {
    const records = batch.map(({ record }) => toWire(record))
    if (this.#acks === 0) {
      this.#connection.send(FRAME_TYPES.PRODUCE, { topic: this.#topic, partition, records, acks: 0 })
      this.#listener.stored(batch, [], [])
      return this.#connection.drained()
    }
    const request = call(this.#connection, 'PRODUCE', { topic: this.#topic, partition, records, acks: this.#acks })
    const settled = request.then(
      (answer) => this.#listener.stored(batch, answer.partitions ?? [answer], answer.scheduled ?? []),
      (error: unknown) => this.#listener.failed(batch, error),
    )
    this.#inFlight.add(settled)
    void settled.then(() => {
      this.#inFlight.delete(settled)
      if (this.isIdle) this.#listener.idle()
    })
    if (this.#inFlight.size >= IN_FLIGHT_MAX) await Promise.race(this.#inFlight)
  }

  /** Resolves when everything that was sent has been answered or failed. */
  async finish(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.all(this.#inFlight)
    // Nothing says that unacknowledged records arrived; an answer to something sent after them does.
    if (this.#acks === 0 && !this.#connection.failure) await call(this.#connection, 'HEARTBEAT', {})
  }
}
