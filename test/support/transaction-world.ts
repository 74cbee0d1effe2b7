import { BrokerError } from '../../src/base/broker-error.ts'
import { CommittedOffsets } from '../../src/groups/committed-offsets.ts'
import type { AppendWaiter } from '../../src/log/log-engine.ts'
import type { StoreChange } from '../../src/store/store.ts'
import { MemoryStore } from '../../src/store/memory-store.ts'
import { TransactionCoordinator } from '../../src/transactions/coordinator.ts'
import type { OpenTransaction } from '../../src/transactions/orphans.ts'
import type { TransactionMarker } from '../../src/transactions/ending.ts'
import type { TransactionalProducer } from '../../src/transactions/transaction.ts'
import type { TransactionOptions } from '../../src/transactions/transaction-options.ts'
import { SimClock } from '../simulation/sim-clock.ts'

/** What lies in a partition: a record of a transaction, with a name of its own, or the marker that ends one. */
export type LogEntry =
  | { readonly kind: 'record'; readonly producerId: number; readonly producerEpoch: number; readonly name: string }
  | ({ readonly kind: 'marker' } & TransactionMarker)

/** A log that only knows transactions. */
export class WorldLog {
  readonly entries: LogEntry[] = []
  /** Set while nothing can be written. */
  failure: BrokerError | undefined
  readonly #world: TransactionWorld

  constructor(world: TransactionWorld) {
    this.#world = world
  }

  endTransaction(marker: TransactionMarker, waiter: AppendWaiter): number {
    if (this.failure !== undefined) throw this.failure
    if (this.#world.isDead()) return -1
    this.entries.push({ kind: 'marker', ...marker })
    const life = this.#world.life
    setImmediate(() => {
      if (this.#world.life === life && !this.#world.isDead()) waiter.appended(undefined)
    })
    return this.entries.length - 1
  }

  /** Producers with records that no marker follows. */
  open(): { producerId: number; producerEpoch: number }[] {
    const open = new Map<number, number>()
    for (const entry of this.entries) {
      if (entry.kind === 'record') open.set(entry.producerId, entry.producerEpoch)
      else open.delete(entry.producerId)
    }
    return Array.from(open, ([producerId, producerEpoch]) => ({ producerId, producerEpoch }))
  }

  /** The names of the records that were committed, or aborted. */
  ended(isCommit: boolean): string[] {
    const names: string[] = []
    for (const [index, entry] of this.entries.entries()) {
      if (entry.kind !== 'record') continue
      const { producerId, name } = entry
      const marker = this.entries.slice(index).find((each) => each.kind === 'marker' && each.producerId === producerId)
      if (marker?.kind === 'marker' && marker.isCommit === isCommit) names.push(name)
    }
    return names
  }
}

/** A transaction coordinator with logs, committed offsets and a store in memory, which can die and start again. */
export class TransactionWorld {
  readonly clock = new SimClock()
  readonly logs = new Map<string, WorldLog>()
  /** How many rows or markers may still be written before the broker dies. */
  writesLeft = Infinity
  life = 0
  hasDied = false
  store: MemoryStore
  offsets: CommittedOffsets
  coordinator: TransactionCoordinator
  /** Refuses what it is true for. */
  refuses: (changes: readonly StoreChange[]) => boolean = () => false
  readonly #options: Partial<TransactionOptions>
  #lastProducerId = 1000

  constructor(options: Partial<TransactionOptions> = {}, logs: readonly string[] = ['a/0', 'a/1', 'b/0']) {
    this.#options = options
    for (const name of logs) this.logs.set(name, new WorldLog(this))
    this.store = this.#makeStore()
    this.offsets = new CommittedOffsets(this.store, this.clock)
    this.coordinator = this.#start()
  }

  /** Counts one write; from the one on that was one too many nothing is written any more. */
  isDead(): boolean {
    if (this.writesLeft-- <= 0) this.hasDied = true
    return this.hasDied
  }

  /** The broker dies without a word, and starts again with what was written. */
  restart(): void {
    this.coordinator.close()
    this.life++
    this.writesLeft = Infinity
    this.hasDied = false
    this.store = this.#makeStore(this.store)
    this.offsets = new CommittedOffsets(this.store, this.clock)
    this.coordinator = this.#start()
  }

  /** Appends a record within a transaction, if that is allowed. */
  produce(producer: TransactionalProducer, logName: string, name: string): void {
    const [topic, partition] = logName.split('/')
    const { producerId, producerEpoch } = producer
    this.coordinator.checkProduce(producerId, producerEpoch, topic, Number(partition))
    if (!this.isDead()) this.log(logName).entries.push({ kind: 'record', producerId, producerEpoch, name })
  }

  /** Commits an offset of group `g` within a transaction, if that is allowed. */
  async commitOffset(producer: TransactionalProducer, partition: number, offset: number): Promise<void> {
    this.coordinator.checkOffsetCommit(producer, 'g')
    await this.offsets.stage(producer.producerId, [{ group: 'g', topic: 'in', partition, offset }])
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

  #makeStore(copyOf?: MemoryStore): MemoryStore {
    const life = this.life
    return new MemoryStore({
      ...(copyOf === undefined ? {} : { copyOf }),
      beforeWrite: async (changes) => {
        if (this.refuses(changes)) throw new BrokerError('KAFKA_STORAGE_ERROR', 'the disk is full')
        if (this.life !== life || this.isDead()) await new Promise(() => {})
      },
    })
  }

  #start(): TransactionCoordinator {
    const { store, clock, offsets } = this
    const coordinator = new TransactionCoordinator({
      store,
      clock,
      options: this.#options,
      producerIds: { next: () => Promise.resolve(++this.#lastProducerId) },
      targets: {
        findLog: (topic, partition) => this.logs.get(`${topic}/${partition}`),
        endOffsets: (producerId, isCommit) => offsets.endTransaction(producerId, isCommit),
      },
    })
    coordinator.open()
    coordinator.abortOrphans(this.#openTransactions())
    return coordinator
  }

  #openTransactions(): OpenTransaction[] {
    return [...this.logs].flatMap(([name, log]) => {
      const [topic, partition] = name.split('/')
      return log.open().map((producer) => ({ ...producer, topic, partition: Number(partition) }))
    })
  }
}
