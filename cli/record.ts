import { isUtf8 } from 'node:buffer'
import type { FetchedRecord, ProduceRecord } from '../src/protocols/json/wire.ts'

/** A record as the commands handle it: bytes, and where it lies. */
export interface LogRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** Unix milliseconds. */
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly Header[]
}

export interface Header {
  readonly key: string
  readonly value: Buffer | null
}

/** A record on its way to the broker. */
export interface NewRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly Header[]
  readonly timestamp?: number
  readonly dueAt?: number
  /** Where its line says it belongs; used only when asked for. */
  readonly partition?: number
}

/** A record of a FETCH answer. */
export function fromWire(topic: string, partition: number, record: FetchedRecord): LogRecord {
  return {
    topic,
    partition,
    offset: record.offset,
    timestamp: record.ts,
    key: fromBase64(record.key),
    value: fromBase64(record.value),
    headers: record.headers?.map((header) => ({ key: header.key, value: fromBase64(header.value) })) ?? [],
  }
}

/** A record of a PRODUCE request. */
export function toWire(record: NewRecord): ProduceRecord {
  return {
    key: toBase64(record.key),
    value: toBase64(record.value),
    ...(record.timestamp === undefined ? {} : { ts: record.timestamp }),
    ...(record.dueAt === undefined ? {} : { dueAt: record.dueAt }),
    ...(record.headers.length === 0
      ? {}
      : { headers: record.headers.map((header) => ({ key: header.key, value: toBase64(header.value) })) }),
  }
}

function fromBase64(text: string | null | undefined): Buffer | null {
  return text === null || text === undefined ? null : Buffer.from(text, 'base64')
}

function toBase64(bytes: Buffer | null): string | null {
  return bytes === null ? null : bytes.toString('base64')
}

/** The text that the bytes are, or undefined when they are not UTF-8. */
export function textOf(bytes: Buffer): string | undefined {
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined
}
