import { assert } from '../base/assert.ts'
import { viewBytes } from '../base/bytes.ts'
import type { ViewedBytes } from '../base/bytes.ts'
import { varintBytes, writeVarint } from '../base/varint.ts'
import { BATCH_HEADER_BYTES, writeBatchHeader } from './batch-header.ts'
import type { BatchProducer, RecordHeader } from './batch-header.ts'

const NO_HEADERS: readonly RecordHeader[] = []
const ARENA_BYTES_MIN = 64 * 1024
/** An arena that had to grow beyond this is let go at the next `reset`. */
const ARENA_BYTES_KEPT = 16 * 1024 * 1024
/** Room for the parts of a record that are neither key, value nor headers, at their longest. */
const RECORD_OVERHEAD_BYTES_MAX = 40

/**
 * Makes record batches: `begin`, `add` for each record, `finish`. Uncompressed, without producer id unless one is given,
 * timestamps as the records say them, base offset 0, leader epoch -1.
 *
 * Batches are written one behind the other into an arena. A finished batch stays as it is until `reset`, which the owner
 * calls when the log has written everything it was given: at the start of a turn of the event loop, not between two
 * batches. When the arena is full a new one is taken; batches in the old one stay where they are.
 */
export class RecordBatchBuilder {
  #arena: ViewedBytes
  #start = 0
  #at = 0
  #isOpen = false
  #recordCount = 0
  #baseTimestamp = 0
  #maxTimestamp = 0

  constructor(arenaBytes = ARENA_BYTES_MIN) {
    this.#arena = viewBytes(Buffer.allocUnsafeSlow(Math.max(arenaBytes, BATCH_HEADER_BYTES)))
  }

  /** How many records the open batch has. */
  get recordCount(): number {
    return this.#recordCount
  }

  /** The size that the open batch would have if it were finished now. */
  get sizeBytes(): number {
    return this.#isOpen ? this.#at - this.#start : 0
  }

