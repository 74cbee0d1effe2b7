import { expect, test } from 'vitest'
import { buildBatch, compressBatch } from '../../test/support/batches.ts'
import { readBatchContexts } from './batch-contexts.ts'
import { parseTraceParent, readTraceContext, replaceTraceParent } from './trace-context.ts'
import { parseTracingSettings } from './tracing-settings.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'
const PARENT = `00-${TRACE}-${SPAN}-01`
const header = (key: string, text: string | null) => ({ key, value: text === null ? null : Buffer.from(text) })
const parentOf = (span: number) =>
  header('traceparent', `00-${TRACE}-${span.toString(16).padStart(16, '0')}-${span % 2 === 0 ? '01' : '00'}`)

test.each([
  [PARENT, true],
  [`00-${TRACE}-${SPAN}-00`, false],
  [`00-${TRACE}-${SPAN}-03`, true],
  [`cc-${TRACE}-${SPAN}-01-what-the-future-will-be-like`, true],
])('traceparent %s is a context, sampled: %s', (text, isSampled) => {
  expect(parseTraceParent(Buffer.from(text))).toEqual({ traceId: TRACE, spanId: SPAN, isSampled })
})

test.each([
  '',
  'nonsense',
  PARENT.toUpperCase(),
  ` ${PARENT}`,
  `${PARENT} `,
  `${PARENT}\n`,
  `${PARENT}-more`,
  `ff-${TRACE}-${SPAN}-01`,
  `00-${'0'.repeat(32)}-${SPAN}-01`,
  `00-${TRACE}-${'0'.repeat(16)}-01`,
  `00-${TRACE.slice(1)}-${SPAN}-01`,
  `00-${TRACE}-${SPAN}-1`,
  `cc-${TRACE}-${SPAN}-01.more`,
])('traceparent %j is none', (text) => {
  expect(parseTraceParent(Buffer.from(text))).toBeUndefined()
})

test('the last header of a name counts, and a tracestate that is too long does not', () => {
  const read = (...headers: readonly ReturnType<typeof header>[]) => readTraceContext(headers)
  expect(read(header('traceparent', 'old'), header('traceparent', PARENT))?.spanId).toBe(SPAN)
  expect(read(header('traceparent', PARENT), header('traceparent', null))).toBeUndefined()
  expect(read(header('Traceparent', PARENT))).toBeUndefined()
  expect(read(header('traceparent', `cc-${TRACE}-${SPAN}-01-${'x'.repeat(1000)}`))).toBeUndefined()
  expect(read(header('traceparent', PARENT), header('tracestate', 'a=1'))?.state).toBe('a=1')
  expect(read(header('traceparent', PARENT), header('tracestate', 'a'.repeat(513)))?.state).toBeUndefined()
})

test('a context takes the place of another, and nothing else is touched', () => {
  const headers = [header('a', '1'), header('traceparent', PARENT), header('tracestate', 'x=y'), header('b', null)]
  const spanId = '1'.repeat(16)
  const replaced = replaceTraceParent(headers, { traceId: TRACE, spanId })
  expect(replaced).toEqual([headers[0], header('traceparent', `00-${TRACE}-${spanId}-01`), headers[2], headers[3]])
})

test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)(
  'contexts are found in batches packed with %s',
  (codec) => {
    const records = [2, 2, 4, undefined].map((span) => ({
      value: 'v',
      timestamp: 1,
      headers: span === undefined ? [] : [header('own', 'x'), parentOf(span)],
    }))
    const batch = compressBatch(buildBatch(records), codec)
    const { contexts, recordCount } = readBatchContexts(
      Buffer.concat([batch, buildBatch([{ value: 'v', timestamp: 1 }])]),
    )
    expect(contexts.map(({ spanId }) => Number.parseInt(spanId, 16))).toEqual([2, 4])
    expect(recordCount).toBe(5)
    expect(readBatchContexts(batch, 2)).toMatchObject({ recordCount: 2, contexts: [{ spanId: '0000000000000004' }] })
    expect(readBatchContexts(batch, 9)).toEqual({ recordCount: 0, contexts: [] })
  },
)

test('what is malformed, too large or too many is passed over', () => {
  const many = Array.from({ length: 500 }, (_, span) => ({ value: 'v', timestamp: 1, headers: [parentOf(span + 1)] }))
  expect(readBatchContexts(buildBatch(many)).contexts).toHaveLength(128)
  const batch = buildBatch([{ value: 'traceparent', timestamp: 1, headers: [parentOf(2)] }])
  const torn = Buffer.from(batch)
  torn.fill(0xff, 70)
  expect(readBatchContexts(torn)).toEqual({ contexts: [], recordCount: 1 })
  const large = [{ value: 'v'.repeat(2 ** 20), timestamp: 1, headers: [parentOf(2)] }]
  expect(readBatchContexts(compressBatch(buildBatch(large), 'gzip')).contexts).toEqual([])
  const crowded = [{ value: 'v', timestamp: 1, headers: [...Array<number>(256).keys()].map(() => parentOf(2)) }]
  expect(readBatchContexts(buildBatch(crowded)).contexts).toHaveLength(1)
  crowded[0].headers.push(parentOf(2))
  expect(readBatchContexts(buildBatch(crowded)).contexts).toEqual([])
})

const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' }
test.each([
  [{}, { kind: 'off' }],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: '', OTEL_SERVICE_NAME: 'x' }, { kind: 'off' }],
  [ENDPOINT, { kind: 'on', protocol: 'http/protobuf' }],
  [{ OTEL_TRACES_EXPORTER: 'otlp' }, { kind: 'on', protocol: 'http/protobuf' }],
  [{ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://x/y' }, { kind: 'on', protocol: 'http/protobuf' }],
  [
    { ...ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' },
    { kind: 'on', protocol: 'http/json' },
  ],
  [{ ...ENDPOINT, OTEL_SDK_DISABLED: 'TRUE' }, { kind: 'off' }],
  [{ ...ENDPOINT, OTEL_TRACES_EXPORTER: 'none' }, { kind: 'off' }],
])('the environment %j means %j', (environment, settings) => {
  expect(parseTracingSettings(environment)).toEqual(settings)
})

test.each([
  [{ ...ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, 'OTEL_EXPORTER_OTLP_PROTOCOL="grpc": it must be http/'],
  [{ ...ENDPOINT, OTEL_TRACES_EXPORTER: 'zipkin' }, 'OTEL_TRACES_EXPORTER="zipkin": it must be otlp or none'],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' }, 'OTEL_EXPORTER_OTLP_ENDPOINT="collector:4318": it must be a URL'],
  [{ OTEL_EXPORTER_OTLP_ENDPOINT: 'ftp://me:secret@host' }, '="ftp://host": it must be'],
])('what cannot be had is refused: %j', (environment, text) => {
  const settings = parseTracingSettings(environment)
  expect(settings).toEqual({ kind: 'refused', fault: expect.stringContaining(text) })
})
