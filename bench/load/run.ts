import { Figures } from './figures.ts'
import type { LoadOptions } from './options.ts'
import { monotonicMs, Pacer } from './pacer.ts'
import { CannotStart, makeFrame, openConnections, prepareTopics } from './prepare.ts'
import { formatProgress, formatReport, formatReportJson, makeReport, type LoadReport, type Outcome } from './report.ts'
import { Schedule, shareTargets } from './schedule.ts'
import { Sender } from './sender.ts'

/** Where a test writes, and what may end it early. */
export interface Surroundings {
  readonly writeOut: (text: string) => void
  readonly writeError: (text: string) => void
  /** Whether progress may rewrite its line. */
  readonly isTerminal: boolean
  /** Aborted when the user has had enough. */
  readonly signal: AbortSignal
}

/** Shorter pauses between two looks at the schedule would cost more CPU than they are worth. */
const TICK_MS_MIN = 0.25
/** How long answers are waited for after Ctrl-C. */
const INTERRUPT_WAIT_MS = 1000

/** Runs a load test from beginning to end and returns the exit code (facts in HELP, options.ts). */
export async function runLoadTest(options: LoadOptions, surroundings: Surroundings): Promise<number> {
  const figures = await Figures.create()
  try {
    const targets = await prepareTopics(options)
    const sockets = await openConnections(options)
    const frames = targets.map((target) => makeFrame(target, options))
    const intervalMs = options.rate > 0 ? (1000 * options.batch) / options.rate : 0
    const test = new LoadTest(options, figures, surroundings)
    const shares = shareTargets(targets.length, sockets.length)
    test.senders = sockets.map(
      (socket, index) =>
        new Sender({
          socket,
          schedule: new Schedule(shares[index], targets.length, intervalMs),
          frames: shares[index].map((target) => frames[target]),
          options,
          figures,
          onProgress: (reason) => test.look(reason),
        }),
    )
    const report = await test.run(intervalMs)
    const text = options.isJson ? formatReportJson(report, options) : formatReport(report, options)
    surroundings.writeOut(`${text}\n`)
    if (test.lossReason !== undefined) surroundings.writeError(describeLoss(options, test.lossReason))
    if (report.outcome === 'timeout') surroundings.writeError(describeTimeout(options))
    return getExitCode(report)
  } catch (error) {
    if (!(error instanceof CannotStart)) throw error
    surroundings.writeError(`✗ ${error.lines.join('\n')}\n`)
    return error.exitCode
  } finally {
    figures.close()
  }
}

/** What the messages without an answer count as. */
const UNANSWERED_CODES = {
  complete: 'UNANSWERED',
  interrupted: 'UNANSWERED',
  'connection lost': 'CONNECTION_LOST',
  timeout: 'TIMEOUT',
} as const satisfies Record<Outcome, string>

/** One run: starts the senders, keeps them going, decides when it is over. */
class LoadTest {
  senders: readonly Sender[] = []
  lossReason: string | undefined
  readonly #options: LoadOptions
  readonly #figures: Figures
  readonly #surroundings: Surroundings
  #startMs = 0
  #lastAnswerMs = 0
  #isDraining = false
  #outcome: Outcome = 'complete'
  #end: () => void = () => {}

  constructor(options: LoadOptions, figures: Figures, surroundings: Surroundings) {
    this.#options = options
    this.#figures = figures
    this.#surroundings = surroundings
  }

