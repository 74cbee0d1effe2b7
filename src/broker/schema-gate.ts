import { BrokerError } from '../base/broker-error.ts'
import type { Clock } from '../base/clock.ts'
import { isCompacted } from '../log/log-engine.ts'
import type { LogConfig, PartitionLog } from '../log/log-engine.ts'
import type { Metrics } from '../metrics/metrics.ts'
import {
  BatchThinner,
  emptyBatch,
  getCodec,
  isTransactional,
  RecordReader,
  UNPACKED_BYTES_MAX,
} from '../record/record-batch.ts'
import type { RecordHeader } from '../record/record-batch.ts'
import { findSchemaFault, RECORD_STEPS, toSentence } from '../schema/check-value.ts'
import type { SchemaFault } from '../schema/check-value.ts'
import { VALUE_LIMITS } from '../schema/limits.ts'
import { WorkBudget } from '../schema/work-budget.ts'
import { asInvalid, RecordsRefused } from './batch-intake.ts'
import type { RecordFault } from './batch-intake.ts'
import type { ActiveSchema, TopicSchemas } from './topic-schemas.ts'

/** What checking one batch may cost, in steps of 25 to 50 ns: fifty milliseconds at most, where the machine is not busy. */
const BATCH_STEPS = 1_000_000
/** What it costs to take a record out of its batch, and each of its bytes out of JSON. */
const STEPS_PER_RECORD = 10
const STEPS_PER_BYTE = 0.25
/** A batch may have a million records, and an answer must not be larger than what it answers. */
const FAULTS_MAX = 100

/** A record that does not fit, copied out of its batch. */
export interface RejectedRecord {
  /** How many offsets behind the first of its batch. */
  readonly offsetDelta: number
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RecordHeader[]
  readonly fault: SchemaFault
}

/** The records that were taken out of a batch, to become dead letters when the rest is appended. */
export interface RejectedRecords {
  readonly schemaVersion: number
  readonly records: readonly RejectedRecord[]
  /** Whether nothing is left of the batch. */
  readonly isAll: boolean
}

/** A batch that is refused because of records that do not fit the schema of their topic. None of it is stored. */
export class SchemaViolation extends RecordsRefused {
  /** There is at least one fault. */
  constructor(faults: readonly RecordFault[]) {
    const [{ index, message }] = faults
    super('INVALID_RECORD', `Cannot append the batch: record ${index} does not fit the schema: ${message}`, faults)
  }
}

/**
 * Checks the records of batches against the schema of their topic. Topics without one pay for looking that up; where no
 * topic has one, not even that.
 */
export class SchemaGate {
  readonly #schemas: TopicSchemas
  readonly #clock: Clock
  readonly #metrics: Metrics
  readonly #unpackedBytesMax: number
  /** By the batch that is left. Whoever appends that takes them. */
  readonly #rejected = new WeakMap<Buffer, RejectedRecords>()

  constructor(parts: {
    readonly schemas: TopicSchemas
    readonly clock: Clock
    readonly metrics: Metrics
    /** The most that the records of one batch may grow to when they are decompressed. */
    readonly unpackedBytesMax?: number | undefined
  }) {
    this.#schemas = parts.schemas
    this.#clock = parts.clock
    this.#metrics = parts.metrics
    this.#unpackedBytesMax = parts.unpackedBytesMax ?? UNPACKED_BYTES_MAX
  }

