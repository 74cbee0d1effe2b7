import { LIST_OFFSETS_END, LIST_OFFSETS_START } from 'cafelog/client'

/** Where a café takes its orders. */
export class OrderDesk {
  #admin
  #producer

  constructor(client) {
    this.#admin = client.admin()
    this.#producer = client.producer()
  }

  /** Makes the topic. One that is there already is fine. */
  async open() {
    await this.#admin.createTopic({ topic: 'orders', partitions: 1, config: { 'retention.ms': '7d' } })
  }

  async take(table, drink) {
    await this.#producer.send({ topic: 'orders', key: table, value: drink })
  }

  /** How many orders are kept. */
  async count() {
    const [start] = await this.#admin.listOffsets({ topic: 'orders', timestamp: LIST_OFFSETS_START })
    const [end] = await this.#admin.listOffsets({ topic: 'orders', timestamp: LIST_OFFSETS_END })
    return end.offset - start.offset
  }

  async close() {
    await this.#producer.close()
  }
}
