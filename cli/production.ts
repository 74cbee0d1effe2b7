import { closeSync, openSync, writeSync } from 'node:fs'
import { systemClock } from '../src/base/clock.ts'
import type { ProducedPartition, ScheduledRecord } from '../src/protocols/json/wire.ts'
import { BrokerRefusal, ConnectionFailure, type JsonConnection } from '../client/json-connection.ts'
import { fromEnvelope } from './envelope.ts'
import { brokerUnreachable, CliFailure, toCliFailure, usageFailure, type ExitCode } from './failure.ts'
import { splitLines } from './lines.ts'
import { counted, groupDigits, humanBytes, humanDuration } from './numbers.ts'
import { localTime } from './moment.ts'
import { printRows } from './output.ts'
import type { RecordFormatter } from './record-format.ts'
import { RecordSender, type InputRecord } from './record-sender.ts'
import type { Header, NewRecord } from './record.ts'
import type { Session } from './session.ts'

/** Key, value and headers of a record as they fit into a frame of 10 MiB as base64. */
const RECORD_BYTES_MAX = 7 * 1024 * 1024
/** Bytes of records in one request, unless one record alone is more. */
const BATCH_BYTES_MAX = 1024 * 1024
/** Records in one request, unless --batch says otherwise. */
export const BATCH_RECORDS = 1_000
/** A person wants to see where records went, but not a million times. */
const LINES_SHOWN_MAX = 20
const FAILURES_SHOWN_MAX = 5

/** The options of `produce`. */
export interface ProduceOptions {
  readonly key?: string
  readonly value?: string
  readonly tombstone?: boolean
  readonly partition?: number
  readonly keepPartition?: boolean
  readonly header?: readonly Header[]
  readonly file?: string
  readonly input?: 'lines' | 'jsonl' | 'raw'
  readonly keyDelimiter?: string
  readonly acks?: 'all' | '0' | '1'
  readonly batch?: number
  readonly report?: RecordFormatter
  readonly failed?: string
  readonly at?: number
  readonly delay?: number
  /** What these two come to: when records are due that do not say it themselves, Unix milliseconds. */
  readonly dueAt?: number
}

/** Where records come from: a stream of input, the value of one record, or null for one record without a value. */
export type ProduceInput = (AsyncIterable<Buffer | string> & { destroy(): unknown }) | Buffer | null

/** One run of the command: from input to stored records, with the counts that its summary wants. */
export class Production {
  readonly #session: Session
  readonly #topic: string
  readonly #options: ProduceOptions
  readonly #key: Buffer | null
  readonly #headers: readonly Header[]
  readonly #batchRecordsMax: number
  /** Records not sent yet, by partition; -1 is the broker's choice. */
  readonly #waiting = new Map<number, { records: InputRecord[]; bytes: number }>()
  #lineNumber = 0
  #stored = 0
  #storedBytes = 0
  #failed = 0
  #linesShown = 0
  #failuresShown = 0
  #firstFailure: unknown
  #failedFile: number | undefined
  /** Set when going on makes no sense: the connection broke. */
  #fatal: unknown

  constructor(session: Session, topic: string, options: ProduceOptions) {
    this.#session = session
    this.#topic = topic
    this.#options = options
    this.#key = options.key === undefined ? null : Buffer.from(options.key)
    this.#headers = options.header ?? []
    // The answer to several records of several keys does not say which went where.
    const isReportedSingly = options.report !== undefined && options.partition === undefined
    this.#batchRecordsMax = isReportedSingly ? 1 : (options.batch ?? BATCH_RECORDS)
  }

