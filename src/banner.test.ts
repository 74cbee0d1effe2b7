import { expect, test } from 'vitest'
import { formatBanner } from './banner.ts'
import { parseConfig } from './config/config.ts'
import type { StartReport } from './main.ts'
import { VERSION } from './version.ts'

const NEW: StartReport = {
  isNewDirectory: true,
  topicCount: 0,
  partitionCount: 0,
  recordCount: 0,
  wasClean: true,
  openingMs: 4.2,
  truncatedBytes: 0,
}

function banner(options: {
  environment?: Record<string, string>
  report?: Partial<StartReport>
  port?: number
}): string {
  const config = parseConfig(options.environment ?? {}, 20_000)
  const { host } = config.tcpAddress
  const addresses = {
    json: { host: host ?? '::', port: options.port ?? 7070 },
    kafka: { host: config.kafkaAddress.host ?? '::', port: 9092 },
    http: { host: '::', port: 8080 },
  }
  const report = { ...NEW, ...options.report }
  return formatBanner({ addresses, report }, { config, readyMs: 123.4, brokerctl: './brokerctl', isColored: false })
}

test('a first start by the defaults', () => {
  expect(banner({})).toBe(`
  CafeLog ${VERSION}  ready in 123 ms

  JSON   localhost:7070  the protocol of docs/protocol-json.md
  Kafka  localhost:9092  Kafka's clients: docs/protocol-kafka.md
  HTTP   http://localhost:8080  /api/v1  /healthz  /readyz  /metrics
  Data   ./data  new, no topics yet
  Flush  always  a record is on stable storage before it is acknowledged

  Every machine that reaches this one may read and write, without a password.
  For this machine only:  CAFELOG_TCP_ADDR=localhost:7070 CAFELOG_KAFKA_ADDR=localhost:9092 CAFELOG_HTTP_ADDR=localhost:8080

  Try, in a second terminal:
    ./brokerctl topic create orders --partitions 3
    echo '{"item":"flat white"}' | ./brokerctl produce orders --key table-4
    ./brokerctl consume orders --from-beginning

  Ctrl-C stops the broker.

`)
})

test('what was found in the data directory', () => {
  const found = { isNewDirectory: false, topicCount: 1, partitionCount: 8, recordCount: 12_408, openingMs: 37.9 }
  expect(banner({ report: found })).toContain(
    '  Data   ./data  opened in 38 ms · 1 topic · 8 partitions · 12,408 records\n',
  )
  expect(banner({ report: { ...found, wasClean: false, truncatedBytes: 90 } })).toContain(
    '  recovered after a crash in 38 ms · 1 topic · 8 partitions · 12,408 records · 90 bytes of unfinished writes cut off\n',
  )
})

test('a broker for this machine only needs no warning', () => {
  const others = { CAFELOG_TCP_ADDR: '127.0.0.1:7070', CAFELOG_KAFKA_ADDR: '[::1]:9092' }
  const text = banner({ environment: { ...others, CAFELOG_HTTP_ADDR: 'localhost:8080' } })
  expect(text).toContain('JSON   localhost:7070')
  expect(text).not.toContain('password')
  expect(banner({ environment: { ...others, CAFELOG_TOKEN: 'a-token-of-some-length' } })).not.toContain('password')
  expect(banner({ environment: others })).toContain('For this machine only:  CAFELOG_HTTP_ADDR=localhost:8080\n')
})

test('the commands name the broker when it is not where brokerctl looks', () => {
  expect(banner({ port: 7171 })).toContain('    ./brokerctl -b localhost:7171 consume orders --from-beginning\n')
  const elsewhere = banner({ environment: { CAFELOG_TCP_ADDR: '10.0.0.5:7070' } })
  expect(elsewhere).toContain('    ./brokerctl -b 10.0.0.5:7070 consume orders --from-beginning\n')
})

test('a relaxed flush policy says what a power failure may cost', () => {
  expect(banner({ environment: { CAFELOG_FLUSH_POLICY: 'interval:10ms' } })).toContain(
    '  Flush  interval  a power failure may lose what was acknowledged in the last 10ms\n',
  )
  expect(banner({ environment: { CAFELOG_FLUSH_POLICY: 'os' } })).toContain('in the last half minute\n')
})
