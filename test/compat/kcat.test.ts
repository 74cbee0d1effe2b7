// kcat (https://github.com/edenhill/kcat), as Debian packages it: the Kafka client that people have on their terminals.
import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { playGroup } from '../support/group-scenario.ts'
import type { GroupMember } from '../support/group-scenario.ts'
import { GroupWatch } from '../support/group-watch.ts'
import { RawClient } from '../support/raw-client.ts'
import { SteadyWriter } from '../support/steady-writer.ts'
import type { WholeBroker } from '../support/start-broker.ts'
import { startWholeBroker } from '../support/start-broker.ts'

const RUN_MS_MAX = 20_000
const isMissing = spawnSync('kcat', ['-V']).status !== 0
const testWithKcat = test.skipIf(isMissing)

if (isMissing) process.stderr.write('test/compat/kcat.test.ts is skipped: there is no kcat (apt-get install kcat)\n')

let broker: WholeBroker
let json: RawClient
beforeAll(async () => {
  broker = await startWholeBroker({ environment: { CAFELOG_DEFAULT_PARTITIONS: '3' } })
  json = await RawClient.connect(broker.port)
})
afterAll(async () => {
  json.close()
  await broker.stop()
})

// If the tests are broken off, no member stays behind.
const members = new Set<ChildProcess>()
afterAll(() => {
  for (const child of members) child.kill('SIGKILL')
})

/** Runs kcat with this input; fails when it does. */
async function kcat(args: readonly string[], input = ''): Promise<string> {
  const child = spawn('kcat', ['-b', `127.0.0.1:${broker.kafkaPort}`, ...args], { timeout: RUN_MS_MAX })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (piece: string) => (stdout += piece))
  child.stderr.setEncoding('utf8').on('data', (piece: string) => (stderr += piece))
  child.stdin.end(input)
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`kcat ${args.join(' ')} ended with ${code}: ${stderr}`)
  return stdout
}

/** A record as the tests compare it. */
interface SeenRecord {
  readonly partition: number
  readonly offset: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: string
}

/** All records of a topic, as kcat reads them. */
async function consume(topic: string): Promise<SeenRecord[]> {
  const format = '%p\\t%o\\t%K\\t%k\\t%S\\t%s\\t%h\\n'
  const output = await kcat(['-C', '-t', topic, '-o', 'beginning', '-e', '-q', '-f', format])
  return output
    .split('\n')
    .slice(0, -1)
    .map((line) => {
      const [partition, offset, keyBytes, key, valueBytes, value, headers] = line.split('\t')
      return {
        partition: Number(partition),
        offset: Number(offset),
        key: keyBytes === '-1' ? null : key,
        value: valueBytes === '-1' ? null : value,
        headers,
      }
    })
    .toSorted((left, right) => left.partition - right.partition || left.offset - right.offset)
}

/** All records of a partition, as the JSON door gives them. */
async function fetchJson(topic: string, partition: number): Promise<SeenRecord[]> {
  const seen: SeenRecord[] = []
  for (;;) {
    const { json: answer } = await json.ask(3, { topic, partition, offset: seen.length })
    if (answer.error !== undefined) throw new Error(answer.error.message)
    if (answer.records.length === 0) return seen
    for (const { offset, key, value, headers = [] } of answer.records) {
      const text = headers.map((header: any) => `${header.key}=${decode(header.value)}`).join(',')
      seen.push({ partition, offset, key: decode(key), value: decode(value), headers: text })
    }
  }
}

function decode(base64: string | null | undefined): string | null {
  return base64 === null || base64 === undefined ? null : Buffer.from(base64, 'base64').toString()
}

function lines(count: number, line: (index: number) => string): string {
  return Array.from({ length: count }, (_, index) => `${line(index)}\n`).join('')
}

testWithKcat('metadata: the broker, and a topic that asking for it has made', async () => {
  const output = await kcat(['-L', '-t', 'asked-for', '-X', 'allow.auto.create.topics=true'])
  expect(output).toContain(` broker 1 at 127.0.0.1:${broker.kafkaPort} (controller)`)
  const all = await kcat(['-L'])
  expect(all).toContain('topic "asked-for" with 3 partitions:')
  expect(all).toContain('partition 2, leader 1, replicas: 1, isrs: 1')
})

testWithKcat.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'])(
  'records come back as they were sent: %s',
  async (codec) => {
    const topic = `codec-${codec}`
    const value = (index: number) => `value ${index} ${'abcdefgh'.repeat(index % 40)}`
    const produce = ['-P', '-t', topic, '-p', '1', '-z', codec, '-H', 'source=kcat', '-H', 'run=1']
    await kcat(
      [...produce, '-K', ':'],
      lines(5000, (index) => `key-${index}:${value(index)}`),
    )
    const seen = await consume(topic)
    expect(seen).toEqual(
      Array.from({ length: 5000 }, (_, offset) => {
        return { partition: 1, offset, key: `key-${offset}`, value: value(offset), headers: 'source=kcat,run=1' }
      }),
    )
    expect(await fetchJson(topic, 1)).toEqual(seen)
  },
)

