import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

import type { BrokerProcess } from '../support/broker-process.ts'
import { COMMIT, CREATE_TOPIC, FETCH, FETCH_OFFSETS, METADATA, PRODUCE } from '../support/frame-types.ts'
import type { RawClient } from '../support/raw-client.ts'
import { rawFrame } from '../support/raw-client.ts'
import type { GroupPosition, ReadLog, SentBatch, WireRecord } from './ledger.ts'
import { digestOf, Ledger } from './ledger.ts'

// Clients that keep a broker busy from several connections, and write down in a ledger what they know. Where a client
// commits, it commits the end of what was acknowledged to it.

/** Where a request goes, and what it waits for. */
interface Target {
  readonly topic: string
  /** -1: where the key belongs. */
  readonly partition: number
  readonly acks: 'all' | 1 | 0
}

/** Topics with long and short segments, and one that forgets. Timestamps are old, and nothing goes because of that. */
const TOPICS: Readonly<Record<string, { readonly partitions: number; readonly config: Record<string, string> }>> = {
  orders: { partitions: 3, config: {} },
  rolling: { partitions: 2, config: { 'segment.bytes': '32KB' } },
  short: { partitions: 1, config: { 'segment.bytes': '64KB', 'retention.bytes': '512KB' } },
}
/** What `short` holds at the least once it has forgotten something, with room for what a crash may have cut off. */
const SHORT_BYTES_MIN = 256 * 1024

const TARGETS: readonly Target[] = [
  { topic: 'orders', partition: 0, acks: 'all' },
  { topic: 'rolling', partition: 0, acks: 'all' },
  { topic: 'orders', partition: 1, acks: 'all' },
  { topic: 'short', partition: 0, acks: 'all' },
  { topic: 'rolling', partition: 1, acks: 1 },
  { topic: 'orders', partition: -1, acks: 'all' },
  { topic: 'orders', partition: 2, acks: 0 },
  { topic: 'orders', partition: 2, acks: 1 },
]
const PRODUCERS = 4
const REQUESTS_IN_FLIGHT = 24
const REQUESTS_PER_COMMIT = 5
const RECORDS_PER_REQUEST_MAX = 24
const FIRST_TS = 1_600_000_000_000
const FILLER = Buffer.concat(
  Array.from({ length: 100 }, (_, index) => createHash('sha512').update(`filler ${index}`).digest()),
).toString('latin1')

/** A ledger for this load. */
export function createLedger(): Ledger {
  return new Ledger(['short'])
}

/** Makes the topics of the load. */
export async function createTopics(broker: BrokerProcess): Promise<void> {
  const client = await broker.connect()
  for (const [topic, { partitions, config }] of Object.entries(TOPICS)) {
    const settings = { 'retention.ms': '-1', ...config }
    const { json } = await client.ask(CREATE_TOPIC, { topic, partitions, config: settings })
    if (json.ok !== true) throw new Error(`CREATE_TOPIC: ${JSON.stringify(json)}`)
  }
  client.close()
}

/** What the clients of one life have in common. */
interface Life {
  readonly ledger: Ledger
  /** For the names of its producers. */
  readonly number: number
  /** Which acknowledgements are promises for what is about to happen. */
  promised: readonly Target['acks'][]
  /** Whether what a consumer is shown is one. */
  isShownPromised: boolean
  onAcknowledged(): void
}

/** Several producers and a consumer at work on one broker, until it goes. */
export class Load {
  readonly #life: Life
  readonly #clients: RawClient[] = []
  #working: Promise<unknown> = Promise.resolve()
  #acknowledged = 0
  #isLost = false
  #awaited = { count: 0, resolve: () => {} }

  private constructor(ledger: Ledger, number: number, promised: readonly Target['acks'][]) {
    this.#life = { ledger, number, promised, isShownPromised: true, onAcknowledged: () => this.#count() }
  }

