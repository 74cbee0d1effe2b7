import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Metadata } from '../../src/protocols/kafka/apis/03-metadata.ts'
import { createRegistry } from '../../src/protocols/kafka/services.ts'
import { BrokerHome } from '../support/broker-process.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { BusyNeighbour } from '../support/busy-neighbour.ts'
import { largeMessages } from '../support/extreme-requests.ts'
import { readAnswer, sendAndEnd, settle } from '../support/hostile-client.ts'
import { importApis, versionsOf } from '../support/kafka-apis.ts'
import { encodeRequest, KafkaClient } from '../support/kafka-client.ts'

// Requests that are right in every byte and larger than anybody's: lists with very many elements, all
// of them the same or all different, the longest names, numbers from both ends. They are answered in a bounded time, with
// an answer of bounded size, and in memory that comes back.

const MIB = 1024 * 1024
const RSS_BYTES_MAX = 700 * MIB
const ANSWER_BYTES_MAX = 64 * MIB
/** Time that others wait for is measured in what the broker works: how long that takes depends on what else runs here. */
const CPU_SECONDS_MAX = 3
const CPU_SECONDS_NOTEWORTHY = 1
const ANSWER_MS_MAX = 60_000
/** Of the topic that exists: an answer that lists them again and again would be noticed. */
const PARTITIONS = 100

const registry = createRegistry()
const apis = (await importApis()).filter((api) => versionsOf(api).every((version) => registry.find(api.key, version)))

let home: BrokerHome
let broker: BrokerProcess
let uuid: string
let neighbour: BusyNeighbour
let peakRssBytes = 0
const costly: string[] = []

beforeAll(async () => {
  home = new BrokerHome()
  broker = await home.start({ environment: { CAFELOG_DEFAULT_PARTITIONS: '2', CAFELOG_AUTO_CREATE_TOPICS: 'false' } })
  const json = await broker.connect()
  await json.ask(1, { topic: 'large', partitions: PARTITIONS })
  for (let partition = 0; partition < PARTITIONS; partition++) {
    await json.ask(4, { topic: 'large', partition, group: 'large', offset: 0 })
  }
  await json.ask(1, { topic: 'quiet', partitions: 1 })
  for (let n = 0; n < 20; n++) {
    await json.ask(2, {
      topic: 'large',
      partition: 0,
      records: [{ value: Buffer.alloc(50_000).toString('base64'), ts: n * 1000 }],
    })
  }
  json.close()
  const client = await KafkaClient.connect(broker.kafkaPort)
  const { topics } = await client.ask(Metadata, 10, { topics: [{ name: 'large' }], allowAutoTopicCreation: false })
  client.close()
  uuid = topics[0].topicId
  neighbour = await BusyNeighbour.start(broker.kafkaPort)
})
afterAll(async () => {
  await home.remove()
})

describe.each(apis.map((api) => ({ name: api.name, api })))('$name', ({ api }) => {
  test('more than anybody asks for', { timeout: 240_000 }, async () => {
    const version = api.versions.last
    for (const { what, message } of largeMessages(api.request, version, { topic: 'large', uuid })) {
      const frame = encodeRequest(api, version, 1, message as never)
      const cpuBefore = await broker.cpuSeconds()
      const { received, isClosed } = await sendAndEnd(broker.kafkaPort, frame, ANSWER_MS_MAX)
      const cpuSeconds = (await broker.cpuSeconds()) - cpuBefore
      const label = `${what}: ${frame.length} bytes, ${received.length} back, ${cpuSeconds.toFixed(2)} s of the processor`
      if (cpuSeconds > CPU_SECONDS_NOTEWORTHY) costly.push(`${api.name} v${version}, ${label}`)
      expect(cpuSeconds, label).toBeLessThan(CPU_SECONDS_MAX)
      expect(isClosed, label).toBe(true)
      expect(received.length, label).toBeLessThan(ANSWER_BYTES_MAX)
      readAnswer(api, version, received)
      peakRssBytes = Math.max(peakRssBytes, await broker.rssBytes())
    }
  })
})

test('memory was bounded, and comes back', { timeout: 60_000 }, async () => {
  await neighbour.end()
  const { rssBytes } = await settle(broker, { rssBytes: 350 * MIB, connections: 0 }, 30_000)
  console.info(
    [`at most ${Math.round(peakRssBytes / MIB)} MiB, then ${Math.round(rssBytes / MIB)} MiB`, ...costly].join('\n'),
  )
  expect(peakRssBytes).toBeLessThan(RSS_BYTES_MAX)
  expect(rssBytes).toBeLessThan(400 * MIB)
  expect(broker.log.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([])
  expect(await broker.stop()).toBe(0)
})
