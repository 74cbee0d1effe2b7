import { BrokerError } from '../base/broker-error.ts'
import type { BrokerErrorName } from '../base/broker-error.ts'
import type { Clock } from '../base/clock.ts'
import { isCompacted } from '../log/log-engine.ts'
import type { LogConfig } from '../log/log-engine.ts'
import type { HeaderChanges } from '../record/record-batch.ts'
import {
  changeBatchHeader,
  CodecError,
  getBaseTimestamp,
  getCodec,
  getMaxTimestamp,
  RecordReader,
  repackRecords,
  UNPACKED_BYTES_MAX,
} from '../record/record-batch.ts'

/** What is wrong with one record of a refused batch. */
export interface RecordFault {
  /** Which record of the batch, from 0. */
  readonly index: number
  readonly message: string
  /** Where in its value, as a JSON Pointer; only when the value is to blame. */
  readonly pointer?: string
  /** A short word for why, likewise. */
  readonly reason?: string
}

/** A batch that is refused because of single records. None of it is stored. */
export class RecordsRefused extends BrokerError {
  /** The first ones at least. */
  readonly faults: readonly RecordFault[]

  constructor(code: BrokerErrorName, message: string, faults: readonly RecordFault[]) {
    super(code, message)
    this.faults = faults
  }
}

/** A batch may have a million records, and an answer must not be larger than what it answers. */
const FAULTS_MAX = 100
/**
 * Clients have the largest timestamp right, with one exception: kafkajs compares timestamps as texts. That comes to the
 * same as long as all have as many digits, which those from 2001 to 2286 have: 13. Only smaller ones are looked at.
 */
const SUSPECT_BELOW_MS = 1e12
const NO_TIMESTAMP = -1

/**
 * What happens to a batch between the door and the log: whatever the settings of its topic ask for. Most topics ask for
 * nothing; then the batch is not looked into and nothing is allocated.
 */
export class BatchIntake {
  readonly #clock: Clock
  readonly #unpackedBytesMax: number

  /** `unpackedBytesMax` is the most that the records of one batch may grow to when they are decompressed. */
  constructor(clock: Clock, unpackedBytesMax = UNPACKED_BYTES_MAX) {
    this.#clock = clock
    this.#unpackedBytesMax = unpackedBytesMax
  }

  /**
   * Returns what is to be appended: the batch itself, changed where it lies, or another one with its records compressed
   * anew. The batch is whole and its checksum is right.
   *
   * @throws RecordsRefused INVALID_TIMESTAMP, INVALID_RECORD; BrokerError INVALID_RECORD if the records must be looked into
   * and are malformed, UNSUPPORTED_COMPRESSION_TYPE if a codec's library does not load
   */
  take(batch: Buffer, config: LogConfig): Buffer {
    const isLogAppendTime = config.timestampType === 'LogAppendTime'
    const isLimited = !isLogAppendTime && (config.timestampBeforeMaxMs >= 0 || config.timestampAfterMaxMs >= 0)
    const claimed = getMaxTimestamp(batch, 0)
    const isSuspect = !isLogAppendTime && (claimed < SUSPECT_BELOW_MS || claimed < getBaseTimestamp(batch, 0))
    let changes: HeaderChanges | undefined
    if (isLimited || isSuspect || isCompacted(config)) {
      const maxTimestamp = this.#checkRecords(batch, config, isLimited)
      if (!isLogAppendTime && maxTimestamp !== claimed) changes = { maxTimestamp }
    }
    if (isLogAppendTime) changes = { maxTimestamp: this.#clock.now(), isLogAppendTime }
    const { compression } = config
    let taken = batch
    if (compression !== 'producer' && compression !== getCodec(batch, 0)) {
      taken = this.#repack(batch, config)
      changes = { ...changes, codec: compression }
    }
    if (changes !== undefined) changeBatchHeader(taken, changes)
    return taken
  }

  /** Looks at each record; returns the largest timestamp. */
  #checkRecords(batch: Buffer, config: LogConfig, isLimited: boolean): number {
    const needsKeys = isCompacted(config)
    const now = isLimited ? this.#clock.now() : 0
    const keyless: RecordFault[] = []
    const untimely: RecordFault[] = []
    let maxTimestamp = NO_TIMESTAMP
    const reader = new RecordReader(this.#unpackedBytesMax)
    try {
      reader.open(batch, 0)
      for (let index = 0; reader.next(); index++) {
        if (reader.timestamp > maxTimestamp) maxTimestamp = reader.timestamp
        if (needsKeys && reader.keyStart < 0) {
          noteFault(keyless, index, 'it has no key, which compaction goes by')
        } else if (isLimited && reader.timestamp !== NO_TIMESTAMP) {
          const fault = findTimeFault(reader.timestamp, now, config)
          if (fault !== undefined) noteFault(untimely, index, fault)
        }
      }
    } catch (error) {
      throw asInvalid(error)
    }
    if (keyless.length > 0) throw refuseRecords('INVALID_RECORD', [...keyless, ...untimely])
    if (untimely.length > 0) throw refuseRecords('INVALID_TIMESTAMP', untimely)
    return maxTimestamp
  }

  #repack(batch: Buffer, { compression, gzipLevel, zstdLevel }: LogConfig): Buffer {
    const codec = compression === 'producer' ? 'none' : compression
    const level = codec === 'gzip' ? gzipLevel : codec === 'zstd' ? zstdLevel : undefined
    try {
      return repackRecords(batch, { codec, level }, this.#unpackedBytesMax)
    } catch (error) {
      throw asInvalid(error)
    }
  }
}

function findTimeFault(
  timestamp: number,
  now: number,
  { timestampBeforeMaxMs, timestampAfterMaxMs }: LogConfig,
): string | undefined {
  if (timestampBeforeMaxMs >= 0 && now - timestamp > timestampBeforeMaxMs) {
    return `its timestamp is ${timestamp}, more than ${timestampBeforeMaxMs} ms before the broker's time (message.timestamp.before.max.ms)`
  }
  if (timestampAfterMaxMs >= 0 && timestamp - now > timestampAfterMaxMs) {
    return `its timestamp is ${timestamp}, more than ${timestampAfterMaxMs} ms after the broker's time (message.timestamp.after.max.ms)`
  }
  return undefined
}

/** Adds what is wrong with a record, unless enough is known already. */
export function noteFault(faults: RecordFault[], index: number, message: string): void {
  if (faults.length < FAULTS_MAX) faults.push({ index, message })
}

/** The refusal of a batch because of some of its records, of which there is at least one. */
export function refuseRecords(code: BrokerErrorName, faults: readonly RecordFault[]): RecordsRefused {
  const sorted = faults.toSorted((one, other) => one.index - other.index).slice(0, FAULTS_MAX)
  const [first] = sorted
  return new RecordsRefused(code, `Cannot append the batch: record ${first.index} is refused: ${first.message}`, sorted)
}

/** What is damaged in a batch whose checksum is right was sent so: sending it again does not help. */
export function asInvalid(error: unknown): unknown {
  const isDamage = error instanceof CodecError || (error instanceof BrokerError && error.code === 'CORRUPT_MESSAGE')
  if (!isDamage) return error
  return new BrokerError('INVALID_RECORD', `Cannot append the batch: ${error.message}`, { cause: error })
}
