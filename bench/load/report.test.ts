import { expect, test } from 'vitest'
import { Figures } from './figures.ts'
import type { LoadOptions } from './options.ts'
import { formatProgress, formatReport, formatReportJson, makeReport } from './report.ts'

const OPTIONS: LoadOptions = {
  host: 'localhost',
  port: 7070,
  topics: 5,
  partitions: undefined,
  rate: 1000,
  durationMs: 30_000,
  valueBytes: 100,
  batch: 1,
  acks: 'all',
  connections: 5,
  inFlight: 64,
  timeoutMs: 10_000,
  isJson: false,
}

/** Figures of a test in which request `i` of 10,000 took `i` microseconds. */
async function makeFigures(): Promise<Figures> {
  const figures = await Figures.create()
  for (let us = 1; us <= 10_000; us++) {
    figures.recordSent(1, 0.02)
    figures.recordAcked(1, us / 1000)
  }
  return figures
}

test('a report has rates, percentiles and every error', async () => {
  const figures = await makeFigures()
  figures.recordSent(10, 0.02)
  figures.recordFailed(3, 'INVALID_REQUEST')
  figures.recordFailed(7, 'INTERNAL_IO_ERROR')
  const report = makeReport(figures, OPTIONS, { outcome: 'complete', elapsedMs: 10_000, notSent: 1234 })
  figures.close()
  expect(report.latencyMs?.p50).toBeCloseTo(5, 1)
  expect(report.latencyMs?.p95).toBeCloseTo(9.5, 1)
  expect(report.latencyMs?.p99).toBeCloseTo(9.9, 1)
  expect(report.latencyMs?.max).toBeCloseTo(10, 1)
  expect(formatReport(report, OPTIONS).split('\n')).toEqual([
    '5 topics, 1,000 msg/s, values of 100 B, 1 a request, acks all, 10.0 s',
    '',
    '  sent                 10,010 msg',
    '  acked                10,000 msg',
    '  msg/s                1,000',
    '  MB/s                 0.10',
    expect.stringMatching(/^ {2}p50 {18}(4.99|5.00) ms$/),
    expect.stringMatching(/^ {2}p95 {18}9.5\d ms$/),
    expect.stringMatching(/^ {2}p99 {18}9.9\d ms$/),
    '  max                  10.0 ms',
    '  errors               10',
    '    INTERNAL_IO_ERROR  7',
    '    INVALID_REQUEST    3',
    '',
    '  1,234 messages were due and could not be sent: the rate is more than was taken.',
  ])
  expect(JSON.parse(formatReportJson(report, OPTIONS))).toMatchObject({
    v: 1,
    broker: 'localhost:7070',
    options: { topics: 5, rate: 1000, valueBytes: 100 },
    sent: 10_010,
    errors: { INTERNAL_IO_ERROR: 7, INVALID_REQUEST: 3 },
    messagesPerSecond: 1000,
  })
})

test('a report says when the sender itself was late, and what was not asked for', async () => {
  const figures = await Figures.create()
  figures.recordSent(100, 5)
  const options = { ...OPTIONS, acks: 0 as const, topics: 1 }
  const report = makeReport(figures, options, { outcome: 'interrupted', elapsedMs: 1000, notSent: 0 })
  figures.close()
  const text = formatReport(report, options)
  expect(text).toContain('1 topic, 1,000 msg/s, values of 100 B, 1 a request, acks 0, 1.0 s — interrupted')
  expect(text).toContain('acked   not asked for (--acks 0)')
  expect(text).toContain('msg/s   100')
  expect(text).toMatch(/This program sent late: 5.0\d ms at p99, 5.0\d ms at most\.$/)
  expect(JSON.parse(formatReportJson(report, options))).toMatchObject({ latencyMs: null })
})

test('progress is one line', async () => {
  const figures = await makeFigures()
  const report = makeReport(figures, OPTIONS, { outcome: 'complete', elapsedMs: 12_300, notSent: 0 })
  figures.close()
  expect(formatProgress(report, OPTIONS)).toMatch(
    /^12s of 30s {2}10,000 sent {2}813 msg\/s {2}p50 (4.99|5.00) ms {2}p99 9.9\d ms {2}0 errors$/,
  )
})
