// Requests as foreign clients have really sent them, in golden/: our readers understand them, our writers make the same bytes
// of them, and a broker answers them. COMPAT_RECORD_GOLDEN=1 records them anew, with the clients that are installed.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { beginRequest, readRequestHeader, skipHeaderTags } from '../../src/protocols/kafka/headers.ts'
import { Reader } from '../../src/protocols/kafka/reader.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { BrokerHome } from '../support/broker-process.ts'
import { readAnswer, sendAndEnd } from '../support/hostile-client.ts'
import type { AnyApi } from '../support/kafka-apis.ts'
import { importApis } from '../support/kafka-apis.ts'
import { RecordingProxy } from '../support/recording-proxy.ts'
import type { Agent } from './agents.ts'
import { AGENTS, RunningAgent } from './agents.ts'

/** One request, the frame with its length in hexadecimal digits. */
interface GoldenRequest {
  readonly api: string
  readonly version: number
  readonly frame: string
}

const FOLDER = new URL('golden/', import.meta.url)
const FRAME_BYTES_MAX = 700
const PATIENCE_MS = 3_000
/** These clients leave zero bytes behind the end of a request for all topics (librdkafka 2.1 and later). */
const SURPLUS = /^confluent/

const apis = new Map((await importApis()).map((api) => [api.name, api]))
const isRecording = process.env['COMPAT_RECORD_GOLDEN'] === '1'
const files = readdirSync(FOLDER).filter((name) => name.endsWith('.json') && !name.startsWith('kafka-tools'))

/** Reads a frame as the broker does; `position` is behind the last field. */
function decode(frame: Buffer) {
  const reader = new Reader(frame, 4, frame.length)
  const header = readRequestHeader(reader)
  const api = [...apis.values()].find(({ key }) => key === header.apiKey) as AnyApi
  skipHeaderTags(reader, api, header.apiVersion)
  const bodyAt = reader.position
  const request = api.readRequest(reader, header.apiVersion)
  return { api, header, request, bodyAt, position: reader.position }
}

test.runIf(isRecording)('are recorded', { timeout: 200_000 }, async () => {
  mkdirSync(FOLDER, { recursive: true })
  for (const agent of AGENTS.filter(({ missing }) => missing === undefined)) await record(agent)
})

async function record(agent: Agent): Promise<void> {
  const proxy = await RecordingProxy.listen()
  const home = new BrokerHome()
  const environment = {
    CAFELOG_KAFKA_ADVERTISED: `127.0.0.1:${proxy.port}`,
    CAFELOG_GROUP_INITIAL_REBALANCE_DELAY: '0',
  }
  const broker = await home.start({ environment })
  try {
    proxy.targetPort = broker.kafkaPort
    const json = await broker.connect()
    await json.ask(1, { topic: 'golden', partitions: 1, config: { 'retention.ms': '-1' } })
    json.close()
    const common = { bootstrap: `127.0.0.1:${proxy.port}`, topic: 'golden', partitions: 1 }
    const produce = { ...common, first: 1, count: 3, codec: 'none', acks: 'all', idempotent: agent.isIdempotent }
    await new RunningAgent(agent, { command: 'produce', parameters: produce }).ended
    const consume = { ...common, count: 3, isolation: 'read_committed' }
    await new RunningAgent(agent, { command: 'consume', parameters: consume }).ended
    if (agent.commands.includes('join')) {
      const group = {
        ...common,
        group: 'golden',
        protocol: 'classic',
        assignor: agent.assignors[0],
        sessionTimeoutMs: 6000,
      }
      const member = new RunningAgent(agent, { command: 'join', parameters: group })
      setTimeout(() => member.tell('stop'), 4_000)
      await member.ended
    }
  } finally {
    proxy.close()
    await home.remove()
  }
  const requests = new Map<string, GoldenRequest>()
  for (const frame of proxy.frames.filter(({ length }) => length <= FRAME_BYTES_MAX)) {
    const key = frame.readInt16BE(4)
    const version = frame.readInt16BE(6)
    const api = [...apis.values()].find((candidate) => candidate.key === key)
    if (api?.serves(version) !== true || requests.has(`${key}/${version}`)) continue
    requests.set(`${key}/${version}`, { api: api.name, version, frame: frame.toString('hex') })
  }
  writeFileSync(new URL(`${agent.name}.json`, FOLDER), `${JSON.stringify([...requests.values()], undefined, 2)}\n`)
}

describe.each(files.map((name) => name.replace('.json', '')))('requests of %s', (client) => {
  const requests = JSON.parse(readFileSync(new URL(`${client}.json`, FOLDER), 'utf8')) as GoldenRequest[]
  let home: BrokerHome
  let broker: BrokerProcess
  beforeAll(async () => {
    home = new BrokerHome()
    broker = await home.start()
  })
  afterAll(() => home.remove())

  test.each(requests)('$api in version $version', async ({ api: name, version, frame: hex }) => {
    const frame = Buffer.from(hex, 'hex')
    const { api, header, request, bodyAt, position } = decode(frame)
    expect([api.name, header.apiVersion]).toEqual([name, version])
    if (!SURPLUS.test(client)) expect(position).toBe(frame.length)

    const writer = beginRequest(api, header)
    api.writeRequest(writer, version, request)
    const written = Buffer.concat(writer.finishFrame())
    expect(written.toString('hex', written.length - (position - bodyAt))).toBe(frame.toString('hex', bodyAt, position))

    const { received } = await sendAndEnd(broker.kafkaPort, frame, PATIENCE_MS)
    const answer = readAnswer(api, version, received)
    expect(answer).toBeDefined()
  })

  test('are what it was told to do', () => {
    const produced = requests.find(({ api }) => api === 'Produce')
    if (produced === undefined) return
    const { request } = decode(Buffer.from(produced.frame, 'hex'))
    expect(request).toMatchObject({ acks: -1, topicData: [{ name: 'golden', partitionData: [{ index: 0 }] }] })
  })
})