  /**
   * Returns what is to be appended: the batch itself, or in mode `dlq` another one without the records that do not fit.
   * Offsets and sequence numbers of the others stay as if these were there.
   *
   * @throws SchemaViolation in mode `reject`, and for a transaction in mode `dlq`, which cannot
   * take part of a batch; BrokerError INVALID_RECORD if the records are malformed, MESSAGE_TOO_LARGE if checking them all
   * would take too long, UNSUPPORTED_COMPRESSION_TYPE if a codec's library does not load
   */
  check(batch: Buffer, log: PartitionLog, config: Pick<LogConfig, 'cleanupPolicy'>): Buffer {
    if (this.#schemas.isEmpty) return batch
    const schema = this.#schemas.get(log.topic)
    if (schema === undefined) return batch
    const startedAtMs = this.#clock.monotonic()
    try {
      const run = new BatchRun(schema, isCompacted(config))
      return schema.mode === 'dlq' && !isTransactional(batch, 0)
        ? this.#thin(batch, schema, run)
        : this.#checkAll(batch, schema, run)
    } catch (error) {
      throw asInvalid(error)
    } finally {
      this.#metrics.schemaValidationDurationSeconds.observe((this.#clock.monotonic() - startedAtMs) / 1000)
    }
  }

  /** The records that were taken out of a batch. */
  rejectedOf(batch: Buffer): RejectedRecords | undefined {
    return this.#schemas.isEmpty ? undefined : this.#rejected.get(batch)
  }

  #checkAll(batch: Buffer, schema: ActiveSchema, run: BatchRun): Buffer {
    const reader = new RecordReader(this.#unpackedBytesMax)
    reader.open(batch, 0)
    const faults: RecordFault[] = []
    for (let index = 0; reader.next(); index++) {
      const fault = run.findFault(reader)
      if (fault !== undefined && faults.length < FAULTS_MAX) faults.push({ index, ...describe(fault, schema) })
    }
    run.count()
    if (faults.length === 0 || schema.mode === 'warn') return batch
    throw new SchemaViolation(faults)
  }

  #thin(batch: Buffer, schema: ActiveSchema, run: BatchRun): Buffer {
    const records: RejectedRecord[] = []
    const thinned = new BatchThinner(this.#unpackedBytesMax).thin(batch, 0, undefined, (reader) => {
      const fault = run.findFault(reader)
      if (fault === undefined) return true
      records.push(copyRecord(reader, fault))
      return false
    })
    run.count()
    if (thinned.kind === 'whole') return batch
    if (thinned.kind === 'unwritable') {
      throw new BrokerError(
        'UNSUPPORTED_COMPRESSION_TYPE',
        `Cannot take records out of a batch of ${String(getCodec(batch, 0))}: its library does not load`,
      )
    }
    const isAll = thinned.kind === 'nothing'
    const left = isAll ? emptyBatch(batch, 0) : Buffer.from(thinned.batch)
    this.#rejected.set(left, { schemaVersion: schema.version, records, isAll })
    return left
  }
}

/** The checking of one batch. */
class BatchRun {
  readonly #schema: ActiveSchema
  readonly #takesTombstones: boolean
  #stepsLeft = BATCH_STEPS
  #valid = 0
  #invalid = 0

  constructor(schema: ActiveSchema, takesTombstones: boolean) {
    this.#schema = schema
    this.#takesTombstones = takesTombstones
  }

  /** @throws BrokerError MESSAGE_TOO_LARGE when the batch has cost what one may */
  findFault(record: RecordReader): SchemaFault | undefined {
    const { value } = record
    // What is too large is not looked at.
    const bytes = value === null || value.length > VALUE_LIMITS.bytesMax ? 0 : value.length
    this.#stepsLeft -= STEPS_PER_RECORD + bytes * STEPS_PER_BYTE
    if (this.#stepsLeft < 0) {
      throw new BrokerError(
        'MESSAGE_TOO_LARGE',
        'Cannot check the batch against the schema: it takes more work than one batch may cost; send smaller batches',
      )
    }
    const budget = new WorkBudget(RECORD_STEPS)
    const fault =
      value === null && this.#takesTombstones ? undefined : findSchemaFault(value, this.#schema.compiled, budget)
    this.#stepsLeft -= RECORD_STEPS - Math.max(0, budget.left)
    if (fault === undefined) this.#valid++
    else this.#invalid++
    return fault
  }

  /** Adds the records to the metrics. */
  count(): void {
    const { counts } = this.#schema
    counts.valid += this.#valid
    counts.invalid += this.#invalid
  }
}

function describe(fault: SchemaFault, { version }: ActiveSchema): Omit<RecordFault, 'index'> {
  const { pointer, reason } = fault
  return { pointer, reason, message: `${toSentence(fault)} (schema version ${version})` }
}

function copyRecord(reader: RecordReader, fault: SchemaFault): RejectedRecord {
  const { key, value, headers, timestamp, offset } = reader
  return {
    // The batch has no offset yet: its own is 0.
    offsetDelta: offset,
    timestamp,
    key: key === null ? null : Buffer.from(key),
    value: value === null ? null : Buffer.from(value),
    headers: headers.map((header) => ({
      key: header.key,
      value: header.value === null ? null : Buffer.from(header.value),
    })),
    fault,
  }
}
