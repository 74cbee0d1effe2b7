import { systemClock, type Timer } from '../src/base/clock.ts'
import type { FetchedRecords } from '../src/protocols/json/wire.ts'
import { BrokerRefusal, type JsonConnection } from '../client/json-connection.ts'
import { call } from '../client/operations.ts'
import type { Assignment } from './assignment.ts'
import { CliFailure, type ExitCode } from './failure.ts'
import { counted, groupDigits } from './numbers.ts'
import { fromWire } from './record.ts'
import type { RecordFormatter } from './record-format.ts'
import type { Session } from './session.ts'
import { readTopics } from './topics.ts'

/**
 * Answers of one connection come in order, so a FETCH that waits holds up those behind it. Up to so many partitions get
 * a connection each, and wait side by side; more of them share, and the last of a round waits for all.
 */
const CONNECTIONS_MAX = 64
const WAIT_MS = 5_000
const SHARED_WAIT_MS = 250
const FETCH_BYTES = 1024 * 1024
const COMMIT_INTERVAL_MS = 1_000

export interface ConsumptionOptions {
  readonly printer: RecordFormatter
  /** Commits for this group. */
  readonly group: string | undefined
  readonly countMax: number | undefined
  readonly idleTimeoutMs: number | undefined
  readonly timeoutMs: number | undefined
}

/** Why reading ended. */
type End = 'complete' | 'idle' | 'interrupted' | 'timeout' | { readonly error: unknown }

/** Reads partitions side by side, prints what comes, and commits what was printed. */
export class Consumption {
  readonly #session: Session
  /** For commits: the others may be waiting for records. */
  readonly #connection: JsonConnection
  readonly #assignments: readonly Assignment[]
  readonly #options: ConsumptionOptions
  readonly #readers: JsonConnection[] = []
  #end: End | undefined
  #printed = 0
  #idleTimer: Timer | undefined
  #commitTimer: Timer | undefined
  #commit: Promise<void> = Promise.resolve()

  constructor(
    session: Session,
    connection: JsonConnection,
    assignments: readonly Assignment[],
    options: ConsumptionOptions,
  ) {
    this.#session = session
    this.#connection = connection
    this.#assignments = assignments
    this.#options = options
  }

  async run(): Promise<ExitCode> {
    this.#session.takeInterrupts().addEventListener('abort', () => this.#stop('interrupted'))
    const { timeoutMs } = this.#options
    const timer = timeoutMs === undefined ? undefined : systemClock.setTimer(timeoutMs, () => this.#stop('timeout'))
    this.#restartIdleTimer()
    this.#scheduleCommit()
    await this.#readAll()
    timer?.cancel()
    this.#idleTimer?.cancel()
    this.#commitTimer?.cancel()
    return this.#conclude(this.#end ?? 'complete')
  }

  async #conclude(end: End): Promise<ExitCode> {
    if (typeof end === 'object') throw end.error
    await this.#commitPrinted()
    const { countMax } = this.#options
    const isBounded = countMax !== undefined || this.#assignments.every(({ stopOffset }) => stopOffset !== undefined)
    if (end === 'timeout') {
      const wanted = countMax === undefined ? '' : ` of ${groupDigits(countMax)}`
      throw new CliFailure(124, 'TIMEOUT', `The time is up: ${groupDigits(this.#printed)}${wanted} records came`)
    }
    if (end === 'interrupted') return isBounded ? 130 : 0
    if (this.#printed === 0) this.#session.note('No records there')
    return 0
  }

  async #readAll() {
    const open = this.#assignments.filter((assignment) => !isDone(assignment))
    const lanes: Assignment[][] = open.slice(0, CONNECTIONS_MAX).map(() => [])
    for (const [index, assignment] of open.entries()) lanes[index % lanes.length]?.push(assignment)
    await Promise.all(
      lanes.map(async (lane) => {
        try {
          const connection = await this.#session.connect()
          this.#readers.push(connection)
          await this.#readLane(connection, lane)
        } catch (error) {
          // Connections that we closed ourselves, to stop, reject what was waiting.
          this.#stop({ error })
        }
      }),
    )
  }

