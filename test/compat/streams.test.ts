// Kafka Streams, unmodified: a word count with its repartition and changelog topics is killed, and goes on.
import { mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ListOffsets } from '../../src/protocols/kafka/apis/02-list-offsets.ts'
import { Metadata } from '../../src/protocols/kafka/apis/03-metadata.ts'
import { OffsetFetch } from '../../src/protocols/kafka/apis/09-offset-fetch.ts'
import { DescribeConfigs } from '../../src/protocols/kafka/apis/32-describe-configs.ts'
import { BrokerHome } from '../support/broker-process.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import type { CommittedPosition } from '../support/committed-records.ts'
import { readCommitted } from '../support/committed-records.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import type { RawClient } from '../support/raw-client.ts'
import { findMissingJava, JavaProgram } from './java.ts'

const TEST_MS_MAX = 180_000
const WAIT_MS_MAX = 60_000
const LOOK_AGAIN_MS = 100
const PARTITIONS = 2
const TOPIC_RESOURCE = 2
const WORDS = ['espresso', 'doppio', 'ristretto', 'lungo', 'macchiato', 'cortado', 'cappuccino']

const missing = findMissingJava()
if (missing !== undefined) process.stderr.write(`test/compat/streams.test.ts is skipped: ${missing}\n`)

/** What the application has put out, word by word. */
class Counts {
  /** Every count of a word in the order in which they came. */
  readonly ofWord = new Map<string, number[]>()
  readonly #client: KafkaClient
  readonly #positions: readonly CommittedPosition[]

  constructor(client: KafkaClient, topic: string) {
    this.#client = client
    this.#positions = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic, partition, offset: 0 }))
  }

  get records(): number {
    return [...this.ofWord.values()].reduce((sum, counts) => sum + counts.length, 0)
  }

  /** The last count of each word. */
  get latest(): Record<string, number | undefined> {
    return Object.fromEntries([...this.ofWord].map(([word, counts]) => [word, counts.at(-1)]))
  }

  async read(): Promise<this> {
    for (const position of this.#positions) {
      for (const { key, value } of await readCommitted(this.#client, position)) {
        const word = String(key)
        this.ofWord.set(word, [...(this.ofWord.get(word) ?? []), Number(String(value))])
      }
    }
    return this
  }
}

/** Lines of words, the same in every run, and how often each word is in them. */
function makeLines(first: number, count: number): string[] {
  const wordAt = (index: number) => WORDS[(index * index + (index >> 2)) % WORDS.length]
  return Array.from({ length: count }, (_, line) => {
    const at = (first + line) * 5
    return Array.from({ length: 5 }, (_, word) => wordAt(at + word)).join(' ')
  })
}

function count(lines: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const word of lines.flatMap((line) => line.split(' '))) counts[word] = (counts[word] ?? 0) + 1
  return counts
}

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + WAIT_MS_MAX
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`Waited for ${what} in vain`)
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS))
  }
}

