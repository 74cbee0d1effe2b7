import type { BrokerProcess } from '../support/broker-process.ts'
import { COMMIT, CREATE_TOPIC, FETCH_OFFSETS, METADATA, PRODUCE } from '../support/frame-types.ts'
import type { RawClient } from '../support/raw-client.ts'
import { rawFrame } from '../support/raw-client.ts'
import type { GroupPosition, Ledger, SentBatch } from './ledger.ts'
import { digestOf } from './ledger.ts'
import { readRecords } from './load.ts'

/** What the broker said to one request. */
export interface Said {
  readonly error?: { readonly code: string; readonly message: string }
  readonly [field: string]: any
}

/** Where records go, and what they are: one of 100 bytes for partition 0, unless something else is said. */
export interface ProduceOptions {
  readonly partition?: number
  readonly count?: number
  readonly bytes?: number
  readonly acks?: 'all' | 1
}

let producers = 0

/** One connection that sends requests to a broker step by step, and writes down in a ledger what comes of them. */
export class Clerk {
  readonly client: RawClient
  readonly #ledger: Ledger
  readonly #producer = producers++
  #sequence = 0

  private constructor(client: RawClient, ledger: Ledger) {
    this.client = client
    this.#ledger = ledger
  }

  static async connect(broker: BrokerProcess, ledger: Ledger): Promise<Clerk> {
    return new Clerk(await broker.connect(), ledger)
  }

  async createTopic(topic: string, partitions = 1, config: Record<string, string> = {}): Promise<void> {
    const said = await this.ask(CREATE_TOPIC, { topic, partitions, config: { 'retention.ms': '-1', ...config } })
    if (said.error !== undefined) throw new Error(said.error.message)
  }

  /** Any request; only when no other answer is due. */
  async ask(type: number, payload: unknown): Promise<Said> {
    return (await this.client.ask(type, payload)).json
  }

  /** Sends `count` records of `bytes` each in one request and returns what was said; undefined when nothing ever is. */
  async produce(topic: string, options: ProduceOptions = {}): Promise<Said | undefined> {
    const [said] = await this.produceMany(topic, 1, options)
    return said
  }

  /** The same for several requests that are sent before the first is answered. */
  async produceMany(
    topic: string,
    requests: number,
    { partition = 0, count = 1, bytes = 100, acks = 'all' }: ProduceOptions = {},
  ): Promise<(Said | undefined)[]> {
    const batches = Array.from({ length: requests }, () => this.#send({ topic, partition, acks }, count, bytes))
    const answers: (Said | undefined)[] = []
    for (const batch of batches) {
      const said: Said | undefined = (await this.client.next())?.json
      answers.push(said)
      if (said === undefined) continue
      if (said.error !== undefined) this.#ledger.refused(batch, said.error.message)
      else this.#ledger.stored(batch, { partition, baseOffset: said['baseOffset'] })
    }
    return answers
  }

  async commit(position: GroupPosition): Promise<Said | undefined> {
    this.#ledger.committing(position)
    this.client.send(rawFrame(COMMIT, position))
    const said: Said | undefined = (await this.client.next())?.json
    if (said?.error === undefined && said !== undefined) this.#ledger.committed(position)
    return said
  }

  /** Reads all partitions of the topics, compares them with the ledger, and returns their high watermarks. */
  async check(topics: readonly string[]): Promise<number[]> {
    const ends: number[] = []
    const { topics: found } = await this.ask(METADATA, { topics })
    for (const { name, partitions } of found) {
      for (const { partition, logStartOffset, highWatermark } of partitions) {
        const records = await readRecords(this.client, name, partition, { from: logStartOffset, to: highWatermark })
        this.#ledger.checkLogs([{ topic: name, partition, logStartOffset, highWatermark, records }])
        ends.push(highWatermark)
      }
    }
    return ends
  }

  async checkCommits(group: string): Promise<void> {
    const { offsets } = await this.ask(FETCH_OFFSETS, { group })
    this.#ledger.checkCommits((offsets ?? []).map((offset: object) => ({ group, ...offset })))
  }

  #send(target: { topic: string; partition: number; acks: 'all' | 1 }, count: number, bytes: number): SentBatch {
    const records = Array.from({ length: count }, (_, index) => {
      const text = `${this.#producer}.${this.#sequence + index}.`
      return { key: null, value: Buffer.from(text.padEnd(bytes, '-')).toString('base64'), ts: Date.now() }
    })
    const { topic } = target
    const digests = records.map(digestOf)
    const batch: SentBatch = {
      topic,
      producer: this.#producer,
      firstSequence: this.#sequence,
      digests,
      outcome: 'unknown',
    }
    this.#sequence += count
    this.#ledger.sending(batch)
    this.client.send(rawFrame(PRODUCE, { ...target, records }))
    return batch
  }
}

/** What `/readyz` says: its status, the names of the checks that failed, and whatever checks have to say. */
export async function getReadiness(
  broker: BrokerProcess,
): Promise<{ readonly status: number; readonly failed: string[]; readonly details: string[] }> {
  const response = await fetch(`http://127.0.0.1:${broker.httpPort}/readyz`)
  const { checks } = (await response.json()) as { checks: { name: string; ok: boolean; detail?: string }[] }
  return {
    status: response.status,
    failed: checks.filter(({ ok }) => !ok).map(({ name }) => name),
    details: checks.flatMap(({ detail }) => detail ?? []),
  }
}
