import type { Clock } from '../base/clock.ts'
import { BrokerError } from '../base/broker-error.ts'
import { DELAY_HEADER, DUE_AT_HEADER } from '../delay/delay-options.ts'
import type { NewSchedule } from '../delay/delay-queue.ts'
import type { LogConfig } from '../log/log-engine.ts'
import type { RecordHeader } from '../record/record-batch.ts'
import {
  BatchThinner,
  emptyBatch,
  getCodec,
  getProducerId,
  isTransactional,
  mayHaveHeader,
  RecordBatchBuilder,
  RecordReader,
  UNPACKED_BYTES_MAX,
} from '../record/record-batch.ts'
import type { RecordFault } from './batch-intake.ts'
import { asInvalid, noteFault, refuseRecords } from './batch-intake.ts'

/** A batch some of whose records are to be delivered later. */
export interface DividedBatch {
  /**
   * The batch with the other records, each at the offset that it has among all. Undefined when there is nothing to append:
   * no other records, and no producer whose sequence has to go on.
   */
  readonly now: Buffer | undefined
  readonly later: readonly NewSchedule[]
}

/** What both headers begin with, and hardly any other. */
const HEADERS_BEGIN = Buffer.from('cafelog-d')
/** What delivery adds to a record, at most. */
const DELIVERY_BYTES = 128
const DIGITS = /^\d{1,16}$/

/** Finds the records that are to wait, and takes them out of their batches. */
export class DelayedRecords {
  readonly #reader: RecordReader
  readonly #thinner: BatchThinner
  readonly #builder = new RecordBatchBuilder()

  /** `unpackedBytesMax` is the most that the records of one batch may grow to when they are decompressed. */
  constructor(unpackedBytesMax = UNPACKED_BYTES_MAX) {
    this.#reader = new RecordReader(unpackedBytesMax)
    this.#thinner = new BatchThinner(unpackedBytesMax)
  }

  /**
   * Divides a batch that its topic would take. Undefined when all of its records are to be appended now, as of nearly all
   * batches; then nothing was allocated, unless it had to be decompressed to see that.
   *
   * @throws RecordsRefused INVALID_RECORD, INVALID_TIMESTAMP; BrokerError MESSAGE_TOO_LARGE, UNSUPPORTED_COMPRESSION_TYPE
   */
  divide(batch: Buffer, partition: number, config: LogConfig, clock: Clock): DividedBatch | undefined {
    if (!config.delayEnable || !this.#mayBeDelayed(batch)) return undefined
    try {
      return this.#divide(batch, partition, config, clock.now())
    } catch (error) {
      throw asInvalid(error)
    } finally {
      this.#reader.close()
    }
  }

  #divide(batch: Buffer, partition: number, config: LogConfig, now: number): DividedBatch | undefined {
    const later: NewSchedule[] = []
    const offsets = new Set<number>()
    const faults: RecordFault[] = []
    const reader = this.#reader
    let isTooFar = false
    // The batch of an idempotent producer may come again, when more of it is due. It must be divided as it was before: its two
    // parts are kept in two places, each of which knows by itself that it has its part already.
    const isIdempotent = getProducerId(batch, 0) >= 0
    reader.open(batch, 0)
    for (let index = 0; reader.next(); index++) {
      if (reader.headerCount === 0) continue
      const { headers } = reader
      const due = readDue(headers, now)
      if (due === undefined) continue
      if (typeof due === 'string') {
        noteFault(faults, index, due)
      } else if (isIdempotent ? due.given > 0 : due.atMs > now) {
        const tooFar = findDueFault(due.atMs, now, config)
        isTooFar ||= tooFar !== undefined
        if (tooFar !== undefined) noteFault(faults, index, tooFar)
        if (isTransactional(batch, 0)) noteFault(faults, index, 'it asks for delay, which no transaction can have')
        if (faults.length > 0) continue
        offsets.add(reader.offset)
        const { key, value, timestamp } = reader
        later.push({
          partition,
          dueAtMs: Math.max(due.atMs, now),
          batch: this.pack(key, value, timestamp, headers, config),
        })
      }
    }
    if (faults.length > 0) throw refuseRecords(isTooFar ? 'INVALID_TIMESTAMP' : 'INVALID_RECORD', faults)
    if (later.length === 0) return undefined
    return { now: this.#without(batch, offsets), later }
  }

  /**
   * A record as it will be appended, but for the headers of its delivery: alone in a batch, without the headers by which it
   * asked for delay. The bytes are copied.
   *
   * @throws BrokerError MESSAGE_TOO_LARGE
   */
  pack(
    key: Buffer | null,
    value: Buffer | null,
    timestamp: number,
    headers: readonly RecordHeader[],
    { batchBytesMax }: LogConfig,
  ): Buffer {
    const builder = this.#builder
    builder.begin()
    builder.add(key, value, timestamp, headers.filter(isOther))
    const batch = Buffer.from(builder.finish())
    builder.reset()
    if (batch.length + DELIVERY_BYTES <= batchBytesMax) return batch
    throw new BrokerError(
      'MESSAGE_TOO_LARGE',
      `Cannot delay a record of ${batch.length} bytes: at most ${batchBytesMax - DELIVERY_BYTES} (max.message.bytes, less what delivery adds)`,
    )
  }

  #mayBeDelayed(batch: Buffer): boolean {
    if (getCodec(batch, 0) === 'none') return mayHaveHeader(batch, HEADERS_BEGIN)
    const reader = this.#reader
    try {
      reader.open(batch, 0)
      return reader.next() && reader.buffer.includes(HEADERS_BEGIN)
    } catch (error) {
      // What cannot be read is not looked into. Whoever reads it will be told.
      if (error instanceof BrokerError) return false
      throw error
    } finally {
      reader.close()
    }
  }

