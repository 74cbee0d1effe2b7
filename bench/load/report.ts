import type { Figures, Latency } from './figures.ts'
import type { LoadOptions } from './options.ts'

/** How a test ended. */
export type Outcome = 'complete' | 'interrupted' | 'connection lost' | 'timeout'

/** What is known at some moment of a test, or at its end. */
export interface LoadReport {
  readonly outcome: Outcome
  readonly elapsedMs: number
  readonly sent: number
  readonly acked: number
  readonly failed: number
  /** Messages that were due and could not be sent any more: the broker or this machine did not keep up. */
  readonly notSent: number
  /** Acknowledged messages a second; with acks 0 sent ones. */
  readonly messagesPerSecond: number
  /** Megabytes (10^6) of values a second. */
  readonly megabytesPerSecond: number
  readonly latencyMs: Latency | undefined
  readonly senderLateMs: Latency | undefined
  readonly errors: Readonly<Record<string, number>>
}

/** From here on (99th percentile) the report says that it was the sender who was late. */
const LATE_MS = 1

/** Puts the figures of `elapsedMs` together. */
export function makeReport(
  figures: Figures,
  options: LoadOptions,
  state: { outcome: Outcome; elapsedMs: number; notSent: number },
): LoadReport {
  const { sent, acked, failed } = figures
  const messagesPerSecond = state.elapsedMs > 0 ? ((options.acks === 0 ? sent : acked) / state.elapsedMs) * 1000 : 0
  return {
    ...state,
    sent,
    acked,
    failed,
    messagesPerSecond,
    megabytesPerSecond: (messagesPerSecond * options.valueBytes) / 1e6,
    latencyMs: figures.getLatency(),
    senderLateMs: options.rate === 0 ? undefined : figures.getLateness(),
    errors: Object.fromEntries([...figures.errors].toSorted(([, a], [, b]) => b - a)),
  }
}

/** The table at the end. */
export function formatReport(report: LoadReport, options: LoadOptions): string {
  const { latencyMs, senderLateMs } = report
  const count = (value: number) => Math.round(value).toLocaleString('en-US')
  const rows: (readonly [string, string])[] = [
    ['sent', `${count(report.sent)} msg`],
    ['acked', options.acks === 0 ? 'not asked for (--acks 0)' : `${count(report.acked)} msg`],
    ['msg/s', count(report.messagesPerSecond)],
    ['MB/s', report.megabytesPerSecond.toFixed(report.megabytesPerSecond < 10 ? 2 : 1)],
  ]
  if (latencyMs) {
    rows.push(
      ['p50', formatMs(latencyMs.p50)],
      ['p95', formatMs(latencyMs.p95)],
      ['p99', formatMs(latencyMs.p99)],
      ['max', formatMs(latencyMs.max)],
    )
  }
  rows.push(['errors', count(report.failed)])
  for (const [code, messages] of Object.entries(report.errors)) rows.push([`  ${code}`, count(messages)])
  const width = Math.max(...rows.map(([name]) => name.length))
  const lines = [describe(report, options), '', ...rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}`)]
  if (senderLateMs && senderLateMs.p99 >= LATE_MS) {
    const late = `${formatMs(senderLateMs.p99)} at p99, ${formatMs(senderLateMs.max)} at most`
    lines.push('', `  This program sent late: ${late}.${latencyMs ? ' The latencies above include it.' : ''}`)
  }
  if (report.notSent > 0) {
    lines.push(
      '',
      `  ${count(report.notSent)} messages were due and could not be sent: the rate is more than was taken.`,
    )
  }
  return lines.join('\n')
}

function describe(report: LoadReport, options: LoadOptions): string {
  const rate = options.rate === 0 ? 'as fast as possible' : `${options.rate.toLocaleString('en-US')} msg/s`
  const size = `${options.valueBytes.toLocaleString('en-US')} B`
  const topics = `${options.topics} topic${options.topics === 1 ? '' : 's'}`
  const ended = report.outcome === 'complete' ? '' : ` — ${report.outcome}`
  const seconds = (report.elapsedMs / 1000).toFixed(1)
  return `${topics}, ${rate}, values of ${size}, ${options.batch} a request, acks ${options.acks}, ${seconds} s${ended}`
}

/** One line of progress. */
export function formatProgress(report: LoadReport, options: LoadOptions): string {
  const count = (value: number) => Math.round(value).toLocaleString('en-US')
  const parts = [
    `${(report.elapsedMs / 1000).toFixed(0)}s of ${(options.durationMs / 1000).toLocaleString('en-US')}s`,
    `${count(report.sent)} sent`,
    `${count(report.messagesPerSecond)} msg/s`,
  ]
  if (report.latencyMs) parts.push(`p50 ${formatMs(report.latencyMs.p50)}`, `p99 ${formatMs(report.latencyMs.p99)}`)
  parts.push(`${count(report.failed)} errors`)
  return parts.join('  ')
}

/** One object on one line, for programs. Times are milliseconds. */
export function formatReportJson(report: LoadReport, options: LoadOptions): string {
  const { host, port, isJson: _, ...asked } = options
  const { latencyMs = null, senderLateMs = null, ...counted } = report
  return JSON.stringify({
    v: 1,
    broker: `${host}:${port}`,
    protocol: 'json',
    options: asked,
    ...counted,
    latencyMs,
    senderLateMs,
  })
}

function formatMs(milliseconds: number): string {
  if (milliseconds < 1) return `${milliseconds.toFixed(3)} ms`
  if (milliseconds < 1000) return `${milliseconds.toFixed(milliseconds < 10 ? 2 : 1)} ms`
  return `${(milliseconds / 1000).toFixed(2)} s`
}
