import {
  decodeRecords,
  findBatchFault,
  getBaseOffset,
  getBatchBytes,
  getLastOffsetDelta,
  isControlBatch,
} from '../../src/record/record-batch.ts'
import type { Numbering } from './producer-batches.ts'
import { makeProducerBatch } from './producer-batches.ts'
import type { RawClient } from './raw-client.ts'
import { FETCH_BATCHES, INIT_PRODUCER_ID, PRODUCE_BATCHES } from './frame-types.ts'

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

/** A partition as a FETCH_BATCHES gave it. */
export interface BatchesRead {
  /** The values of the records that a consumer shows, as text. */
  readonly values: readonly string[]
  /** Where it goes on. */
  readonly nextOffset: number
  /** The sizes of the batches. */
  readonly sizes: readonly number[]
}

/** Reads the batches of an answer as a consumer does that wants the records from `fromOffset` on. */
export function readBatches(text: string, fromOffset: number): BatchesRead {
  const bytes = Buffer.from(text, 'base64')
  const values: string[] = []
  const sizes: number[] = []
  let nextOffset = fromOffset
  for (let at = 0; at < bytes.length; at += getBatchBytes(bytes, at)) {
    sizes.push(getBatchBytes(bytes, at))
    nextOffset = getBaseOffset(bytes, at) + getLastOffsetDelta(bytes, at) + 1
    if (isControlBatch(bytes, at)) continue
    const fault = findBatchFault(bytes, at, bytes.length)
    if (fault !== undefined) throw new Error(`a damaged batch came: ${fault}`)
    for (const { offset, value } of decodeRecords(bytes, at)) if (offset >= fromOffset) values.push(String(value))
  }
  return { values, nextOffset, sizes }
}

/** Asks for one partition. */
export async function fetchBatches(
  client: RawClient,
  topic: string,
  { partition = 0, offset = 0, ...more }: Readonly<Record<string, number>> = {},
): Promise<BatchesRead> {
  const { json } = await client.ask(FETCH_BATCHES, { partitions: [{ topic, partition, offset }], ...more })
  if (json.error !== undefined) throw new Error(json.error.message)
  const [answer] = json.partitions
  if (answer?.error !== undefined) throw new Error(answer.error.message)
  return readBatches(answer?.batches ?? '', offset)
}

/** The metrics of a broker at this moment: returns the value of the first series that begins like this. */
export async function readMetrics(httpPort: number): Promise<(series: string) => number> {
  const lines = (await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text()).split('\n')
  return (series) => Number(lines.find((line) => line.startsWith(series))?.split(' ')[1])
}