  #without(batch: Buffer, offsets: ReadonlySet<number>): Buffer | undefined {
    const thinned = this.#thinner.thin(batch, 0, undefined, (record) => !offsets.has(record.offset))
    switch (thinned.kind) {
      case 'thinned':
        return Buffer.from(thinned.batch)
      case 'nothing':
        return getProducerId(batch, 0) < 0 ? undefined : emptyBatch(batch, 0)
      case 'unwritable':
      case 'whole':
        throw new BrokerError(
          'UNSUPPORTED_COMPRESSION_TYPE',
          `Cannot take delayed records out of a batch that is compressed with ${getCodec(batch, 0)}: it cannot be written here`,
        )
    }
  }
}

/** What is wrong with the time at which a record is to be due, if anything. */
export function findDueFault(dueAtMs: number, now: number, { delayMaxMs }: LogConfig): string | undefined {
  if (delayMaxMs < 0 || dueAtMs - now <= delayMaxMs) return undefined
  return `it is due in ${dueAtMs - now} ms: at most ${delayMaxMs} ms ahead is taken (cafelog.delay.max.ms)`
}

/** When a record is to be delivered. */
export interface Due {
  /** Unix milliseconds. */
  readonly atMs: number
  /** The number in the header. */
  readonly given: number
}

/** Undefined when the record does not ask for delay; text that says why it cannot be had. */
export function readDue(headers: readonly RecordHeader[], now: number): Due | string | undefined {
  let due: Due | undefined
  for (const { key, value } of headers) {
    if (key !== DUE_AT_HEADER && key !== DELAY_HEADER) continue
    const text = value?.toString('latin1') ?? ''
    const wanted = key === DUE_AT_HEADER ? 'milliseconds since 1970' : 'milliseconds from now'
    const number = DIGITS.test(text) ? Number(text) : Number.NaN
    const moment = key === DUE_AT_HEADER ? number : now + number
    if (!Number.isSafeInteger(moment)) {
      return `its header ${key} is ${JSON.stringify(text.slice(0, 40))}: ${wanted} in decimal digits are needed`
    }
    if (due !== undefined) return `it has more than one of the headers ${DUE_AT_HEADER} and ${DELAY_HEADER}`
    due = { atMs: moment, given: number }
  }
  return due
}

function isOther({ key }: RecordHeader): boolean {
  return key !== DUE_AT_HEADER && key !== DELAY_HEADER
}
