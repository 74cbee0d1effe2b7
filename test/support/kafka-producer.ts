import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { InitProducerId } from '../../src/protocols/kafka/apis/22-init-producer-id.ts'
import { AddPartitionsToTxn } from '../../src/protocols/kafka/apis/24-add-partitions-to-txn.ts'
import { AddOffsetsToTxn } from '../../src/protocols/kafka/apis/25-add-offsets-to-txn.ts'
import { EndTxn } from '../../src/protocols/kafka/apis/26-end-txn.ts'
import { TxnOffsetCommit } from '../../src/protocols/kafka/apis/28-txn-offset-commit.ts'
import { ERROR_CODES } from '../../src/protocols/kafka/error-codes.ts'
import { KafkaClient } from './kafka-client.ts'
import { makeProducerBatch } from './producer-batches.ts'

const NAMES = new Map<number, string>(Object.entries(ERROR_CODES).map(([name, code]) => [code, name]))

/** The name of an error that was answered; NONE for success. */
export function errorName(code: number): string {
  return NAMES.get(code) ?? `an unknown error, ${code}`
}

/** Versions to speak instead of the usual ones. */
export interface ProducerVersions {
  readonly init?: number
  readonly produce?: number
  readonly addPartitions?: number
  readonly addOffsets?: number
  readonly end?: number
  readonly commit?: number
}

/** A transactional producer that sends what it is told to, step by step. What it asks for comes to the name of an error. */
export class KafkaProducer {
  readonly client: KafkaClient
  readonly transactionalId: string
  producerId = -1
  producerEpoch = -1
  readonly #versions: ProducerVersions
  readonly #sequences = new Map<string, number>()

  private constructor(client: KafkaClient, transactionalId: string, versions: ProducerVersions) {
    this.client = client
    this.transactionalId = transactionalId
    this.#versions = versions
  }

  static async connect(port: number, transactionalId: string, versions: ProducerVersions = {}): Promise<KafkaProducer> {
    return new KafkaProducer(await KafkaClient.connect(port), transactionalId, versions)
  }

  /** Asks for an identity; `expected` is who it was so far. */
  async init(
    options: { timeoutMs?: number; expected?: { producerId: number; producerEpoch: number } } = {},
  ): Promise<string> {
    const { timeoutMs = 60_000, expected = { producerId: -1, producerEpoch: -1 } } = options
    const { transactionalId } = this
    const request = { transactionalId, transactionTimeoutMs: timeoutMs, ...expected }
    const answer = await this.client.ask(InitProducerId, this.#versions.init ?? 4, request)
    if (answer.errorCode === 0) {
      this.producerId = answer.producerId
      this.producerEpoch = answer.producerEpoch
      this.#sequences.clear()
    }
    return errorName(answer.errorCode)
  }

  /** The errors of all partitions, in order. */
  async addPartitions(...topics: (readonly [name: string, ...partitions: number[]])[]): Promise<string> {
    const request = { ...this.#identity(), topics: topics.map(([name, ...partitions]) => ({ name, partitions })) }
    const { resultsByTopic } = await this.client.ask(AddPartitionsToTxn, this.#versions.addPartitions ?? 3, request)
    const codes = resultsByTopic.flatMap(({ resultsByPartition }) => resultsByPartition)
    return codes.map(({ partitionErrorCode }) => errorName(partitionErrorCode)).join(' ')
  }

  async produce(topic: string, partition: number, values: readonly string[], isTransactional = true): Promise<string> {
    const { producerId, producerEpoch: epoch, transactionalId } = this
    const key = `${topic}/${partition}`
    const sequence = this.#sequences.get(key) ?? 0
    const records = makeProducerBatch(values, { producerId, epoch, sequence, isTransactional }, Date.now())
    const topicData = [{ name: topic, partitionData: [{ index: partition, records }] }]
    const request = { transactionalId, acks: -1, timeoutMs: 5_000, topicData }
    const { responses } = await this.client.ask(Produce, this.#versions.produce ?? 9, request)
    const { errorCode } = responses[0].partitionResponses[0]
    if (errorCode === 0) this.#sequences.set(key, sequence + values.length)
    return errorName(errorCode)
  }

  async addGroup(groupId: string): Promise<string> {
    const request = { ...this.#identity(), groupId }
    return errorName((await this.client.ask(AddOffsetsToTxn, this.#versions.addOffsets ?? 3, request)).errorCode)
  }

  async commitOffset(
    groupId: string,
    topic: string,
    partition: number,
    offset: number,
    member: { generationId?: number; memberId?: string } = {},
  ): Promise<string> {
    const partitions = [{ partitionIndex: partition, committedOffset: offset, committedMetadata: null }]
    const request = { ...this.#identity(), groupId, ...member, topics: [{ name: topic, partitions }] }
    const { topics } = await this.client.ask(TxnOffsetCommit, this.#versions.commit ?? 3, request)
    return errorName(topics[0].partitions[0].errorCode)
  }

  async end(committed: boolean): Promise<string> {
    const request = { ...this.#identity(), committed }
    return errorName((await this.client.ask(EndTxn, this.#versions.end ?? 3, request)).errorCode)
  }

  close(): void {
    this.client.close()
  }

  #identity() {
    const { transactionalId, producerId, producerEpoch } = this
    return { transactionalId, producerId, producerEpoch }
  }
}