describe.skipIf(missing !== undefined)('a word count with Kafka Streams', () => {
  let home: BrokerHome
  let broker: BrokerProcess
  let client: KafkaClient
  let json: RawClient
  let directory: string
  const running = new Set<JavaProgram>()
  beforeAll(async () => {
    home = new BrokerHome()
    directory = mkdtempSync(join(tmpdir(), 'cafelog-streams-'))
    broker = await home.start({ environment: { CAFELOG_FLUSH_POLICY: 'interval:10ms' } })
    client = await KafkaClient.connect(broker.kafkaPort)
    json = await broker.connect()
  })
  afterAll(async () => {
    await Promise.all([...running].map((program) => program.kill()))
    client.close()
    json.close()
    await broker.stop()
    await home.remove()
    await rm(directory, { recursive: true, force: true })
  })

  /** The lines go in through the JSON door. */
  async function produce(topic: string, lines: readonly string[]): Promise<void> {
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const records = lines
        .filter((_, index) => index % PARTITIONS === partition)
        .map((line) => ({ value: Buffer.from(line).toString('base64') }))
      const { json: answer } = await json.ask(2, { topic, partition, records })
      expect(answer).toMatchObject({ numRecords: records.length })
    }
  }

  async function start(guarantee: string, run: number): Promise<JavaProgram> {
    const program = new JavaProgram('WordCount', {
      bootstrap: `127.0.0.1:${broker.kafkaPort}`,
      applicationId: guarantee,
      from: `${guarantee}-lines`,
      to: `${guarantee}-counts`,
      guarantee,
      // A new one each time: the counts come back from the changelog.
      directory: join(directory, `${guarantee}-${run}`),
    })
    running.add(program)
    await program.until((line) => line['state'] === 'RUNNING')
    return program
  }

  /** The group's committed offsets are at the end of all partitions that it reads. */
  async function isAllCommitted(guarantee: string): Promise<boolean> {
    for (const name of [`${guarantee}-lines`, `${guarantee}-counts-repartition`]) {
      const partitionIndexes = Array.from({ length: PARTITIONS }, (_, partition) => partition)
      const { groups } = await client.ask(OffsetFetch, 8, {
        groups: [{ groupId: guarantee, topics: [{ name, partitionIndexes }] }],
        requireStable: true,
      })
      const { topics } = await client.ask(ListOffsets, 7, {
        replicaId: -1,
        isolationLevel: 0,
        topics: [
          {
            name,
            partitions: partitionIndexes.map((partitionIndex) => {
              return { partitionIndex, currentLeaderEpoch: -1, timestamp: -1 }
            }),
          },
        ],
      })
      const ends = topics[0].partitions.map(({ offset }) => offset)
      const committed = groups[0].topics[0].partitions.map(({ committedOffset }) => committedOffset)
      if (ends.some((end, partition) => end > 0 && committed[partition] < end)) return false
    }
    return true
  }

  async function createTopics(guarantee: string): Promise<Counts> {
    for (const name of ['lines', 'counts']) {
      const { json: answer } = await json.ask(1, { topic: `${guarantee}-${name}`, partitions: PARTITIONS })
      expect(answer).toMatchObject({ ok: true })
    }
    return new Counts(client, `${guarantee}-counts`)
  }

  test(
    'at least once: killed between two batches of work, it goes on counting where it was',
    async () => {
      const guarantee = 'at_least_once'
      const counts = await createTopics(guarantee)
      const [early, late] = [makeLines(0, 1000), makeLines(1000, 1000)]
      await produce(`${guarantee}-lines`, early)
      const first = await start(guarantee, 1)
      await until('the first counts', async () => (await counts.read()).records === 5000)
      await until('the commit', () => isAllCommitted(guarantee))
      expect(counts.latest).toEqual(count(early))
      await first.kill()
      await produce(`${guarantee}-lines`, late)
      const second = await start(guarantee, 2)
      await until('all counts', async () => (await counts.read()).records === 10_000)
      expect(counts.latest).toEqual(count([...early, ...late]))
      await second.kill()
      const { topics } = await client.ask(Metadata, 12, { topics: null })
      expect(topics.map(({ name }) => name)).toContain(`${guarantee}-counts-repartition`)
      const { results } = await client.ask(DescribeConfigs, 4, {
        resources: [
          {
            resourceType: TOPIC_RESOURCE,
            resourceName: `${guarantee}-counts-changelog`,
            configurationKeys: ['cleanup.policy'],
          },
        ],
      })
      expect(results[0].configs[0].value).toBe('compact')
    },
    TEST_MS_MAX,
  )

  test(
    'exactly once: killed in the middle of its work, every word is counted once',
    async () => {
      const guarantee = 'exactly_once_v2'
      const counts = await createTopics(guarantee)
      const lines = makeLines(0, 12_000)
      await produce(`${guarantee}-lines`, lines)
      for (const [run, records] of [5000, 20_000, 35_000].entries()) {
        const program = await start(guarantee, run)
        await until(`${records} counts`, async () => (await counts.read()).records >= records)
        await program.kill()
      }
      const last = await start(guarantee, 3)
      await until('all counts', async () => (await counts.read()).records >= 60_000)
      await until('the commit', () => isAllCommitted(guarantee))
      await last.kill()
      await counts.read()
      expect(counts.latest).toEqual(count(lines))
      for (const seen of counts.ofWord.values()) expect(seen).toEqual(seen.map((_, index) => index + 1))
    },
    TEST_MS_MAX,
  )
})
