import { silentLogger } from '../../src/base/logger.ts'
import { parseTopicName } from '../../src/base/topic-name.ts'
import type { DelayOptions } from '../../src/delay/delay-options.ts'
import { SCHEDULE_ID_HEADER } from '../../src/delay/delay-options.ts'
import { DelayQueue } from '../../src/delay/delay-queue.ts'
import type { Acks, AppendWaiter, LogConfig, PartitionLog } from '../../src/log/log-engine.ts'
import {
  decodeRecords,
  getBatchBytes,
  getLastOffsetDelta,
  RecordBatchBuilder,
  setBaseOffset,
} from '../../src/record/record-batch.ts'
import { BrokerError } from '../../src/base/broker-error.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import type { StoreChange } from '../../src/store/store.ts'
import { SimClock } from '../simulation/sim-clock.ts'
import { LOG_CONFIG } from './log-harness.ts'

/** What a consumer gets of a delivered record. */
export interface Delivered {
  readonly id: string
  readonly value: string
  /** By the wall clock, when it was appended. */
  readonly atMs: number
  readonly offset: number
}

/** A log that keeps batches in an array. What is appended is durable some turns later, if the broker lives so long. */
class WorldLog implements Pick<PartitionLog, 'topic' | 'partition' | 'logStartOffset' | 'failure' | 'append' | 'read'> {
  readonly topic
  readonly partition: number
  readonly logStartOffset = 0
  failure: Error | undefined
  readonly batches: { readonly bytes: Buffer; readonly atMs: number }[] = []
  #unsynced: { readonly bytes: Buffer; readonly atMs: number; readonly waiter: AppendWaiter | undefined }[] = []
  #end = 0
  readonly #world: DelayWorld

  constructor(world: DelayWorld, topic: string, partition: number) {
    this.topic = parseTopicName(topic)
    this.partition = partition
    this.#world = world
  }

  get logEndOffset(): number {
    return this.#end
  }
  get highWatermark(): number {
    return this.#end
  }

