import { expect, test } from 'vitest'
import { Exposition, writeFamily as writePieces } from './exposition.ts'
import type { Family } from './instruments.ts'
import { ERROR_TYPES, Metrics } from './metrics.ts'

const writeFamily = (family: Family) => [...writePieces(family)].join('')

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
}

test('a counter is written with its labels in their order', () => {
  const { requests } = new Metrics()
  requests.child('json', 'produce', 'ok').add(2)
  requests.child('json', 'produce', 'ok').add(1)
  expect(writeFamily(requests)).toBe(
    '# HELP cafelog_requests_total Requests answered\n' +
      '# TYPE cafelog_requests_total counter\n' +
      'cafelog_requests_total{protocol="json",operation="produce",result="ok"} 3\n',
  )
})

test('a series without labels has no braces', () => {
  const metrics = new Metrics()
  metrics.inflightBytes.set(12.5)
  const text = metrics.families.map((family) => writeFamily(family)).join('')
  expect(lines(text)).toContain('cafelog_inflight_bytes 12.5')
})

test('a histogram has cumulative buckets, a sum and a count', () => {
  const { publishLatencyMs } = new Metrics()
  const latency = publishLatencyMs.child('json')
  for (const value of [0.1, 0.25, 0.3, 9999]) latency.observe(value)
  const written = lines(writeFamily(publishLatencyMs))
  expect(written[0]).toBe('cafelog_publish_latency_ms_bucket{protocol="json",le="0.25"} 2')
  expect(written[1]).toBe('cafelog_publish_latency_ms_bucket{protocol="json",le="0.5"} 3')
  expect(written.slice(-4)).toEqual([
    'cafelog_publish_latency_ms_bucket{protocol="json",le="5000"} 3',
    'cafelog_publish_latency_ms_bucket{protocol="json",le="+Inf"} 4',
    'cafelog_publish_latency_ms_sum{protocol="json"} 9999.65',
    'cafelog_publish_latency_ms_count{protocol="json"} 4',
  ])
})

test('live series are read at each scrape and go with their state', () => {
  const { logEndOffset } = new Metrics()
  const ends = new Map([['orders', 7]])
  logEndOffset.collect = (emit) => {
    for (const [topic, end] of ends) emit(end, topic, '0')
  }
  expect(lines(writeFamily(logEndOffset))).toEqual(['cafelog_log_end_offset{topic="orders",partition="0"} 7'])
  ends.clear()
  expect(lines(writeFamily(logEndOffset))).toEqual([])
})

test('label values are escaped', () => {
  const { consumerLag } = new Metrics()
  consumerLag.child('a"b\\c\nd', 'orders', '0').set(1)
  expect(lines(writeFamily(consumerLag))).toEqual([
    String.raw`cafelog_consumer_lag{group="a\"b\\c\nd",topic="orders",partition="0"} 1`,
  ])
})

test('every error code is there from the start', () => {
  const written = lines(writeFamily(new Metrics().errors))
  expect(written).toContain('cafelog_errors_total{type="INVALID_REQUEST"} 0')
  expect(written).toHaveLength(ERROR_TYPES.length)
})

test('names, helps and types follow the rules of Prometheus', () => {
  const { families } = new Metrics()
  expect(new Set(families.map((family) => family.name)).size).toBe(families.length)
  for (const { name, help, type } of families) {
    expect(name).toMatch(/^cafelog_[a-z_]+$/)
    expect(name.endsWith('_total')).toBe(type === 'counter')
    expect(help).toMatch(/^[A-Z]/)
    expect(help).not.toMatch(/\.$/)
  }
})

test('a scrape has the runtime metrics, without the three of unfit names', async () => {
  const exposition = await Exposition.start(new Metrics())
  const written = lines(String(await exposition.write()))
  expect(written.some((line) => line.startsWith('process_resident_memory_bytes '))).toBe(true)
  expect(written.some((line) => line.startsWith('nodejs_eventloop_lag_p99_seconds '))).toBe(true)
  expect(written.some((line) => /^nodejs_active_(handles|requests|resources)_total/.test(line))).toBe(false)
})

test('a scrape ends with a line feed and has no series twice', async () => {
  const exposition = await Exposition.start(new Metrics())
  const text = String(await exposition.write())
  expect(text.endsWith('\n')).toBe(true)
  const series = lines(text).map((line) => line.slice(0, line.lastIndexOf(' ')))
  expect(new Set(series).size).toBe(series.length)
})