  #stop(end: End) {
    if (this.#end !== undefined) return
    this.#end = end
    for (const connection of this.#readers) connection.close()
  }

  async #readLane(connection: JsonConnection, lane: readonly Assignment[]) {
    let hadRecords = true
    while (this.#end === undefined) {
      const open = lane.filter((assignment) => !isDone(assignment))
      if (open.length === 0) return
      const answers = open.map((assignment, index) => {
        const isLast = index === open.length - 1
        const waitMs = open.length === 1 ? WAIT_MS : isLast && !hadRecords ? SHARED_WAIT_MS : 0
        return this.#fetch(connection, assignment, waitMs)
      })
      const rounds = await Promise.all(answers)
      hadRecords = rounds.some(({ records }) => records.length > 0)
      for (const [index, answer] of rounds.entries()) {
        const assignment = open[index]
        if (assignment) await this.#print(assignment, answer)
      }
    }
  }

  async #fetch(connection: JsonConnection, assignment: Assignment, waitMs: number): Promise<FetchedRecords> {
    const { topic, partition, nextOffset } = assignment
    try {
      const request = { topic, partition, offset: nextOffset, maxBytes: FETCH_BYTES, maxWaitMs: waitMs }
      return await call(connection, 'FETCH', request, waitMs)
    } catch (error) {
      if (!(error instanceof BrokerRefusal) || error.code !== 'OFFSET_OUT_OF_RANGE') throw error
      const [metadata] = await readTopics(connection, [topic])
      const logStartOffset = metadata?.partitions[partition]?.logStartOffset ?? 0
      if (nextOffset >= logStartOffset) throw error
      this.#session.warn(
        `${counted(logStartOffset - nextOffset, 'record')} of ${topic}/${partition} expired before they were read: going on at ${logStartOffset}`,
      )
      assignment.nextOffset = logStartOffset
      return { records: [], highWatermark: logStartOffset, logStartOffset }
    }
  }

  async #print(assignment: Assignment, answer: FetchedRecords) {
    const { printer, countMax = Infinity } = this.#options
    const chunks: Buffer[] = []
    let isWhole = true
    for (const record of answer.records) {
      if (this.#end !== undefined || this.#printed >= countMax) {
        isWhole = false
        break
      }
      if (record.offset < assignment.nextOffset) continue
      if (record.offset >= (assignment.stopOffset ?? Infinity)) {
        assignment.nextOffset = assignment.stopOffset ?? record.offset
        isWhole = false
        break
      }
      chunks.push(printer(fromWire(assignment.topic, assignment.partition, record)))
      assignment.nextOffset = record.offset + 1
      this.#printed++
    }
    // What follows them is not for consumers: marks of transactions, or offsets that compaction has left.
    if (isWhole) assignment.nextOffset = Math.max(assignment.nextOffset, answer.nextOffset ?? 0)
    if (chunks.length > 0) {
      this.#restartIdleTimer()
      await this.#session.write(Buffer.concat(chunks))
    }
    assignment.printedOffset = assignment.nextOffset
    if (this.#printed >= countMax) this.#stop('complete')
  }

  #restartIdleTimer() {
    const { idleTimeoutMs } = this.#options
    if (idleTimeoutMs === undefined) return
    this.#idleTimer?.cancel()
    this.#idleTimer = systemClock.setTimer(idleTimeoutMs, () => this.#stop('idle'))
  }

  #scheduleCommit() {
    if (this.#options.group === undefined) return
    this.#commitTimer = systemClock.setTimer(COMMIT_INTERVAL_MS, () => {
      this.#commitPrinted().then(
        () => this.#end === undefined && this.#scheduleCommit(),
        (error: unknown) => this.#stop({ error }),
      )
    })
  }

  /**
   * Commits how far each partition has been printed, also where nothing came: the group then is known to the broker, and
   * goes on from there.
   */
  #commitPrinted(): Promise<void> {
    const { group } = this.#options
    if (group === undefined) return Promise.resolve()
    this.#commit = this.#commit.then(async () => {
      const moved = this.#assignments.filter(({ printedOffset, committedOffset }) => printedOffset !== committedOffset)
      await Promise.all(
        moved.map(async (assignment) => {
          const { topic, partition, printedOffset } = assignment
          await call(this.#connection, 'COMMIT', { topic, partition, group, offset: printedOffset })
          assignment.committedOffset = printedOffset
        }),
      )
    })
    return this.#commit
  }
}

function isDone(assignment: Assignment): boolean {
  return assignment.nextOffset >= (assignment.stopOffset ?? Infinity)
}
