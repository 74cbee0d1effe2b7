import { expect, test } from 'vitest'
import { LagTrend } from './lag-trend.ts'

/** The trend of a group whose two partitions were seen once a second. */
function trendOf(...seen: (readonly (number | null)[])[]): LagTrend {
  const trend = new LagTrend()
  for (const [second, lags] of seen.entries()) {
    const partitions = lags.map((lag, partition) => ({
      topic: 't',
      partition,
      committedOffset: 0,
      logStartOffset: 0,
      logEndOffset: 0,
      lag,
      lagMs: null,
      committedAt: null,
      member: null,
    }))
    const totalLag = lags.reduce((sum: number, lag) => sum + (lag ?? 0), 0)
    trend.add({ group: 'g', state: 'Stable', members: 1, totalLag, lagMs: null, partitions }, second * 1_000)
  }
  return trend
}

test('the trend of a lag is told from the last samples', () => {
  expect(trendOf([null, 1]).summary).toBe('')
  expect(trendOf([0, 1], [0, 1]).summary).toBe('steady')
  expect(trendOf([0, 10], [38, 10]).summary).toBe('▲ growing (+38/s)')
  expect(trendOf([0, 0], [1_500, 0]).summary).toBe('▲ growing (+1,500/s)')
  expect(trendOf([4, 1], [3, 1], [2, 1]).summary).toBe('▼ shrinking (-1.0/s)')
  expect(trendOf([999, 0], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0], [0, 0]).summary).toBe('steady')
})

test('a partition has a bar for each sample', () => {
  const trend = trendOf([0, 0], [7, 0], [1, 0], [4, 0])
  expect(trend.sparkline('t', 0)).toBe('▁█▂▅')
  expect(trend.sparkline('t', 1)).toBe('▁▁▁▁')
  expect(trendOf([0, null]).sparkline('t', 1)).toBe('▁')
})
