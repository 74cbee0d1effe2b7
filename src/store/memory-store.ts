import { BrokerError } from '../base/broker-error.ts'
import { GroupCommit } from './group-commit.ts'
import { TABLES } from './store.ts'
import type { Store, StoreChange, TableName } from './store.ts'

/** How a MemoryStore is to behave; everything may be left out. */
export interface MemoryStoreOptions {
  /**
   * Called with each group of changes before they are applied, in place of the disk. It may wait, or throw: as with a
   * disk, an Error latches the store as failed, a BrokerError only refuses that group.
   */
  readonly beforeWrite?: (changes: readonly StoreChange[]) => Promise<void>
  /** Starts with the rows that this one holds now: what a start after a crash finds. */
  readonly copyOf?: MemoryStore
}

/** The store's contract without a disk, for tests, the simulation, and brokers that live in memory. */
export class MemoryStore implements Store {
  readonly #tables: ReadonlyMap<TableName, Map<string, Buffer>>
  readonly #commits: GroupCommit

  constructor({ beforeWrite, copyOf }: MemoryStoreOptions = {}) {
    this.#tables = new Map(TABLES.map((table) => [table, new Map(copyOf?.entries(table))]))
    this.#commits = new GroupCommit('memory', async (changes) => {
      await beforeWrite?.(changes)
      for (const { table, key, value } of changes) {
        if (value === undefined) this.#table(table).delete(key)
        else this.#table(table).set(key, Buffer.from(value))
      }
    })
  }

  get failure(): Error | undefined {
    return this.#commits.failure
  }

  get(table: TableName, key: string): Buffer | undefined {
    const value = this.#table(table).get(key)
    return value === undefined ? undefined : Buffer.from(value)
  }

  *entries(table: TableName, prefix = ''): Iterable<readonly [key: string, value: Buffer]> {
    const rows = [...this.#table(table)].filter(([key]) => key.startsWith(prefix))
    rows.sort(([left], [right]) => Buffer.compare(Buffer.from(left), Buffer.from(right)))
    for (const [key, value] of rows) yield [key, Buffer.from(value)]
  }

  *range(table: TableName, start: string, end: string): Iterable<readonly [key: string, value: Buffer]> {
    const [from, to] = [Buffer.from(start), Buffer.from(end)]
    const rows = [...this.#table(table)].map(([key, value]) => [Buffer.from(key), value] as const)
    const inside = rows.filter(([key]) => Buffer.compare(key, from) >= 0 && Buffer.compare(key, to) < 0)
    inside.sort(([left], [right]) => Buffer.compare(left, right))
    for (const [key, value] of inside) yield [key.toString(), Buffer.from(value)]
  }

  count(table: TableName): number {
    return this.#table(table).size
  }

  commit(changes: readonly StoreChange[]): Promise<void> {
    return this.#commits.commit(changes)
  }

  copyTo(directory: string): Promise<void> {
    const message = `Cannot copy the store to ${JSON.stringify(directory)}: this broker keeps everything in memory`
    return Promise.reject(new BrokerError('POLICY_VIOLATION', message))
  }

  close(): Promise<void> {
    return this.#commits.close()
  }

  #table(name: TableName): Map<string, Buffer> {
    const table = this.#tables.get(name)
    if (table === undefined) throw new TypeError(`there is no table ${JSON.stringify(name)}`)
    return table
  }
}
