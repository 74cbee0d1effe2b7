import { setTimeout as sleep } from 'node:timers/promises'

import { expect } from 'vitest'

import { OffsetFetch } from '../../src/protocols/kafka/apis/09-offset-fetch.ts'
import { CreateTopics } from '../../src/protocols/kafka/apis/19-create-topics.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import { KafkaProducer } from '../support/kafka-producer.ts'
import { readAllCommitted } from '../support/kafka-reader.ts'

// Transactional producers that write to three partitions and commit offsets. Whatever they were told must hold, and what they
// were not told must be so everywhere or nowhere.

const PARTITIONS = [0, 1, 2]
const ABORTED_EVERY = 5
const PROGRESS_MS_MAX = 30_000
/** Errors after which a producer only has to wait a little. */
const PASSING = ['CONCURRENT_TRANSACTIONS', 'COORDINATOR_NOT_AVAILABLE']

/** What a producer knows of a transaction. */
export type Outcome = 'committed' | 'aborted' | 'not known'

/** Makes the topics that the producers use. */
export async function createTransactionTopics(port: number): Promise<void> {
  const admin = await KafkaClient.connect(port)
  const topics = [
    { name: 'out', numPartitions: PARTITIONS.length, replicationFactor: 1 },
    { name: 'in', numPartitions: 1, replicationFactor: 1 },
  ]
  await admin.ask(CreateTopics, 7, { topics })
  admin.close()
}

/** One producer through all lives of the broker. Its transactions are numbered, and the number is what they write. */
export class Worker {
  /** By number. */
  readonly outcomes: Outcome[] = []
  readonly name: string
  #producer: KafkaProducer | undefined

  constructor(name: string) {
    this.name = name
  }

  /** Runs transactions until the connection breaks, or `isOver` says so. */
  async run(port: number, isOver: () => boolean): Promise<void> {
    try {
      this.#producer = await KafkaProducer.connect(port, this.name)
      await this.#until('NONE', () => this.#the.init())
      while (!isOver()) await this.#transact()
    } catch (error) {
      // What was under way when the broker died is not known.
      if (error instanceof Error && /^the connection closed|ECONN/.test(error.message)) return
      throw error
    } finally {
      this.#producer?.close()
    }
  }

  get #the(): KafkaProducer {
    if (this.#producer === undefined) throw new Error('the producer is connected')
    return this.#producer
  }

  async #transact() {
    const number = this.outcomes.push('not known') - 1
    const isCommit = number % ABORTED_EVERY !== ABORTED_EVERY - 1
    await this.#until('NONE NONE NONE', () => this.#the.addPartitions(['out', ...PARTITIONS]))
    for (const partition of PARTITIONS) {
      await this.#until('NONE', () => this.#the.produce('out', partition, [`${this.name} ${number}`]))
    }
    await this.#until('NONE', () => this.#the.addGroup(this.name))
    await this.#until('NONE', () => this.#the.commitOffset(this.name, 'in', 0, number))
    await this.#until('NONE', () => this.#the.end(isCommit))
    this.outcomes[number] = isCommit ? 'committed' : 'aborted'
  }

  async #until(expected: string, ask: () => Promise<string>) {
    for (;;) {
      const answer = await ask()
      if (answer === expected) return
      if (!PASSING.some((name) => answer.includes(name))) throw new Error(`${this.name} was told ${answer}`)
      await sleep(5)
    }
  }
}

async function committedOffset(client: KafkaClient, groupId: string): Promise<number> {
  const topics = [{ name: 'in', partitionIndexes: [0] }]
  const request = { groups: [{ groupId, memberId: null, memberEpoch: -1, topics }], requireStable: true }
  const { groups } = await client.ask(OffsetFetch, 8, request)
  const { committedOffset: offset, errorCode } = groups[0].topics[0].partitions[0]
  expect(errorCode).toBe(0)
  return offset
}

/** Holds what the partitions and groups have against what the producers were told; returns how many were committed. */
export async function checkTransactions(
  port: number,
  workers: readonly Pick<Worker, 'name' | 'outcomes'>[],
): Promise<number> {
  const client = await KafkaClient.connect(port)
  const partitions = await Promise.all(PARTITIONS.map(() => KafkaClient.connect(port)))
  const read = await Promise.all(
    PARTITIONS.map((partition) => readAllCommitted(partitions[partition], 'out', partition)),
  )
  let committedCount = 0
  for (const { name, outcomes } of workers) {
    let last = -1
    for (const [number, told] of outcomes.entries()) {
      const counts = read.map((records) => records.filter(({ value }) => String(value) === `${name} ${number}`).length)
      const wanted = told === 'committed' ? [1, 1, 1] : told === 'aborted' ? [0, 0, 0] : counts.map(() => counts[0])
      expect({ name, number, told, counts }).toEqual({ name, number, told, counts: wanted })
      expect(counts[0]).toBeLessThanOrEqual(1)
      if (counts[0] === 0) continue
      last = number
      committedCount++
    }
    expect(await committedOffset(client, name), `the offset of ${name}`).toBe(last)
  }
  for (const each of [client, ...partitions]) each.close()
  return committedCount
}

/** Waits until the producers together were told of so many more transactions. */
export async function progress(workers: readonly Worker[], count: number): Promise<void> {
  const countEnded = () => workers.flatMap(({ outcomes }) => outcomes).filter((each) => each !== 'not known').length
  const wanted = countEnded() + count
  const end = Date.now() + PROGRESS_MS_MAX
  while (countEnded() < wanted) {
    if (Date.now() > end) throw new Error(`the producers do not get on: ${countEnded()} of ${wanted} transactions`)
    await sleep(5)
  }
}
