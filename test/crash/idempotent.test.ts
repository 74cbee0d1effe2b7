import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { CreateTopics } from '../../src/protocols/kafka/apis/19-create-topics.ts'
import { InitProducerId } from '../../src/protocols/kafka/apis/22-init-producer-id.ts'
import { BrokerHome } from '../support/broker-process.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import { readPartition } from '../support/kafka-reader.ts'
import { makeProducerBatch } from '../support/producer-batches.ts'
import { RestartedBroker } from '../support/restarted-broker.ts'

// kill -9 under the load of an idempotent producer that sends again whatever was not answered: every record must be there
// once and in order, though nobody knows which of the unanswered ones had been stored.

const KILLS = 6
const IN_FLIGHT = 5
const TOPIC = 'once'

let home: BrokerHome | undefined
afterEach(async () => {
  await home?.remove()
})

/** An idempotent producer with five requests on their way, one record in each. */
class OnceProducer {
  readonly #broker: RestartedBroker
  readonly #producerId: number
  /** Records that were acknowledged. */
  acknowledged = 0
  isEnough = false

  constructor(broker: RestartedBroker, producerId: number) {
    this.#broker = broker
    this.#producerId = producerId
  }

  /** Sends until it is enough, over as many connections as it takes. */
  async run(): Promise<void> {
    while (!this.isEnough) {
      const client = await connect(this.#broker)
      try {
        await this.#sendOver(client)
      } catch {
        // The connection broke: what was not answered goes again.
      } finally {
        client.close()
      }
    }
  }

  async #sendOver(client: KafkaClient): Promise<void> {
    let next = this.acknowledged
    while (!this.isEnough || next > this.acknowledged) {
      while (next < this.acknowledged + IN_FLIGHT && !this.isEnough) this.#send(client, next++)
      const { answer } = await client.answer(Produce, 9)
      const { errorCode, baseOffset } = answer.responses[0].partitionResponses[0]
      expect({ errorCode, baseOffset }).toEqual({ errorCode: 0, baseOffset: this.acknowledged })
      this.acknowledged++
    }
  }

  #send(client: KafkaClient, sequence: number): void {
    const records = makeProducerBatch([`v${sequence}`], { producerId: this.#producerId, sequence }, Date.now())
    const topicData = [{ name: TOPIC, partitionData: [{ index: 0, records }] }]
    client.send(Produce, 9, { transactionalId: null, acks: -1, timeoutMs: 5_000, topicData })
  }
}

async function connect(broker: RestartedBroker): Promise<KafkaClient> {
  for (;;) {
    try {
      return await KafkaClient.connect((await broker.current()).kafkaPort)
    } catch {
      await sleep(10)
    }
  }
}

test.each(['always', 'interval:10ms'])(
  'kill -9 and retries store every record once, flush policy %s',
  async (policy) => {
    home = new BrokerHome()
    const broker = new RestartedBroker(home, { environment: { CAFELOG_FLUSH_POLICY: policy } })
    const client = await connect(broker)
    await client.ask(CreateTopics, 7, { topics: [{ name: TOPIC, numPartitions: 1, replicationFactor: 1 }] })
    const { producerId } = await client.ask(InitProducerId, 4, { transactionalId: null, transactionTimeoutMs: 60_000 })
    client.close()
    const producer = new OnceProducer(broker, producerId)
    const running = producer.run()
    for (let kill = 1; kill <= KILLS; kill++) {
      const wanted = producer.acknowledged + 20 * kill
      while (producer.acknowledged < wanted) await sleep(1)
      await broker.restart(kill === KILLS ? 'stop' : 'kill')
    }
    const wanted = producer.acknowledged + 10
    while (producer.acknowledged < wanted) await sleep(1)
    producer.isEnough = true
    await running

    const reader = await connect(broker)
    const values: string[] = []
    while (values.length < producer.acknowledged) {
      const { values: more } = await readPartition(reader, TOPIC, { fetchOffset: values.length })
      if (more.length === 0) break
      values.push(...more)
    }
    expect(values).toEqual(Array.from({ length: producer.acknowledged }, (_, i) => `v${i}`))
    const again = await reader.ask(InitProducerId, 4, { transactionalId: null, transactionTimeoutMs: 60_000 })
    expect(again.producerId).toBeGreaterThan(producerId)
    reader.close()
    expect(await (await broker.current()).stop()).toBe(0)
  },
  120_000,
)
