import {
  getBaseOffset,
  getBatchBytes,
  getBatchRecords,
  getCodec,
  getLastOffsetDelta,
  isControlBatch,
  unpackRecordsLater,
} from './record-batch.ts'

/** The decompressed records of batches, by the position of their batch. */
export type UnpackedRecords = ReadonlyMap<number, Buffer>

/** A round through the thread pool costs 50 µs: less than what so many bytes take to be decompressed. */
const LARGE_BYTES_MIN = 32 * 1024
/** An answer holds about so many bytes of records; what does not fit is decompressed when it is asked for. */
const ENOUGH_BYTES = 8 * 1024 * 1024
/** Each may hold a whole batch of decompressed records. Beyond them, the encoder decompresses by itself. */
const IN_FLIGHT_MAX = 4

/**
 * Decompresses large batches in the thread pool, before they are encoded: gzip takes some 5 ms for each megabyte, in which
 * nobody else would be answered. Codecs that are quick, or that only the main thread has, are left to the encoder; so are
 * batches that are damaged, which it then complains of.
 */
export class AheadUnpacker {
  readonly #unpackedBytesMax: number
  #inFlight = 0
  #last: { readonly batches: Buffer; readonly fromOffset: number; readonly done: Promise<UnpackedRecords> } | undefined

  /** `unpackedBytesMax` is the most that the records of one batch may grow to. */
  constructor(unpackedBytesMax: number) {
    this.#unpackedBytesMax = unpackedBytesMax
  }

  /**
   * Decompresses what is worth it of `batches`, from `fromOffset` on; undefined if there is nothing. The batches must stay
   * as they are until then. Consumers that were woken together have the same batches, which are decompressed once.
   */
  unpack(batches: Buffer, fromOffset: number): Promise<UnpackedRecords> | undefined {
    if (this.#last?.batches === batches && this.#last.fromOffset === fromOffset) return this.#last.done
    if (this.#inFlight >= IN_FLIGHT_MAX || !hasLargeOnes(batches, fromOffset)) return undefined
    this.#inFlight++
    const done = this.#unpackEach(batches, fromOffset).finally(() => {
      this.#inFlight--
      if (this.#last?.done === done) this.#last = undefined
    })
    this.#last = { batches, fromOffset, done }
    return done
  }

  async #unpackEach(batches: Buffer, fromOffset: number): Promise<UnpackedRecords> {
    const unpacked = new Map<number, Buffer>()
    let bytes = 0
    for (let at = 0; at < batches.length && bytes < ENOUGH_BYTES; at += getBatchBytes(batches, at)) {
      const codec = getCodec(batches, at)
      if (codec === undefined || !isLarge(batches, at, fromOffset)) continue
      try {
        const records = await unpackRecordsLater(codec, getBatchRecords(batches, at), this.#unpackedBytesMax)
        if (records === undefined) continue
        unpacked.set(at, records)
        bytes += records.length
      } catch {
        break
      }
    }
    return unpacked
  }
}

function hasLargeOnes(batches: Buffer, fromOffset: number): boolean {
  for (let at = 0; at < batches.length; at += getBatchBytes(batches, at)) {
    if (isLarge(batches, at, fromOffset)) return true
  }
  return false
}

function isLarge(batches: Buffer, at: number, fromOffset: number): boolean {
  const codec = getCodec(batches, at)
  if (codec !== 'gzip' && codec !== 'zstd') return false
  const isWanted = getBaseOffset(batches, at) + getLastOffsetDelta(batches, at) >= fromOffset
  return isWanted && !isControlBatch(batches, at) && getBatchBytes(batches, at) >= LARGE_BYTES_MIN
}
