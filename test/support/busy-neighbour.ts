import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { Fetch } from '../../src/protocols/kafka/apis/01-fetch.ts'
import { Metadata } from '../../src/protocols/kafka/apis/03-metadata.ts'
import { NO_UUID } from '../../src/protocols/kafka/schema.ts'
import { KafkaClient, makeBatch } from './kafka-client.ts'

const TOPIC = 'quiet'

/**
 * An ordinary client of the Kafka door that pipelines requests while others do what they like to the broker: nothing that
 * they do may show in its answers.
 */
export class BusyNeighbour {
  /** The longest time that a round of three pipelined requests has taken so far. */
  slowestMs = 0
  rounds = 0
  readonly #client: KafkaClient
  #isEnding = false
  readonly #ended: Promise<void>

  private constructor(client: KafkaClient) {
    this.#client = client
    this.#ended = this.#run()
    // Whoever calls `end` gets it.
    this.#ended.catch(() => {})
  }

  /** Connects, makes its topic and begins. */
  static async start(port: number): Promise<BusyNeighbour> {
    const client = await KafkaClient.connect(port)
    await client.ask(Metadata, 9, { topics: [{ name: TOPIC }], allowAutoTopicCreation: true })
    return new BusyNeighbour(client)
  }

  /** Ends after the round that is under way; fails if it got a wrong answer, or none. */
  async end(): Promise<void> {
    this.#isEnding = true
    await this.#ended
    this.#client.close()
  }

  async #run(): Promise<void> {
    while (!this.#isEnding) {
      const began = performance.now()
      await this.#round()
      this.slowestMs = Math.max(this.slowestMs, performance.now() - began)
      this.rounds++
      await new Promise((resolve) => setTimeout(resolve, 2))
    }
  }

  async #round(): Promise<void> {
    const client = this.#client
    const records = makeBatch([`round ${this.rounds}`])
    const partitions = [{ partition: 0, fetchOffset: this.rounds, partitionMaxBytes: 10_000 }]
    const sent = [
      client.send(Produce, 9, {
        acks: -1,
        timeoutMs: 1000,
        topicData: [{ name: TOPIC, partitionData: [{ index: 0, records }] }],
      }),
      client.send(Fetch, 12, { maxWaitMs: 0, minBytes: 1, topics: [{ topic: TOPIC, topicId: NO_UUID, partitions }] }),
      client.send(Metadata, 9, { topics: [{ name: TOPIC }], allowAutoTopicCreation: false }),
    ]
    const produced = await client.answer(Produce, 9)
    const fetched = await client.answer(Fetch, 12)
    const described = await client.answer(Metadata, 9)
    const got = [produced, fetched, described].map(({ correlationId }) => correlationId)
    if (String(got) !== String(sent))
      throw new Error(`the neighbour asked ${String(sent)} and was answered ${String(got)}`)
    const [partition] = produced.answer.responses[0].partitionResponses
    if (partition.errorCode !== 0 || partition.baseOffset !== this.rounds) {
      throw new Error(`the neighbour's record ${this.rounds} got ${JSON.stringify(partition)}`)
    }
    const read = fetched.answer.responses[0].partitions[0].records ?? Buffer.alloc(0)
    // The base offset in a stored batch is the broker's; the rest is what was sent.
    if (!read.subarray(61).equals(records.subarray(61)))
      throw new Error('the neighbour read something else than it sent')
    if (described.answer.topics[0].errorCode !== 0) throw new Error('the neighbour has lost its topic')
  }
}