  async run(intervalMs: number): Promise<LoadReport> {
    const { durationMs, rate } = this.#options
    const over = new Promise<void>((resolve) => {
      this.#end = resolve
    })
    const stopByHand = () => {
      this.#outcome = 'interrupted'
      this.#drain()
      setTimeout(() => this.#end(), INTERRUPT_WAIT_MS)
    }
    this.#surroundings.signal.addEventListener('abort', stopByHand)
    const pacer = rate > 0 ? await Pacer.create(Math.max(intervalMs, TICK_MS_MIN)) : undefined
    this.#startMs = monotonicMs() + 1
    this.#lastAnswerMs = this.#startMs
    pacer?.start(this.#startMs, () => {
      for (const sender of this.senders) sender.pump()
    })
    for (const sender of this.senders) sender.start(this.#startMs)
    // Timers may fire a millisecond early; what is due in that millisecond is still to be sent.
    const deadline = setTimeout(() => this.#drain(), this.#startMs + durationMs - monotonicMs() + 2)
    const watch = setInterval(() => this.#checkSilence(), 100)
    const progress = this.#startProgress()
    if (this.#surroundings.signal.aborted) stopByHand()

    await over
    clearTimeout(deadline)
    clearInterval(watch)
    progress.stop()
    pacer?.stop()
    const notSent = this.#outcome === 'complete' ? this.senders.reduce((sum, one) => sum + one.countNotSent(), 0) : 0
    for (const sender of this.senders) sender.abandon(UNANSWERED_CODES[this.#outcome])
    const answersMs = this.#lastAnswerMs - this.#startMs
    const elapsedMs = this.#outcome === 'complete' && rate > 0 ? Math.max(durationMs, answersMs) : answersMs
    return makeReport(this.#figures, this.#options, { outcome: this.#outcome, elapsedMs, notSent })
  }

  /** Looks whether the test is over; `reason` says that a connection was lost. */
  look(reason: string | undefined): void {
    this.#lastAnswerMs = monotonicMs()
    if (reason !== undefined && this.lossReason === undefined) {
      this.lossReason = reason
      if (this.#outcome === 'complete') this.#outcome = 'connection lost'
      this.#end()
    } else if (this.#isDraining && this.senders.every((sender) => sender.isAnswered)) {
      this.#end()
    }
  }

  #drain(): void {
    this.#isDraining = true
    for (const sender of this.senders) sender.stop()
    if (this.senders.every((sender) => sender.isAnswered)) this.#end()
  }

  #checkSilence(): void {
    const nowMs = monotonicMs()
    if (!this.senders.some((sender) => sender.getSilenceMs(nowMs) > this.#options.timeoutMs)) return
    this.#outcome = 'timeout'
    this.#lastAnswerMs = nowMs
    this.#end()
  }

  #startProgress(): { stop(): void } {
    const { writeError, isTerminal } = this.#surroundings
    const show = () => {
      const state = { outcome: this.#outcome, elapsedMs: Math.max(0, monotonicMs() - this.#startMs), notSent: 0 }
      const line = formatProgress(makeReport(this.#figures, this.#options, state), this.#options)
      writeError(isTerminal ? `\r\x1b[2K${line}` : `${line}\n`)
    }
    const timer = setInterval(show, isTerminal ? 250 : 5000)
    return {
      stop() {
        clearInterval(timer)
        if (isTerminal) writeError('\r\x1b[2K')
      },
    }
  }
}

function getExitCode({ outcome, failed }: LoadReport): number {
  if (outcome === 'interrupted') return 130
  if (outcome === 'connection lost') return 5
  if (outcome === 'timeout') return 124
  return failed > 0 ? 4 : 0
}

function describeLoss({ host, port }: LoadOptions, reason: string): string {
  return [
    `✗ lost the connection to ${host}:${port}`,
    `  ${reason}`,
    '  The messages without an answer may be in the log or not. See the output of the broker.',
    '  code CONNECTION_LOST (exit 5)\n',
  ].join('\n')
}

function describeTimeout({ timeoutMs, host, port }: LoadOptions): string {
  return [
    `✗ no answer from ${host}:${port} for ${timeoutMs / 1000} s`,
    '  The broker holds the connection and does not answer.',
    '  Wait longer:  --timeout 60s',
    '  code TIMEOUT (exit 124)\n',
  ].join('\n')
}