testWithKcat('null keys, empty keys and tombstones', async () => {
  await kcat(['-P', '-t', 'nulls', '-p', '0', '-Z', '-K', ':'], 'key:\n:\n:value\n')
  await kcat(['-P', '-t', 'nulls', '-p', '0'], 'no key\n')
  const seen = await consume('nulls')
  expect(seen.map(({ key, value }) => [key, value])).toEqual([
    ['key', null],
    [null, null],
    [null, 'value'],
    [null, 'no key'],
  ])
  expect(await fetchJson('nulls', 0)).toEqual(seen)
})

testWithKcat('what the JSON door has taken', async () => {
  await json.ask(1, { topic: 'from-json', partitions: 2 })
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  const records = Array.from({ length: 500 }, (_, index) => ({
    key: index % 3 === 0 ? null : base64(`key-${index}`),
    value: index % 5 === 0 ? null : base64(`value-${index}`),
    headers: [{ key: 'index', value: base64(String(index)) }],
  }))
  for (const partition of [0, 1]) {
    expect((await json.ask(2, { topic: 'from-json', partition, records })).json).toMatchObject({ numRecords: 500 })
  }
  const seen = await consume('from-json')
  expect(seen).toEqual([...(await fetchJson('from-json', 0)), ...(await fetchJson('from-json', 1))])
  expect(seen).toHaveLength(1000)
  expect(seen[501]).toEqual({ partition: 1, offset: 1, key: 'key-1', value: 'value-1', headers: 'index=1' })
})

testWithKcat('offsets by time, and acks of all kinds', async () => {
  await json.ask(1, { topic: 'by-time', partitions: 1, config: { 'retention.ms': '-1' } })
  const records = [1000, 2000, 3000].map((ts) => ({ value: '', ts }))
  await json.ask(2, { topic: 'by-time', partition: 0, records })
  const offsetAt = async (timestamp: number) => (await kcat(['-Q', '-t', `by-time:0:${timestamp}`])).trim()
  expect(await offsetAt(-2)).toBe('by-time [0] offset 0')
  expect(await offsetAt(-1)).toBe('by-time [0] offset 3')
  expect(await offsetAt(1500)).toBe('by-time [0] offset 1')
  expect(await offsetAt(2000)).toBe('by-time [0] offset 1')
  for (const acks of ['0', '1', '-1']) {
    await kcat(['-P', '-t', 'by-time', '-X', `topic.request.required.acks=${acks}`], `acks ${acks}\n`)
  }
  expect((await consume('by-time')).slice(3).map(({ value }) => value)).toEqual(['acks 0', 'acks 1', 'acks -1'])
})

const SESSION_MS = 6000
const PARTITIONS = 12

/** A member of a group that tells `watch` what it does. */
function joinGroup(
  watch: GroupWatch,
  name: string,
  options: { topic: string; group: string; assignor: string },
): GroupMember {
  const { topic, group, assignor } = options
  const settings = {
    'partition.assignment.strategy': assignor,
    'session.timeout.ms': SESSION_MS,
    'heartbeat.interval.ms': 500,
    'auto.commit.interval.ms': 200,
    'auto.offset.reset': 'earliest',
  }
  const words = Object.entries(settings).flatMap(([key, value]) => ['-X', `${key}=${value}`])
  const output = ['-u', '-f', String.raw`%p %o\n`]
  const child = spawn('kcat', ['-b', `127.0.0.1:${broker.kafkaPort}`, ...words, ...output, '-G', group, topic])
  members.add(child)
  createInterface({ input: child.stdout }).on('line', (line) => {
    const [partition, offset] = line.split(' ')
    watch.saw(name, Number(partition), Number(offset))
  })
  let complaints = ''
  createInterface({ input: child.stderr }).on('line', (line) => {
    // `…rebalanced (memberid …): assigned: t [0], t [1]`, `…rebalanced: incremental revoke of 2 partition(s) (…): t [0], t [1]`
    const [, event] = /rebalanced.*\b(assign|revoke)(?:e?d:|ment of| of)/.exec(line) ?? []
    const partitions = Array.from(line.matchAll(/ \[(\d+)\]/g), ([, partition]) => Number(partition))
    if (event === 'assign') watch.assigned(name, partitions)
    else if (event === 'revoke') watch.revoked(name, partitions)
    else if (!/^% (?:Waiting for group rebalance|Reached end)/.test(line)) complaints += `${line}\n`
  })
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal)
    await once(child, 'close')
    members.delete(child)
    watch.gone(name)
  }
  return {
    leave: () => end('SIGTERM'),
    die: () => end('SIGKILL'),
    get complaints() {
      return complaints
    },
  }
}

let groupsPlayed = 0

testWithKcat.each(['range', 'cooperative-sticky'])(
  'a group shares twelve partitions while members come, leave and die: %s',
  { timeout: 90_000 },
  async (assignor) => {
    const topic = `shared-${assignor}-${++groupsPlayed}`
    await json.ask(1, { topic, partitions: PARTITIONS })
    const watch = new GroupWatch(PARTITIONS)
    const writer = await SteadyWriter.start(broker.port, topic, PARTITIONS)
    await playGroup({
      expect,
      watch,
      writer,
      join: (name) => joinGroup(watch, name, { topic, group: `of-${topic}`, assignor }),
      sessionMs: SESSION_MS,
      settleMs: 5000,
      // kcat drops a record that it holds when it is told to end, after having stored its offset: let it hold none.
      isQuietWhileLeaving: true,
    })
  },
)
