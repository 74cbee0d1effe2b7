import type { Numbering } from './producer-batches.ts'
import { makeProducerBatch } from './producer-batches.ts'
import type { RawClient } from './raw-client.ts'
import { INIT_PRODUCER_ID, PRODUCE_BATCHES } from './frame-types.ts'

/** A record batch to be sent, with where to. */
export interface BatchToSend {
  readonly topic: string
  readonly partition: number
  readonly batch: Buffer | string
}

/** The fields of a PRODUCE_BATCHES. */
export function batchesRequest(batches: readonly BatchToSend[], acks?: unknown): object {
  const fields = batches.map(({ batch, ...where }) => ({
    ...where,
    batch: typeof batch === 'string' ? batch : batch.toString('base64'),
  }))
  return acks === undefined ? { batches: fields } : { acks, batches: fields }
}

/** What became of a batch, in short: its base offset, or the code and the message of its error. */
export function inShort(result: any): number | string {
  return result.error === undefined ? result.baseOffset : `${result.error.code}: ${result.error.message}`
}

/** Sends one request of batches, and says of each what became of it. */
export async function produceBatches(
  client: RawClient,
  batches: readonly BatchToSend[],
  acks?: unknown,
): Promise<(number | string)[]> {
  const { json } = await client.ask(PRODUCE_BATCHES, batchesRequest(batches, acks))
  if (json.error !== undefined) throw new Error(json.error.message)
  return json.results.map(inShort)
}

/** A JSON client that numbers its batches, for one partition. */
export class NumberedProducer {
  readonly client: RawClient
  readonly #topic: string
  readonly #partition: number

  constructor(client: RawClient, topic: string, partition = 0) {
    this.client = client
    this.#topic = topic
    this.#partition = partition
  }

  /** A new producer id, at epoch 0. */
  async newId(): Promise<number> {
    return (await this.client.ask(INIT_PRODUCER_ID, {})).json.producerId
  }

  /** Sends a batch under this number: its base offset, or the code of its error. */
  async produce(values: readonly string[], numbering: Numbering): Promise<number | string> {
    const batch = makeProducerBatch(values, numbering, Date.now())
    const [result] = await produceBatches(this.client, [{ topic: this.#topic, partition: this.#partition, batch }])
    return typeof result === 'string' ? result.slice(0, result.indexOf(':')) : result
  }
}
