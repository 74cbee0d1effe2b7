import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Metadata } from '../../src/protocols/kafka/apis/03-metadata.ts'
import { createRegistry } from '../../src/protocols/kafka/services.ts'
import { SeededRandom } from '../simulation/seeded-random.ts'
import { BrokerHome } from '../support/broker-process.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { BusyNeighbour } from '../support/busy-neighbour.ts'
import { inParallel, readAnswer, readFootprint, sendAndEnd, settle } from '../support/hostile-client.ts'
import type { Footprint } from '../support/hostile-client.ts'
import { damagedRequest, likelyMessage, markRequest, replaceMark, wrongLengths } from '../support/hostile-requests.ts'
import type { Names } from '../support/hostile-requests.ts'
import { importApis, versionsOf } from '../support/kafka-apis.ts'
import { KafkaClient } from '../support/kafka-client.ts'

// Every API that is served gets what no client of good will sends. Nothing of that may be felt by anyone else: an answer
// or a closed connection is all that comes of it.

const SEED = Number(process.env['CAFELOG_TEST_SEED'] ?? 7)
const PER_KEY = 200
const AT_ONCE = 16
const MIB = 1024 * 1024
/** What the heap may take to find its size, and what a second time may add to that. */
const GROWTH_BYTES_MAX = 128 * MIB
const GROWTH_AGAIN_BYTES_MAX = 32 * MIB
/** A request that makes its connection wait (a group that forms) is given up after this. */
const PATIENCE_MS = 400
/** Machines that run other tests beside this one are slow at times; without them it is some milliseconds. */
const NEIGHBOUR_MS_MAX = 15_000

const registry = createRegistry()
const apis = (await importApis()).filter((api) => versionsOf(api).every((version) => registry.find(api.key, version)))

let home: BrokerHome
let broker: BrokerProcess
let neighbour: BusyNeighbour
let names: Names
let before: Footprint

beforeAll(async () => {
  home = new BrokerHome()
  const environment = { CAFELOG_DEFAULT_PARTITIONS: '1' }
  broker = await home.start({ environment })
  const client = await KafkaClient.connect(broker.kafkaPort)
  const wanted = ['hostile-a', 'hostile-b'].map((name) => ({ name }))
  const { topics } = await client.ask(Metadata, 10, { topics: wanted, allowAutoTopicCreation: true })
  client.close()
  const uuids = topics.map(({ topicId }) => topicId)
  names = { texts: ['hostile-a', 'hostile-b', 'group', 'consumer', 'range', '1', 'retention.ms', '-1'], uuids }
  neighbour = await BusyNeighbour.start(broker.kafkaPort)
  // Once for the machine: compiled code and warm pools are not to count as memory that was lost.
  await Promise.all(apis.map((api) => harass(api.key, 1000 + api.key, 10)))
  before = await readFootprint(broker)
})
afterAll(async () => {
  await home.remove()
})

/** Sends frames of one API, each on a connection of its own; whatever comes back must be an answer to it. */
async function sendAll(frames: readonly { version: number; frame: Buffer }[], key: number): Promise<void> {
  const api = apis.find((candidate) => candidate.key === key)!
  await inParallel(frames, AT_ONCE, async ({ version, frame }) => {
    const { received } = await sendAndEnd(broker.kafkaPort, frame, PATIENCE_MS)
    try {
      readAnswer(api, version, received)
    } catch (error) {
      const text = `${api.name} v${version}, seed ${SEED}: ${frame.toString('hex', 0, 2000)} was answered with`
      throw new Error(`${text} ${received.toString('hex', 0, 2000)}`, { cause: error })
    }
  })
}

async function harass(key: number, seed: number, count: number): Promise<void> {
  const api = apis.find((candidate) => candidate.key === key)!
  const random = new SeededRandom(seed)
  const versions = versionsOf(api)
  const frames = Array.from({ length: count }, (_, round) => {
    const version = versions[round % versions.length]
    return { version, frame: damagedRequest(api, version, random, names) }
  })
  await sendAll(frames, key)
}

describe.each(apis.map((api) => ({ name: api.name, api })))('$name', ({ api }) => {
  test(`${PER_KEY} damaged requests`, () => harass(api.key, SEED * 1000 + api.key, PER_KEY))

  test('a request that is cut at every place', async () => {
    const random = new SeededRandom(SEED + api.key)
    const { frame } = markRequest(api, api.versions.last, likelyMessage(api.request, api.versions.last, random, names))
    const frames = Array.from({ length: Math.max(0, Math.min(frame.length - 5, 300)) }, (_, index) => {
      const cut = Buffer.from(frame.subarray(0, 5 + index))
      cut.writeInt32BE(cut.length - 4, 0)
      return { version: api.versions.last, frame: cut }
    })
    await sendAll(frames, api.key)
  })

  test('every length and count at its maximum, below nothing, and beyond the frame', async () => {
    const random = new SeededRandom(SEED + api.key)
    const frames = [api.versions.first, api.versions.last].flatMap((version) => {
      const marked = markRequest(api, version, likelyMessage(api.request, version, random, names))
      return marked.marks.flatMap((mark) =>
        wrongLengths(marked, mark).map((value) => ({ version, frame: replaceMark(marked, mark, value) })),
      )
    })
    await sendAll(frames.slice(0, 1000), api.key)
  })
})

test('afterwards nothing is lost: memory, connections, the neighbour and the log', { timeout: 90_000 }, async () => {
  const after = await settle(broker, { rssBytes: before.rssBytes + GROWTH_BYTES_MAX, connections: 1 }, 20_000)
  // Once more, all of them: what is lost is lost each time.
  for (const api of apis) await harass(api.key, SEED * 2000 + api.key, PER_KEY)
  await neighbour.end()
  const most = { rssBytes: after.rssBytes + GROWTH_AGAIN_BYTES_MAX, connections: 0 }
  const again = await settle(broker, most, 20_000)
  console.info(
    `${apis.length} APIs: ${[before, after, again].map(({ rssBytes }) => Math.round(rssBytes / MIB)).join(', ')} MiB; ` +
      `the neighbour's slowest of ${neighbour.rounds} rounds took ${neighbour.slowestMs.toFixed(1)} ms`,
  )
  expect(after.rssBytes - before.rssBytes).toBeLessThan(GROWTH_BYTES_MAX)
  expect(again.rssBytes).toBeLessThan(most.rssBytes)
  expect(again.connections).toBe(0)
  expect(neighbour.slowestMs).toBeLessThan(NEIGHBOUR_MS_MAX)
  // "A mistake of ours" would be a line here.
  expect(broker.log.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([])
  expect(await broker.stop()).toBe(0)
})
