import type { Socket } from 'node:net'
import { FRAME_TYPES } from '../../src/protocols/json/wire.ts'
import { encodeFrame } from '../wire.ts'
import { AnswerReader } from './answer-reader.ts'
import type { Figures } from './figures.ts'
import type { LoadOptions } from './options.ts'
import { monotonicMs } from './pacer.ts'
import type { Schedule } from './schedule.ts'

/** Unanswered requests on one connection at a fixed rate. Only a limit: whoever reaches it waits for the broker. */
const OPEN_LOOP_IN_FLIGHT_MAX = 65_536
/** Bytes that wait in this process for the socket; beyond them nothing is sent until some have left. */
const WAITING_BYTES_MAX = 1 << 20

export interface SenderParts {
  readonly socket: Socket
  readonly schedule: Schedule
  /** One ready-made PRODUCE for each of the schedule's targets, sent over and over. */
  readonly frames: readonly Buffer[]
  readonly options: Pick<LoadOptions, 'rate' | 'batch' | 'acks' | 'inFlight' | 'durationMs'>
  readonly figures: Figures
  /** Called when answers have come, and when the connection was lost: `reason` then says how. */
  readonly onProgress: (reason: string | undefined) => void
}

/**
 * Sends the requests of one connection and matches the answers, which come in order, with them.
 *
 * At a fixed rate a request's latency counts from when it was due, at the highest rate from when it was sent.
 */
export class Sender {
  readonly #parts: SenderParts
  readonly #reader = new AnswerReader()
  readonly #requestCount: number
  readonly #inFlightMax: number
  /** At the highest rate: when each unanswered request was sent, in a ring. */
  readonly #sentAt: Float64Array
  #startMs = Infinity
  #sent = 0
  #answered = 0
  #isStopped = false
  #isLost = false
  #barrier: 'none' | 'sent' | 'answered' = 'none'
  #lastAnswerMs = Infinity

  constructor(parts: SenderParts) {
    this.#parts = parts
    const isClosedLoop = parts.options.rate === 0
    this.#requestCount = isClosedLoop
      ? parts.frames.length > 0
        ? Infinity
        : 0
      : parts.schedule.countBefore(parts.options.durationMs)
    this.#inFlightMax = isClosedLoop ? parts.options.inFlight : OPEN_LOOP_IN_FLIGHT_MAX
    this.#sentAt = new Float64Array(isClosedLoop && parts.options.acks !== 0 ? this.#inFlightMax : 0)
    parts.socket.on('data', (chunk: Buffer) => this.#receive(chunk))
    parts.socket.on('drain', () => this.pump())
    parts.socket.on('error', (error) => this.#lose(error.message))
    parts.socket.on('close', () => this.#lose('the broker closed the connection'))
  }

  /** Begins: request 0 of the whole test is due at `startMs`. */
  start(startMs: number): void {
    this.#startMs = startMs
    this.#lastAnswerMs = startMs
    this.pump()
  }

  /** Sends what is due and may be sent. */
  pump(): void {
    if (this.#isStopped || this.#startMs === Infinity) return
    const { socket, schedule, frames, options, figures } = this.#parts
    const nowMs = monotonicMs()
    const elapsedMs = nowMs - this.#startMs
    const hasAnswers = options.acks !== 0
    socket.cork()
    while (this.#sent < this.#requestCount && socket.writableLength < WAITING_BYTES_MAX) {
      if (hasAnswers && this.#sent - this.#answered >= this.#inFlightMax) break
      if (options.rate > 0) {
        const lateMs = elapsedMs - schedule.getDueMs(this.#sent)
        if (lateMs < 0) break
        figures.recordSent(options.batch, lateMs)
      } else {
        if (hasAnswers) this.#sentAt[this.#sent % this.#inFlightMax] = nowMs
        figures.recordSent(options.batch, 0)
      }
      if (this.#sent === this.#answered) this.#lastAnswerMs = nowMs
      socket.write(frames[schedule.getTarget(this.#sent)])
      this.#sent++
      if (!hasAnswers) this.#answered++
    }
    socket.uncork()
  }

  /** Sends nothing more; what is unanswered may still be answered. */
  stop(): void {
    if (this.#isStopped) return
    this.pump()
    this.#isStopped = true
    if (this.#parts.options.acks === 0 && !this.#isLost) {
      // Without answers, one to a request behind all others tells that the broker has read them.
      this.#lastAnswerMs = monotonicMs()
      this.#parts.socket.write(encodeFrame(FRAME_TYPES.HEARTBEAT, {}))
      this.#barrier = 'sent'
    }
  }

  /** Whether nothing that was sent is waiting for an answer. */
  get isAnswered(): boolean {
    return this.#sent === this.#answered && this.#barrier !== 'sent'
  }

  /** Messages that were due and are not sent; at the highest rate there are none. */
  countNotSent(): number {
    return this.#requestCount === Infinity ? 0 : (this.#requestCount - this.#sent) * this.#parts.options.batch
  }

  /** How long the oldest unanswered request, or what waits for the socket, has seen no sign of life from the broker. */
  getSilenceMs(nowMs: number): number {
    return this.isAnswered && this.#parts.socket.writableLength < WAITING_BYTES_MAX ? 0 : nowMs - this.#lastAnswerMs
  }

  /** Ends the connection; whatever is unanswered counts as failed with `code`. */
  abandon(code: string): void {
    this.#isStopped = true
    const unanswered = this.#sent - this.#answered
    if (unanswered > 0) this.#parts.figures.recordFailed(unanswered * this.#parts.options.batch, code)
    this.#answered = this.#sent
    this.#barrier = 'answered'
    this.#isLost = true
    this.#parts.socket.destroy()
  }

  #receive(chunk: Buffer): void {
    const { figures, options, schedule, onProgress } = this.#parts
    const nowMs = monotonicMs()
    this.#lastAnswerMs = nowMs
    this.#reader.push(chunk, (code) => {
      if (options.acks === 0) {
        if (code === undefined) this.#barrier = 'answered'
        else figures.recordFailed(options.batch, code)
        return
      }
      if (code === undefined) {
        const sinceMs =
          options.rate > 0
            ? this.#startMs + schedule.getDueMs(this.#answered)
            : this.#sentAt[this.#answered % this.#inFlightMax]
        figures.recordAcked(options.batch, nowMs - sinceMs)
      } else {
        figures.recordFailed(options.batch, code)
      }
      this.#answered++
    })
    if (!this.#isStopped && options.rate === 0) this.pump()
    onProgress(undefined)
  }

  #lose(reason: string): void {
    if (this.#isLost) return
    this.abandon('CONNECTION_LOST')
    this.#parts.onProgress(reason)
  }
}