  /** Opens a batch; the one before must be finished or abandoned. */
  begin(): void {
    assert(!this.#isOpen, 'a record batch must be finished before the next one begins')
    this.#isOpen = true
    this.#start = this.#at
    this.#recordCount = 0
    this.#reserve(BATCH_HEADER_BYTES)
    this.#at += BATCH_HEADER_BYTES
  }

  /**
   * Copies one record into the open batch. `timestamp` is Unix milliseconds, -1 for none; the times of a batch lie within
   * 2^53 of each other.
   */
  add(
    key: Buffer | null,
    value: Buffer | null,
    timestamp: number,
    headers: readonly RecordHeader[] = NO_HEADERS,
  ): void {
    const keyBytes = key === null ? -1 : key.length
    const valueBytes = value === null ? -1 : value.length
    const headersBytes = headers.length === 0 ? 1 : countHeadersBytes(headers)
    let at = this.#beginRecord(keyBytes, valueBytes, headersBytes, timestamp)
    const arena = this.#arena.buffer
    at = writeVarint(arena, at, keyBytes)
    if (key !== null) at += key.copy(arena, at)
    at = writeVarint(arena, at, valueBytes)
    if (value !== null) at += value.copy(arena, at)
    this.#at = writeHeaders(arena, at, headers)
  }

  /**
   * `add` without a view for key and value: they lie in `source` from their start to before their end, and a start of -1
   * stands for null.
   */
  addSlices(
    source: ViewedBytes,
    keyStart: number,
    keyEnd: number,
    valueStart: number,
    valueEnd: number,
    timestamp: number,
    headers: readonly RecordHeader[] = NO_HEADERS,
  ): void {
    const keyBytes = keyStart < 0 ? -1 : keyEnd - keyStart
    const valueBytes = valueStart < 0 ? -1 : valueEnd - valueStart
    const headersBytes = headers.length === 0 ? 1 : countHeadersBytes(headers)
    let at = this.#beginRecord(keyBytes, valueBytes, headersBytes, timestamp)
    const arena = this.#arena.buffer
    at = writeVarint(arena, at, keyBytes)
    if (keyBytes > 0) at = copyBytes(source, keyStart, keyEnd, this.#arena, at)
    at = writeVarint(arena, at, valueBytes)
    if (valueBytes > 0) at = copyBytes(source, valueStart, valueEnd, this.#arena, at)
    this.#at = writeHeaders(arena, at, headers)
  }

  /** Completes the open batch and returns it: a view of the arena, which stays as it is until `reset`. */
  finish(producer?: BatchProducer): Buffer {
    assert(this.#isOpen && this.#recordCount > 0, 'only an open record batch with records can be finished')
    const arena = this.#arena.buffer
    const start = this.#start
    const end = this.#at
    writeBatchHeader(arena, start, end, {
      recordCount: this.#recordCount,
      baseTimestamp: this.#baseTimestamp,
      maxTimestamp: this.#maxTimestamp,
      ...producer,
    })
    this.#isOpen = false
    this.#recordCount = 0
    return arena.subarray(start, end)
  }

  /** Drops the open batch, if there is one. */
  abandon(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#recordCount = 0
    this.#at = this.#start
  }

  /** Takes the arena back: every batch finished so far is about to be overwritten. */
  reset(): void {
    assert(!this.#isOpen, 'the arena cannot be reset under an open record batch')
    this.#at = 0
    if (this.#arena.buffer.length > ARENA_BYTES_KEPT) this.#arena = viewBytes(Buffer.allocUnsafeSlow(ARENA_BYTES_MIN))
  }

  /** Writes the record up to its offset delta, makes sure of the room for all of it, and returns where to go on. */
  #beginRecord(keyBytes: number, valueBytes: number, headersBytes: number, timestamp: number): number {
    assert(this.#isOpen, 'a record needs an open record batch')
    const index = this.#recordCount
    if (index === 0) {
      this.#baseTimestamp = timestamp
      this.#maxTimestamp = timestamp
    } else if (timestamp > this.#maxTimestamp) {
      this.#maxTimestamp = timestamp
    }
    this.#recordCount = index + 1
    const timestampDelta = timestamp - this.#baseTimestamp
    assert(Number.isSafeInteger(timestampDelta), 'timestamps of a record batch must be within 2^53 of each other')
    const contentBytes = Math.max(keyBytes, 0) + Math.max(valueBytes, 0) + headersBytes
    this.#reserve(contentBytes + RECORD_OVERHEAD_BYTES_MAX)
    const arena = this.#arena.buffer
    const recordBytes =
      1 +
      varintBytes(timestampDelta) +
      varintBytes(index) +
      varintBytes(keyBytes) +
      varintBytes(valueBytes) +
      contentBytes
    let at = writeVarint(arena, this.#at, recordBytes)
    arena[at++] = 0
    at = writeVarint(arena, at, timestampDelta)
    return writeVarint(arena, at, index)
  }

  /** Makes sure of `bytes` more. The open batch may move to a larger arena; finished ones keep the old one alive. */
  #reserve(bytes: number): void {
    const before = this.#arena.buffer
    if (this.#at + bytes <= before.length) return
    const openBytes = this.#at - this.#start
    let arenaBytes = Math.min(before.length * 2, ARENA_BYTES_KEPT)
    while (arenaBytes < openBytes + bytes) arenaBytes *= 2
    const arena = Buffer.allocUnsafeSlow(arenaBytes)
    before.copy(arena, 0, this.#start, this.#at)
    this.#arena = viewBytes(arena)
    this.#start = 0
    this.#at = openBytes
  }
}

function countHeadersBytes(headers: readonly RecordHeader[]): number {
  let bytes = varintBytes(headers.length)
  for (const { key, value } of headers) {
    const keyBytes = Buffer.byteLength(key)
    bytes += varintBytes(keyBytes) + keyBytes
    bytes += value === null ? 1 : varintBytes(value.length) + value.length
  }
  return bytes
}

function writeHeaders(arena: Buffer, start: number, headers: readonly RecordHeader[]): number {
  let at = writeVarint(arena, start, headers.length)
  for (const { key, value } of headers) {
    at = writeVarint(arena, at, Buffer.byteLength(key))
    at += arena.write(key, at)
    at = writeVarint(arena, at, value === null ? -1 : value.length)
    if (value !== null) at += value.copy(arena, at)
  }
  return at
}

/** Up to so many bytes a loop is quicker than a call. */
const COPIED_BY_LOOP_BYTES_MAX = 160

/** Copies the bytes and returns the position behind them. */
function copyBytes(source: ViewedBytes, start: number, end: number, target: ViewedBytes, at: number): number {
  if (end - start > COPIED_BY_LOOP_BYTES_MAX) return at + source.buffer.copy(target.buffer, at, start, end)
  const from = source.view
  const into = target.view
  for (; start + 4 <= end; start += 4, at += 4) into.setInt32(at, from.getInt32(start))
  for (; start < end; start++, at++) into.setUint8(at, from.getUint8(start))
  return at
}