  append(batch: Buffer, recordCount: number, _acks: Acks, waiter: AppendWaiter | undefined): number {
    if (this.failure !== undefined) throw this.failure
    if (batch.length > this.#world.config.batchBytesMax) throw new BrokerError('MESSAGE_TOO_LARGE', 'too large')
    const baseOffset = this.#end
    setBaseOffset(batch, 0, baseOffset)
    this.#end += recordCount
    const appended = { bytes: Buffer.from(batch), atMs: this.#world.clock.now(), waiter }
    this.#unsynced.push(appended)
    const { life } = this.#world
    setImmediate(() => {
      if (this.#world.life !== life || this.#world.isDead()) return
      this.#unsynced.splice(this.#unsynced.indexOf(appended), 1)
      this.batches.push(appended)
      waiter?.appended(undefined)
    })
    return baseOffset
  }

  /** The broker dies: of what was written and not synced, the first `kept` batches are found again. */
  crash(kept: number): void {
    this.batches.push(...this.#unsynced.slice(0, kept))
    this.#unsynced = []
    this.#end = this.batches.reduce((sum, { bytes }) => sum + getLastOffsetDelta(bytes, 0) + 1, 0)
  }

  get unsyncedCount(): number {
    return this.#unsynced.length
  }

  read(fromOffset: number, _bytesMax: number, done: Parameters<PartitionLog['read']>[2]): void {
    let next = 0
    const found: Buffer[] = []
    for (const { bytes } of this.batches) {
      next += getLastOffsetDelta(bytes, 0) + 1
      if (next > fromOffset) found.push(bytes)
    }
    done(undefined, { bytes: Buffer.concat(found), release() {} })
  }
}

/** A delay queue with logs and a store in memory, which can die and start again. */
export class DelayWorld {
  readonly clock = new SimClock()
  readonly logs = new Map<string, WorldLog>()
  config: LogConfig = LOG_CONFIG
  /** How many commits and batches may still be written before the broker dies. */
  writesLeft = Infinity
  life = 0
  hasDied = false
  /** Refuses what it is true for. */
  refuses: (changes: readonly StoreChange[]) => boolean = () => false
  store: MemoryStore
  queue: DelayQueue
  readonly delays: number[] = []
  readonly #options: Partial<DelayOptions>

  constructor(options: Partial<DelayOptions> = {}, partitions: readonly string[] = ['a/0', 'a/1', 'b/0']) {
    this.#options = options
    for (const name of partitions) {
      const [topic, partition] = name.split('/')
      this.logs.set(name, new WorldLog(this, topic, Number(partition)))
    }
    this.store = this.#makeStore()
    this.queue = this.#makeQueue()
  }

  /** Counts one write; from the one on that was one too many nothing is written any more. */
  isDead(): boolean {
    if (this.writesLeft-- <= 0) this.hasDied = true
    return this.hasDied
  }

  /** The broker dies without a word, and starts again with what was written and `keep` chooses of what was not synced. */
  async restart(keep: (unsyncedCount: number) => number = () => 0): Promise<void> {
    this.life++
    void this.queue.close()
    for (const log of this.logs.values()) log.crash(keep(log.unsyncedCount))
    this.writesLeft = Infinity
    this.hasDied = false
    this.store = this.#makeStore(this.store)
    this.queue = this.#makeQueue()
    await this.queue.open()
  }

  /** Takes one record; `value` tells it from others. */
  accept(name: string, value: string, dueAtMs: number, origin?: { producerId: number; baseSequence: number }) {
    const [topicText, partitionText] = name.split('/')
    const topic = parseTopicName(topicText)
    const partition = Number(partitionText)
    const record = { partition, dueAtMs, batch: packRecord(value) }
    const batch = origin && { topic, partition, producerEpoch: 0, ...origin }
    return this.queue.accept(topic, [record], batch)
  }

  /** Everything that was delivered to a partition, as it can be read there. */
  delivered(name: string): Delivered[] {
    return this.log(name).batches.flatMap(({ bytes, atMs }) =>
      decodeRecords(bytes.subarray(0, getBatchBytes(bytes, 0))).map(({ offset, value, headers }) => {
        const id = String(headers.find(({ key }) => key === SCHEDULE_ID_HEADER)?.value)
        return { id, value: String(value), atMs, offset }
      }),
    )
  }

  log(name: string): WorldLog {
    const log = this.logs.get(name)
    if (log === undefined) throw new Error(`there is no log ${name}`)
    return log
  }

  /** Lets everything happen that waits for nothing but the end of this turn and the ones after it. */
  async settle(turns = 20): Promise<void> {
    for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve))
  }

  /** Lets time pass in steps, with turns of the event loop in between. */
  async pass(milliseconds: number, stepMs = milliseconds): Promise<void> {
    for (let left = milliseconds; left > 0; left -= stepMs) {
      this.clock.advance(Math.min(left, stepMs))
      await this.settle()
    }
  }

  #makeStore(copyOf?: MemoryStore): MemoryStore {
    const { life } = this
    return new MemoryStore({
      ...(copyOf === undefined ? {} : { copyOf }),
      beforeWrite: async (changes) => {
        if (this.refuses(changes)) throw new BrokerError('KAFKA_STORAGE_ERROR', 'the disk is full')
        if (this.life !== life || this.isDead()) await new Promise(() => {})
      },
    })
  }

  #makeQueue(): DelayQueue {
    return new DelayQueue({
      store: this.store,
      clock: this.clock,
      logger: silentLogger,
      targets: {
        find: (topic, partition) => {
          const log = this.logs.get(`${topic}/${partition}`)
          return log === undefined ? undefined : { log: log as unknown as PartitionLog, config: this.config }
        },
      },
      observeDelay: (seconds) => this.delays.push(seconds),
      options: this.#options,
    })
  }
}

function packRecord(value: string): Buffer {
  const builder = new RecordBatchBuilder()
  builder.begin()
  builder.add(Buffer.from('k'), Buffer.from(value), 1_000, [{ key: 'h', value: Buffer.from('1') }])
  return builder.finish()
}