  async run(connection: JsonConnection, input: ProduceInput): Promise<ExitCode> {
    const startedAt = systemClock.monotonic()
    const interrupted = this.#session.takeInterrupts()
    const stop = () => {
      if (input !== null && 'destroy' in input) input.destroy()
    }
    interrupted.addEventListener('abort', stop)
    const { acks = 'all' } = this.#options
    const sender = new RecordSender(connection, this.#topic, acks === 'all' ? 'all' : acks === '1' ? 1 : 0, {
      stored: (batch, partitions, scheduled) => this.#onStored(batch, partitions, scheduled),
      failed: (batch, error) => {
        this.#onFailed(batch, error)
        if (this.#fatal !== undefined) stop()
      },
      idle: () => void this.#flush(sender).catch(() => undefined),
    })
    try {
      await this.#readAll(sender, input)
    } catch (error) {
      if (!interrupted.aborted && this.#fatal === undefined) throw error
    }
    await this.#finish(sender)
    await this.#summarize(systemClock.monotonic() - startedAt)
    if (this.#failedFile !== undefined) closeSync(this.#failedFile)
    this.#throwIfFailed()
    return interrupted.aborted ? 130 : 0
  }

  async #readAll(sender: RecordSender, input: ProduceInput) {
    if (input === null || Buffer.isBuffer(input))
      return this.#add(sender, this.#newRecord(input), input ?? Buffer.alloc(0))
    if (this.#options.input === 'raw') return this.#readRaw(sender, input)
    for await (const lines of splitLines(input, 2 * RECORD_BYTES_MAX)) {
      for (const line of lines) {
        this.#lineNumber++
        const record = this.#parse(line)
        if (record) await this.#add(sender, record, line)
      }
      // While earlier records are on their way, gather more of them: `idle` sends what has come together.
      if (sender.isIdle) await this.#flush(sender)
      if (this.#fatal !== undefined) return
    }
  }

  async #readRaw(sender: RecordSender, input: AsyncIterable<Buffer | string>) {
    const chunks: Buffer[] = []
    let bytes = 0
    for await (const chunk of input) {
      bytes += chunk.length
      if (bytes > RECORD_BYTES_MAX)
        throw usageFailure(`The input is longer than a record can be: ${RECORD_BYTES_MAX} bytes`)
      chunks.push(Buffer.from(chunk))
    }
    const value = Buffer.concat(chunks)
    await this.#add(sender, this.#newRecord(value), value)
  }

  #newRecord(value: Buffer | null, key = this.#key): NewRecord {
    const { dueAt } = this.#options
    return { key, value, headers: this.#headers, ...(dueAt !== undefined && { dueAt }) }
  }

  /** The record of a line; undefined when it is none, which has then been counted. */
  #parse(line: Buffer): NewRecord | undefined {
    try {
      if (this.#options.input === 'jsonl') {
        if (line.toString('latin1').trim() === '') return undefined
        const record = {
          ...(this.#options.dueAt !== undefined && { dueAt: this.#options.dueAt }),
          ...fromEnvelope(line.toString('utf8')),
        }
        return this.#headers.length === 0 ? record : { ...record, headers: [...record.headers, ...this.#headers] }
      }
      const { keyDelimiter } = this.#options
      if (keyDelimiter === undefined) return this.#newRecord(line)
      const end = line.indexOf(keyDelimiter)
      if (end < 0) throw new Error(`There is no ${JSON.stringify(keyDelimiter)} in it to end the key`)
      return this.#newRecord(line.subarray(end + Buffer.byteLength(keyDelimiter)), line.subarray(0, end))
    } catch (error) {
      this.#fail([line], error, `line ${this.#lineNumber}: `)
      return undefined
    }
  }

  async #add(sender: RecordSender, record: NewRecord, input: Buffer) {
    const bytes = recordBytes(record)
    if (bytes > RECORD_BYTES_MAX) {
      return this.#fail(
        [input],
        new Error(`It has ${bytes} bytes: a record can have ${RECORD_BYTES_MAX}`),
        `line ${this.#lineNumber}: `,
      )
    }
    const partition = this.#options.keepPartition === true ? (record.partition ?? -1) : (this.#options.partition ?? -1)
    let batch = this.#waiting.get(partition)
    if (batch && batch.bytes + bytes > BATCH_BYTES_MAX) {
      await this.#sendWaiting(sender, partition)
      batch = undefined
    }
    if (!batch) this.#waiting.set(partition, (batch = { records: [], bytes: 0 }))
    batch.records.push({ record, input })
    batch.bytes += bytes
    if (batch.records.length >= this.#batchRecordsMax) await this.#sendWaiting(sender, partition)
  }

  async #flush(sender: RecordSender) {
    for (const partition of this.#waiting.keys()) await this.#sendWaiting(sender, partition)
  }

  async #sendWaiting(sender: RecordSender, partition: number) {
    const batch = this.#waiting.get(partition)
    this.#waiting.delete(partition)
    if (batch) await sender.send(partition, batch.records)
  }

  async #finish(sender: RecordSender) {
    try {
      await this.#flush(sender)
      await sender.finish()
    } catch (error) {
      this.#fatal ??= error
    }
    if (this.#fatal !== undefined) {
      for (const { records } of this.#waiting.values()) this.#onFailed(records, this.#fatal)
    }
  }