  /** `life` numbers the lives of one data directory; `promised` are the acknowledgements that the ledger is to hold on to. */
  static async start(
    broker: BrokerProcess,
    ledger: Ledger,
    options: { readonly life: number; readonly promised: readonly Target['acks'][] },
  ): Promise<Load> {
    const load = new Load(ledger, options.life, options.promised)
    const clients = await Promise.all(Array.from({ length: PRODUCERS + 1 }, () => broker.connect()))
    load.#clients.push(...clients)
    const [consumer, ...producers] = clients
    const work = producers.map((client, index) => new Producer(load.#life, index).run(client))
    work.push(consume(consumer, load.#life))
    load.#working = Promise.all(work).then(() => {
      load.#isLost = true
      load.#awaited.resolve()
    })
    return load
  }

  /** Resolves when so many requests were acknowledged since the start; rejects when the connections end before. */
  async acknowledged(count: number): Promise<void> {
    if (this.#acknowledged < count && !this.#isLost) {
      await new Promise<void>((resolve) => (this.#awaited = { count, resolve }))
    }
    if (this.#acknowledged < count) throw new Error(`the connections ended after ${this.#acknowledged} answers`)
  }

  /** Answers so far. */
  get acknowledgedRequests(): number {
    return this.#acknowledged
  }

  /** From now on nothing that the broker says is held against it. */
  promiseNothingMore(): void {
    this.#life.promised = []
    this.#life.isShownPromised = false
  }

  /** Resolves when all connections have ended, and everything that had come was written down. */
  async ended(): Promise<void> {
    await this.#working
    for (const client of this.#clients) client.close()
  }

  #count(): void {
    this.#acknowledged++
    if (this.#acknowledged === this.#awaited.count) this.#awaited.resolve()
  }
}

/** One connection that sends records to all targets in turn, with many requests in flight, and commits now and then. */
class Producer {
  readonly #life: Life
  readonly #ledger: Ledger
  readonly #number: number
  readonly #index: number
  readonly #expected: ((json: any) => void)[] = []
  /** Of each partition, the end of what was acknowledged. */
  readonly #ends = new Map<string, GroupPosition>()
  readonly #committed = new Map<string, number>()
  #sequence = 0
  #requests = 0

  constructor(life: Life, index: number) {
    this.#life = life
    this.#ledger = life.ledger
    this.#number = life.number * PRODUCERS + index
    this.#index = index
  }

  async run(client: RawClient): Promise<void> {
    for (;;) {
      while (this.#expected.length < REQUESTS_IN_FLIGHT) this.#send(client)
      const frame = await client.next()
      if (frame === undefined) return
      const settle = this.#expected.shift() as (json: any) => void
      settle(frame.json)
    }
  }

  #send(client: RawClient): void {
    const request = this.#requests++
    if (request % REQUESTS_PER_COMMIT === REQUESTS_PER_COMMIT - 1 && this.#commit(client)) return
    const target = TARGETS[(request + this.#index * 2) % TARGETS.length]
    const { topic, partition, acks } = target
    const count = 1 + (this.#sequence % RECORDS_PER_REQUEST_MAX)
    const key = request % 7 === 0 ? null : Buffer.from(`key ${request % 11}`).toString('base64')
    const records = Array.from({ length: count }, (_, index) => this.#record(key, this.#sequence + index))
    const batch: SentBatch = {
      topic,
      producer: this.#number,
      firstSequence: this.#sequence,
      digests: records.map(digestOf),
      outcome: 'unknown',
    }
    this.#sequence += count
    this.#ledger.sending(batch)
    client.send(rawFrame(PRODUCE, { topic, partition, acks, records }))
    if (acks === 0) return
    this.#expected.push((json) => this.#produced(batch, acks, json))
  }

  #record(key: string | null, sequence: number): WireRecord {
    const bytes = sequence % 211 === 0 ? 6_000 : (sequence * 37) % 180
    const text = `${this.#number}.${sequence}.${FILLER.slice(sequence % 97, (sequence % 97) + bytes)}`
    return { key, value: Buffer.from(text, 'latin1').toString('base64'), ts: FIRST_TS + sequence }
  }

  #produced(batch: SentBatch, acks: 1 | 'all', json: any): void {
    if (json.error !== undefined) return this.#ledger.refused(batch, json.error.message)
    const { partition, baseOffset, numRecords } = json
    if (this.#life.promised.includes(acks)) this.#ledger.stored(batch, { partition, baseOffset })
    const position = { group: `group ${this.#index}`, topic: batch.topic, partition, offset: baseOffset + numRecords }
    this.#ends.set(`${batch.topic}-${partition}`, position)
    this.#life.onAcknowledged()
  }

  /** Commits the first end that was not committed yet; false when there is none. */
  #commit(client: RawClient): boolean {
    for (const [name, position] of this.#ends) {
      if (this.#committed.get(name) === position.offset) continue
      this.#committed.set(name, position.offset)
      // The next time it is the turn of another.
      this.#ends.delete(name)
      this.#ledger.committing(position)
      client.send(rawFrame(COMMIT, position))
      this.#expected.push((json) => {
        if (json.error !== undefined) this.#ledger.refusals.push(json.error.message)
        else if (this.#life.promised.length > 0) this.#ledger.committed(position)
      })
      return true
    }
    return false
  }
}

/** Reads what is new in one partition as it comes: what a consumer was shown must not vanish either. */
async function consume(client: RawClient, life: Life): Promise<void> {
  let offset = -1
  for (;;) {
    client.send(rawFrame(FETCH, { topic: 'orders', partition: 0, offset, maxWaitMs: 200 }))
    const frame = await client.next()
    if (frame === undefined) return
    const { error, records, highWatermark } = frame.json
    if (error !== undefined) {
      life.ledger.refusals.push(error.message)
      // The disk is gone; the connection will follow.
      await sleep(5)
      continue
    }
    if (life.isShownPromised) {
      for (const record of records) life.ledger.shown('orders', 0, record.offset, digestOf(record))
    }
    offset = records.length > 0 ? records.at(-1).offset + 1 : highWatermark
  }
}

/** Reads everything there is and compares it with the ledger. */
export async function checkEverything(broker: BrokerProcess, ledger: Ledger): Promise<void> {
  const client = await broker.connect()
  const { json } = await client.ask(METADATA, { topics: Object.keys(TOPICS) })
  const logs: ReadLog[] = []
  for (const { name, partitions } of json.topics) {
    for (const { partition, logStartOffset, highWatermark, sizeBytes } of partitions) {
      if (name === 'short' && logStartOffset > 0 && sizeBytes < SHORT_BYTES_MIN) {
        ledger.violations.push(`${name}-${partition}: ${sizeBytes} bytes are left, more is to be kept`)
      }
      const records = await readRecords(client, name, partition, { from: logStartOffset, to: highWatermark })
      logs.push({ topic: name, partition, logStartOffset, highWatermark, records })
    }
  }
  ledger.checkLogs(logs)
  ledger.checkCommits(await readPositions(client))
  client.close()
}

/** Reads a range of offsets. */
export async function readRecords(
  client: RawClient,
  topic: string,
  partition: number,
  range: { readonly from: number; readonly to: number },
): Promise<{ offset: number; digest: string }[]> {
  const found: { offset: number; digest: string }[] = []
  let offset = range.from
  while (offset < range.to) {
    const { json } = await client.ask(FETCH, { topic, partition, offset, maxBytes: 1 << 20, maxWaitMs: 0 })
    if (json.error !== undefined || json.records.length === 0) {
      throw new Error(`FETCH ${topic}-${partition} from ${offset}: ${JSON.stringify(json)}`)
    }
    for (const record of json.records) found.push({ offset: record.offset, digest: digestOf(record) })
    offset = json.records.at(-1).offset + 1
  }
  return found
}

async function readPositions(client: RawClient): Promise<GroupPosition[]> {
  const positions: GroupPosition[] = []
  for (let index = 0; index < PRODUCERS; index++) {
    const group = `group ${index}`
    const { json } = await client.ask(FETCH_OFFSETS, { group })
    if (json.error !== undefined && json.error.code !== 'GROUP_ID_NOT_FOUND') throw new Error(json.error.message)
    for (const { topic, partition, offset } of json.offsets ?? []) {
      positions.push({ group, topic, partition, offset })
    }
  }
  return positions
}
