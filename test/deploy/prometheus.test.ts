// A real Prometheus scrapes a real broker under load from all sides: the load test, the JSON door and Kafka's protocol, with
// groups that are behind, errors, delayed records and records that do not fit their schema. What it knows then is compared with
// what this file has counted itself; every query of the dashboards is asked, and alerts fire.
import { execFile, spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, statfsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { dashboards } from '../../deploy/grafana/source/dashboards.ts'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { LoopDisk } from '../crash/loop-disk.ts'
import { buildBatch } from '../support/batches.ts'
import { BrokerHome } from '../support/broker-process.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { CountingProxy } from '../support/counting-proxy.ts'
import type { DoorMember } from '../support/door-members.ts'
import { DOOR_MEMBERS } from '../support/door-members.ts'
import { COMMIT, CREATE_TOPIC, FETCH, PRODUCE } from '../support/frame-types.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import { Prometheus } from '../support/prometheus.ts'
import { RawClient } from '../support/raw-client.ts'

const ROOT = join(import.meta.dirname, '../..')
const LOAD_TEST = join(ROOT, 'dist/bench/load-test.js')
/** With an evaluation each second, on a machine that has other things to do. */
const FIRING_MS_MAX = 30_000

const TOPICS = `topics:
  - { name: orders, partitions: 4 }
  - { name: reminders, partitions: 1 }
  - { name: strict, partitions: 1, schema: { file: schemas/order.json, mode: reject } }
  - { name: sorted, partitions: 2, schema: { file: schemas/order.json, mode: dlq } }
`
const SCHEMA = JSON.stringify({ type: 'object', required: ['id'], properties: { id: { type: 'integer' } } })
const FITTING = Buffer.from('{"id":1}').toString('base64')
const UNFITTING = Buffer.from('{"id":"one"}').toString('base64')

const BACKLOG = 12_000
const QUICK_STEPS = 24
const LOAD_SECONDS = 8
const LOAD_TOPICS = 2
const LOAD_RATE = 400
const FITTING_COUNT = 30
const UNFITTING_COUNT = 40
const KAFKA_BATCHES = 30
const KAFKA_BATCH = 20
const DUE_LATER = 5
const DUE_SOON = 4
/** How often each of these goes wrong, by the code on the wire. */
const ERRORS = {
  UNKNOWN_TOPIC_OR_PARTITION: 7,
  OFFSET_OUT_OF_RANGE: 5,
  INVALID_REQUEST: 3,
  SCHEMA_VALIDATION_FAILED: 2,
} as const
/** And by that of Kafka's protocol. */
const KAFKA_UNKNOWN_TOPIC = 4

const isPossible = Prometheus.isThere()
if (!isPossible) {
  process.stderr.write(
    'test/deploy/prometheus.test.ts is skipped: there is no prometheus (apt-get install prometheus)\n',
  )
}
const noDisk = isPossible ? LoopDisk.missing('ext4', { toCut: false }) : 'is not needed'

/** What this file has seen itself. */
const counted = {
  in: new Map<string, number>(),
  out: new Map<string, number>(),
  produceRequests: 0,
  load: 0,
}
const add = (counts: Map<string, number>, topic: string, count: number) =>
  counts.set(topic, (counts.get(topic) ?? 0) + count)

/** Only of the broker that has work to do. */
let here: string
let home: BrokerHome
let broker: BrokerProcess
let smallHome: BrokerHome
let small: BrokerProcess
let disk: LoopDisk | undefined
let prometheus: Prometheus
let jsonProxy: CountingProxy
let kafkaProxy: CountingProxy
let json: RawClient
let kafka: KafkaClient
const members: DoorMember[] = []
let loadBeganMs: number
let loadEndedMs: number

describe.skipIf(!isPossible)('with a real Prometheus', () => {
  beforeAll(async () => {
    home = new BrokerHome()
    mkdirSync(join(home.configDirectory, 'schemas'))
    writeFileSync(join(home.configDirectory, 'schemas/order.json'), SCHEMA)
    writeFileSync(join(home.configDirectory, 'topics.yml'), TOPICS)
    smallHome = new BrokerHome()
    const dataDirectory: Record<string, string> = {}
    if (noDisk === undefined) {
      disk = new LoopDisk('ext4', 24)
      disk.mount()
      dataDirectory['CAFELOG_DATA_DIR'] = join(disk.path, 'data')
    }
    ;[broker, small] = await Promise.all([home.start(), smallHome.start({ environment: dataDirectory })])
    here = `instance="127.0.0.1:${broker.httpPort}"`
    jsonProxy = await CountingProxy.listen(broker.port)
    kafkaProxy = await CountingProxy.listen(broker.kafkaPort)
    json = await RawClient.connect(jsonProxy.port)
    kafka = await KafkaClient.connect(kafkaProxy.port)
    // As they are, but they need not hold for long.
    const rules = readFileSync(join(ROOT, 'deploy/prometheus/alerts.yml'), 'utf8').replaceAll(
      /\bfor: \w+$/gm,
      'for: 1s',
    )
    prometheus = await Prometheus.start({ ports: [broker.httpPort, small.httpPort], rules })
    for (let topic = 1; topic <= LOAD_TOPICS; topic++)
      await json.ask(CREATE_TOPIC, { topic: `load-test-${topic}`, partitions: 1 })
    // All counters have been seen at 0 before anything is counted.
    await prometheus.scrapedSince(Date.now(), broker.httpPort)
    loadBeganMs = Date.now()
    await Promise.all([runLoadTest(), useJson(), useKafka()])
    loadEndedMs = Date.now()
    await prometheus.scrapedSince(loadEndedMs, broker.httpPort)
  }, 90_000)

  afterAll(async () => {
    await prometheus?.stop()
    await Promise.all(members.map((member) => member.leave()))
    json?.close()
    kafka?.close()
    for (const proxy of [jsonProxy, kafkaProxy]) proxy?.close()
    await Promise.all([home?.remove(), smallHome?.remove()])
    disk?.remove()
  }, 30_000)

  test('the first scrape after the load knows what was counted: messages, bytes, requests, errors, lag', async () => {
    const {
      'load-test-1': one,
      'load-test-2': two,
      ...others
    } = await sumBy('topic', `cafelog_messages_total{direction="in",${here}} > 0`)
    expect(one + two).toBe(counted.load)
    expect(others).toEqual(Object.fromEntries(counted.in))
    expect(await sumBy('topic', `cafelog_messages_total{direction="out",${here}} > 0`)).toEqual(
      Object.fromEntries(counted.out),
    )
    for (const [protocol, proxy] of Object.entries({ json: jsonProxy, kafka: kafkaProxy })) {
      expect(await sumBy('direction', `cafelog_bytes_total{protocol="${protocol}",${here}}`)).toEqual({
        in: proxy.bytesIn,
        out: proxy.bytesOut,
      })
    }
    expect(await sumBy('protocol', `cafelog_requests_total{operation="produce",protocol="json",${here}}`)).toEqual({
      json: counted.produceRequests,
    })
    expect(await sumBy('type', `cafelog_errors_total{${here}} > 0`)).toEqual({
      ...ERRORS,
      UNKNOWN_TOPIC_OR_PARTITION: ERRORS.UNKNOWN_TOPIC_OR_PARTITION + KAFKA_UNKNOWN_TOPIC,
      // So a new member of a classic group is told its id.
      MEMBER_ID_REQUIRED: 1,
    })
    expect(await sumBy('group', `cafelog_consumer_lag{topic="orders",partition="0",${here}}`)).toEqual({
      slow: BACKLOG,
      quick: 0,
      shippers: BACKLOG - 10,
      packers: BACKLOG - 20,
    })
    expect(await sumBy('topic', `cafelog_scheduled_inflight{${here}}`)).toEqual({ reminders: DUE_LATER })
    expect(await sumBy('event', `cafelog_scheduled_total{${here}} > 0`)).toEqual({
      accepted: DUE_LATER + DUE_SOON,
      delivered: DUE_SOON,
    })
    expect(await sumBy('result', `cafelog_schema_validations_total{topic="sorted",${here}}`)).toEqual({
      valid: FITTING_COUNT,
      invalid: UNFITTING_COUNT,
    })
    expect(await sumBy('reason', `cafelog_dlq_messages_total{${here}}`)).toEqual({ type: UNFITTING_COUNT })
    expect(await sumBy('topic', `cafelog_dlq_depth{${here}} > 0`)).toEqual({ 'sorted.dlq': UNFITTING_COUNT })
    expect(await sumBy('group', `cafelog_consumer_group_members{${here}}`)).toEqual({
      slow: 0,
      quick: 0,
      shippers: 1,
      packers: 1,
    })
  })

  test('every query of the dashboards returns data of the load, with the labels of its legend', async () => {
    const faults: string[] = []
    for (const { uid, panels = [] } of dashboards()) {
      for (const { title, targets = [] } of panels as any[]) {
        for (const { expr, range: isRange, legendFormat } of targets) {
          const expression = fill(expr)
          const found = isRange
            ? await prometheus.queryRange(expression, loadBeganMs + 3000, loadEndedMs)
            : await prometheus.query(expression, loadEndedMs)
          const where = `${uid}: ${title}: ${expression}`
          if (!found.some(({ values }) => values.some(({ value }) => Number.isFinite(value)))) faults.push(where)
          for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
            if (!found.some(({ labels }) => label in labels)) faults.push(`${where}: has no label ${label}`)
        }
      }
    }
    expect(faults).toEqual([])
  })

  test('what can be chosen on a page is what there is', async () => {
    expect(await prometheus.labelValues('topic', `cafelog_partitions{${here}}`)).toEqual(
      expect.arrayContaining(['orders', 'reminders', 'sorted', 'sorted.dlq', 'load-test-1', 'load-test-2']),
    )
    expect(await prometheus.labelValues('group', `cafelog_consumer_group_members{${here}}`)).toEqual([
      'packers',
      'quick',
      'shippers',
      'slow',
    ])
    expect(await prometheus.labelValues('instance', 'cafelog_build_info')).toHaveLength(2)
  })

  test('rates are those of the load', async () => {
    const [{ panels = [] }] = dashboards()
    const { targets } = (panels as any[]).find(({ title }) => title === 'Busiest topics')
    // From before the load until now: how fast it went depends on the machine, how much came does not.
    const seconds = Math.ceil((Date.now() - loadBeganMs) / 1000) + 2
    const busiest = await prometheus.query(fill(targets[0].expr, `${seconds}s`))
    const rates = busiest.filter(({ labels }) => labels['topic'].startsWith('load-test-'))
    expect(rates).toHaveLength(LOAD_TOPICS)
    const records = rates.reduce((sum, { values }) => sum + values[0].value * seconds, 0)
    expect(records / counted.load).toBeGreaterThan(0.7)
    expect(records / counted.load).toBeLessThan(1.3)
  })

  test(
    'rules are evaluated without an error; lag and dead letters fire, what is well does not',
    { timeout: 60_000 },
    async () => {
      expect(await prometheus.fired('HighConsumerLag', { group: 'slow', topic: 'orders' }, FIRING_MS_MAX)).toBe(
        `slow is ${BACKLOG} records behind on topic orders, partition 0`,
      )
      expect(await prometheus.fired('CafeLogDLQGrowth', { topic: 'sorted.dlq' }, FIRING_MS_MAX)).toMatch(
        /^\d+ dead letters came to sorted\.dlq within ten minutes$/,
      )
      expect(await prometheus.fired('CafeLogDLQUnresolved', { topic: 'sorted.dlq' }, FIRING_MS_MAX)).toBe(
        `${UNFITTING_COUNT} dead letters in sorted.dlq have waited for a day`,
      )
      await prometheus.fired('CafeLogSchemaFailureRatioHigh', { topic: 'sorted' }, FIRING_MS_MAX)
      await prometheus.fired('CafeLogConsumerLate', { group: 'slow', topic: 'orders' }, FIRING_MS_MAX)
      await prometheus.fired('CafeLogGroupDeserted', { group: 'slow' }, FIRING_MS_MAX)
      const rules = await prometheus.rules()
      expect(rules.filter(({ health }) => health !== 'ok')).toEqual([])
      const firing = rules.filter(({ state }) => state === 'firing').map(({ name }) => name)
      for (const name of ['CafeLogPartitionsOffline', 'CafeLogCorruptBatches', 'CafeLogServerErrors'])
        expect(firing).not.toContain(name)
      for (const name of ['CafeLogMetricsFolded', 'CafeLogUnreadRecordsDeleted']) expect(firing).not.toContain(name)
    },
  )

  test.skipIf(noDisk !== undefined)(
    `a disk that is nearly full fires${noDisk === undefined ? '' : ` (skipped: ${noDisk})`}`,
    { timeout: 60_000 },
    async () => {
      const path = disk!.path
      const { blocks, bavail, bsize } = statfsSync(path)
      writeFileSync(join(path, 'something-else'), Buffer.alloc(bavail * bsize - Math.floor(blocks * bsize * 0.03)))
      const instance = `127.0.0.1:${small.httpPort}`
      expect(await prometheus.fired('CafeLogDiskNearlyFull', { instance }, FIRING_MS_MAX)).toMatch(
        /^The disk of 127\.0\.0\.1:\d+ has [23]\.\d*% left: records will be refused$/,
      )
    },
  )

  test('a broker that is gone fires', { timeout: 60_000 }, async () => {
    await small.kill()
    const instance = `127.0.0.1:${small.httpPort}`
    expect(await prometheus.fired('CafeLogDown', { instance }, FIRING_MS_MAX)).toContain('has not answered Prometheus')
  })

  const promtool = spawnSync('promtool', ['--version']).status === 0
  test.skipIf(!promtool)('promtool finds nothing to complain of but the one name that has to be', async () => {
    const text = await broker.scrape()
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' })
    expect(status).toBe(3)
    expect(`${stdout}${stderr}`.trim()).toBe(
      'cafelog_publish_latency_ms metric names should not contain abbreviated units',
    )
  })
})

/** A query as Grafana asks it of all that there is. Its rates look back over four scrapes; here some may have been missed. */
function fill(expression: string, window = '20s'): string {
  return expression.replaceAll('$__rate_interval', window).replaceAll(/\$(?:instance|topic|group)\b/g, '.*')
}

/** The sums of an expression by a label. */
async function sumBy(label: string, expression: string): Promise<Record<string, number>> {
  const found = await prometheus.query(`sum by (${label}) (${expression})`)
  return Object.fromEntries(found.map(({ labels, values }) => [labels[label], values[0].value]))
}

/** The load test as users run it; it sends one message in each request. */
async function runLoadTest(): Promise<void> {
  const options = ['--topics', LOAD_TOPICS, '--rate', LOAD_RATE, '--duration', `${LOAD_SECONDS}s`, '--json']
  const address = ['--broker', `127.0.0.1:${jsonProxy.port}`]
  const words = [LOAD_TEST, ...options.map(String), ...address]
  const { stdout } = await promisify(execFile)(process.execPath, words)
  const { acked, failed } = JSON.parse(stdout)
  expect(failed).toBe(0)
  counted.load = acked
  counted.produceRequests += acked
}

async function produce(topic: string, partition: number, records: readonly object[]) {
  counted.produceRequests++
  return (await json.ask(PRODUCE, { topic, partition, records })).json
}

async function useJson(): Promise<void> {
  const longAgo = Date.now() - 400_000
  const half = Array.from({ length: BACKLOG / 2 }, () => ({ value: 'AAAA', ts: longAgo }))
  for (const records of [half, half]) expect(await produce('orders', 0, records)).not.toHaveProperty('error')
  add(counted.in, 'orders', BACKLOG)
  await json.ask(COMMIT, { group: 'slow', topic: 'orders', partition: 0, offset: 0 })
  const packers = await DOOR_MEMBERS['the JSON door'](
    { json: jsonProxy.port, kafka: kafkaProxy.port },
    { group: 'packers', topic: 'orders', partitions: 4 },
  )
  members.push(packers)
  await packers.commit(0, 20)
  await goWrong()

  const dueAt = Date.now() + 3_600_000
  await produce(
    'reminders',
    0,
    Array.from({ length: DUE_LATER }, () => ({ value: 'AAAA', dueAt })),
  )
  for (let step = 1; step <= QUICK_STEPS; step++) {
    const offset = (BACKLOG / QUICK_STEPS) * step
    const { records } = (await json.ask(FETCH, { topic: 'orders', partition: 0, offset: offset - 1, maxBytes: 1000 }))
      .json
    add(counted.out, 'orders', records.length)
    await json.ask(COMMIT, { group: 'quick', topic: 'orders', partition: 0, offset })
    if (step <= DUE_SOON) {
      await produce('reminders', 0, [{ value: 'AAAA', dueAt: Date.now() + 2500 }])
      add(counted.in, 'reminders', 1)
    }
    const fits = Array.from({ length: Math.max(0, Math.min(5, FITTING_COUNT - (step - 1) * 5)) }, () => ({
      value: FITTING,
    }))
    const fitsNot = Array.from({ length: Math.max(0, Math.min(4, UNFITTING_COUNT - (step - 1) * 4)) }, () => ({
      value: UNFITTING,
    }))
    if (fits.length + fitsNot.length > 0) await produce('sorted', step % 2, [...fits, ...fitsNot])
    if (fits.length > 0) add(counted.in, 'sorted', fits.length)
    if (fitsNot.length > 0) add(counted.in, 'sorted.dlq', fitsNot.length)
    await pause((LOAD_SECONDS * 1000) / QUICK_STEPS)
  }
}

/** Asks for what cannot be had, each so often as ERRORS says, all through the JSON door. */
async function goWrong(): Promise<void> {
  const attempts: Record<keyof typeof ERRORS, () => Promise<any>> = {
    UNKNOWN_TOPIC_OR_PARTITION: () => produce('nowhere', 0, [{ value: 'AAAA' }]),
    OFFSET_OUT_OF_RANGE: async () => (await json.ask(FETCH, { topic: 'orders', partition: 1, offset: 99_999 })).json,
    INVALID_REQUEST: async () => (await json.ask(FETCH, 'no JSON')).json,
    SCHEMA_VALIDATION_FAILED: () => produce('strict', 0, [{ value: UNFITTING }]),
  }
  for (const [code, count] of Object.entries(ERRORS)) {
    for (let time = 0; time < count; time++)
      expect((await attempts[code as keyof typeof ERRORS]()).error.code).toBe(code)
  }
}

async function useKafka(): Promise<void> {
  const shippers = await DOOR_MEMBERS["Kafka's classic protocol"](
    { json: jsonProxy.port, kafka: kafkaProxy.port },
    { group: 'shippers', topic: 'orders', partitions: 4 },
  )
  members.push(shippers)
  await shippers.commit(0, 10)
  const send = async (topic: string) => {
    const records = buildBatch(
      Array.from({ length: KAFKA_BATCH }, () => ({ value: 'from Kafka', timestamp: Date.now() })),
    )
    const topicData = [{ name: topic, partitionData: [{ index: 3, records }] }]
    const { responses } = await kafka.ask(Produce, 9, { transactionalId: null, acks: -1, timeoutMs: 10_000, topicData })
    return responses[0].partitionResponses[0].errorCode
  }
  for (let batch = 0; batch < KAFKA_BATCHES; batch++) {
    expect(await send('orders')).toBe(0)
    add(counted.in, 'orders', KAFKA_BATCH)
    if (batch < KAFKA_UNKNOWN_TOPIC) expect(await send('nowhere')).toBe(3)
    await pause((LOAD_SECONDS * 1000) / KAFKA_BATCHES)
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds)
  })
}