  #onStored(
    batch: readonly InputRecord[],
    partitions: readonly ProducedPartition[],
    scheduled: readonly ScheduledRecord[],
  ) {
    this.#stored += batch.length
    for (const { record } of batch) this.#storedBytes += recordBytes(record)
    const { report } = this.#options
    if (report !== undefined) this.#report(report, batch, partitions)
    else if (this.#session.isTerminal && this.#session.output === 'table' && !this.#session.isQuiet)
      this.#show(partitions, scheduled)
  }

  #report(report: RecordFormatter, batch: readonly InputRecord[], [partition]: readonly ProducedPartition[]) {
    const place = { topic: this.#topic, partition: partition?.partition ?? -1 }
    const lines = batch.map(({ record }, index) => {
      const offset = partition === undefined ? -1 : partition.baseOffset + index
      return report({ ...record, ...place, offset, timestamp: record.timestamp ?? systemClock.now() })
    })
    void this.#session.write(Buffer.concat(lines))
  }

  #show(partitions: readonly ProducedPartition[], scheduled: readonly ScheduledRecord[]) {
    for (const { id, partition, dueAt } of scheduled) {
      if (this.#linesShown++ >= LINES_SHOWN_MAX) return
      const sign = this.#session.colors.green('✓')
      void this.#session.write(`${sign} ${this.#topic}/${partition} at ${localTime(dueAt)}  ${id}\n`)
    }
    for (const { partition, baseOffset, numRecords } of partitions) {
      if (numRecords === 0) continue
      if (this.#linesShown++ >= LINES_SHOWN_MAX) return
      const where = `${this.#session.colors.green('✓')} ${this.#topic}/${partition} @${baseOffset}`
      const range = numRecords === 1 ? '' : `–${baseOffset + numRecords - 1}  ${groupDigits(numRecords)} records`
      void this.#session.write(`${where}${range}\n`)
    }
  }

  #onFailed(batch: readonly InputRecord[], error: unknown) {
    if (error instanceof ConnectionFailure) this.#fatal ??= error
    // Of a batch for several partitions a part may be stored; which records these are the answer does not say.
    const stored = error instanceof BrokerRefusal ? (error.partitions ?? []) : []
    const storedCount = stored.reduce(
      (sum, partition) => sum + ('numRecords' in partition ? partition.numRecords : 0),
      0,
    )
    this.#stored += storedCount
    const which = batch.length === 1 ? '' : `${batch.length - storedCount} of ${batch.length} records: `
    this.#fail(
      batch.map(({ input }) => input),
      error,
      which,
      batch.length - storedCount,
    )
  }

  #fail(inputs: readonly Buffer[], error: unknown, which: string, count = inputs.length) {
    this.#firstFailure ??= error
    this.#failed += count
    const message = error instanceof Error ? error.message : String(error)
    if (!(error instanceof ConnectionFailure) && this.#failuresShown++ < FAILURES_SHOWN_MAX)
      this.#session.warn(`${which}${message}`)
    const { failed } = this.#options
    if (failed === undefined) return
    this.#failedFile ??= openSync(failed, 'w')
    for (const input of inputs) writeSync(this.#failedFile, Buffer.concat([input, Buffer.from('\n')]))
  }

  async #summarize(durationMs: number) {
    const perSecond = Math.round(this.#stored / Math.max(durationMs / 1_000, 0.001))
    if (this.#session.output !== 'table' && this.#session.output !== 'wide') {
      const row = {
        topic: this.#topic,
        records: this.#stored,
        bytes: this.#storedBytes,
        durationMs: Math.round(durationMs),
        errors: this.#failed,
      }
      const columns = (Object.keys(row) as (keyof typeof row)[]).map((title) => ({
        title,
        value: (from: typeof row) => from[title],
      }))
      return printRows(this.#session, [row], { columns, name: (from) => from.topic, document: row })
    }
    if (
      this.#session.isTerminal &&
      this.#linesShown <= LINES_SHOWN_MAX &&
      this.#linesShown === this.#stored &&
      this.#failed === 0
    )
      return
    this.#session.note(
      `${counted(this.#stored, 'record')}, ${humanBytes(this.#storedBytes)}, ${humanDuration(durationMs)}, ` +
        `${groupDigits(perSecond)}/s, ${counted(this.#failed, 'error')}`,
    )
  }

  /** @throws CliFailure */
  #throwIfFailed() {
    if (this.#fatal !== undefined) {
      const failure = toCliFailure(this.#fatal)
      if (failure.exitCode !== 5) throw failure
      throw brokerUnreachable(
        `${failure.message}; ${counted(this.#stored, 'record is', 'records are')} stored, ${groupDigits(this.#failed)} may or may not be`,
        this.#fatal,
      )
    }
    if (this.#failed === 0) return
    const reason = this.#firstFailure instanceof BrokerRefusal ? toCliFailure(this.#firstFailure) : undefined
    // A reason that holds for the whole topic says more than the count; one that lies in the records does not.
    if (reason && reason.exitCode !== 2 && this.#stored === 0) throw reason
    const { failed } = this.#options
    throw new CliFailure(
      4,
      'PARTIAL_FAILURE',
      `${groupDigits(this.#failed)} of ${groupDigits(this.#failed + this.#stored)} records were not stored`,
      [failed === undefined ? 'Keep their input next time:  --failed FILE' : `Their input is in ${failed}`],
    )
  }
}

function recordBytes(record: NewRecord): number {
  let bytes = (record.key?.length ?? 0) + (record.value?.length ?? 0)
  for (const { key, value } of record.headers) bytes += Buffer.byteLength(key) + (value?.length ?? 0)
  return bytes
}
