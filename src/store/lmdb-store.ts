import { createRequire } from 'node:module'
import { dirname } from 'node:path'

import type * as lmdb from 'lmdb'
import type { Database, RootDatabase } from 'lmdb'

import { BrokerError } from '../base/broker-error.ts'
import type { Clock, Timer } from '../base/clock.ts'
import type { FileSystem } from '../base/file-system.ts'
import { GroupCommit } from './group-commit.ts'
import { copyRows } from './lmdb-copy.ts'
import { prepareLmdbFiles } from './lmdb-files.ts'
import { TABLES } from './store.ts'
import type { Store, StoreChange, TableName } from './store.ts'

// For `require` the package is one file, for `import` a dozen: that is 15 ms of every start.
const { open } = createRequire(import.meta.url)('lmdb') as typeof lmdb

/** Room for tables to come; the number is part of how LMDB lays out its memory, not of the file. */
const TABLES_MAX = 32
/**
 * Address space, not memory and not disk. A file that outgrows its map gets a larger one, and the package keeps the old one
 * until the store is closed: what had been read through it would count twice as resident memory. So there is room.
 */
const MAP_BYTES = 16 * 1024 ** 3
const PAGE_BYTES = 4096
/** Free pages inside the file, so that commits go on when the disk is full: see `LmdbStore`. */
const RESERVE_BYTES = 2 * 1024 * 1024
const RESERVE_BYTES_LOW = 1024 * 1024
/** Written pages, as estimated from the changes, after which the reserve is measured again. */
const PAGES_BETWEEN_MEASUREMENTS = 64
/** Pages that a transaction may need beside those of its rows: tree paths of every table and the list of free pages. */
const PAGES_OF_A_TRANSACTION = 64
/** What a commit that must let the file grow leaves to others, who may be taking from it at this moment. */
const DISK_BYTES_LEFT = 1024 * 1024
/** With less space than this on the disk, the reserve is not filled up: others need it more. */
const DISK_BYTES_WANTED = 3 * RESERVE_BYTES

/** How often it is looked whether the map is worth making anew, while anything is written. */
const MAP_CHECK_MS = 1000
/** Written pages, as estimated from the changes, since when a map is worth making anew; and that many are a lot at once. */
const MAP_PAGES_OLD = 1024
const MAP_PAGES_VERY_OLD = 65_536
/** With less than that written since the last look, whoever filled the store has finished. */
const MAP_PAGES_QUIET = 512
/** For the rare case that somebody else took the last file descriptor between closing and opening. */
const OPENING_ATTEMPTS = 5

const RAW = { encoding: 'binary', keyEncoding: 'binary' } as const
const ENVIRONMENT = {
  ...RAW,
  maxDbs: TABLES_MAX,
  mapSize: MAP_BYTES,
  pageSize: PAGE_BYTES,
  overlappingSync: false,
  // Only so does one transaction have one promise. Otherwise the package makes a second one for the batch, and when the
  // commit fails nobody can catch it: the process would end with an unhandled rejection.
  eventTurnBatching: false,
} as const

/** What the store needs from outside. */
export interface LmdbStoreOptions {
  /** A directory; made when it is not there. */
  readonly path: string
  readonly fileSystem: FileSystem
  /** Of the machine, for when to give memory back; without it, none is. */
  readonly machineClock?: Clock
}

/**
 * The embedded store on LMDB, a copy-on-write B+tree in one file: a crash at any moment leaves the last durable
 * transaction. Each table is an LMDB database of its name; keys are UTF-8, values are the bytes as given.
 *
 * Durability: without `overlappingSync` LMDB resolves a transaction after `fdatasync` of its pages and a synchronous
 * write of its meta page, so that what is resolved is on stable storage. (With it, the default of the package, resolved
 * means no more than visible.) The transaction runs in the thread pool.
 *
 * Full disk: LMDB takes freed pages before it lets its file grow, so that writing existing rows anew never needs space.
 * New rows do. Therefore the file carries a reserve of free pages, made by writing a large row and removing it, and
 * measured and filled up as the tables grow. A disk that fills up later leaves commits working until the reserve is used
 * up. From then on commits are refused before LMDB is touched, so that they work again as soon as there is space.
 *
 * Memory: LMDB reads its file through a map, and every page that a transaction comes by, with fifteen neighbours, counts as
 * resident from then on, though the system may take it back at any time. After a million rows that is the whole file, and
 * nobody can tell it from memory that is needed. So a map through which much was written is made anew when it is quiet, by
 * closing the file and opening it again: 3 ms, in one go, between two transactions, while nobody iterates.
 */
export class LmdbStore implements Store {
  readonly #path: string
  readonly #fileSystem: FileSystem
  readonly #machineClock: Clock | undefined
  #root: RootDatabase<Buffer, Buffer>
  readonly #tables = new Map<TableName, Database<Buffer, Buffer>>()
  readonly #commits: GroupCommit
  /** Free pages when they were last counted, less an estimate of what was written since. */
  #reservePages = 0
  #pagesSinceMeasurement = Number.POSITIVE_INFINITY
  /** Written since the map was made, and since somebody looked at that. */
  #mapPages = 0
  #mapPagesUnseen = 0
  #mapCheck: Timer | undefined
  #isMapOld = false
  #renewal: Promise<void> | undefined
  #isWriting = false
  #iterations = 0
  /** The store could not be opened again. */
  #openFailure: Error | undefined
  #isClosed = false

  /** @throws Error when the directory cannot be written or what is there is not a store */
  constructor({ path, fileSystem, machineClock }: LmdbStoreOptions) {
    this.#path = path
    this.#fileSystem = fileSystem
    this.#machineClock = machineClock
    try {
      const isNew = prepareLmdbFiles(fileSystem, path)
      this.#root = this.#open()
      if (isNew) {
        fileSystem.syncDirectoryNow(path)
        fileSystem.syncDirectoryNow(dirname(path))
      }
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      throw new Error(`Cannot open the store ${JSON.stringify(path)}: ${reason}`, { cause: error })
    }
    this.#commits = new GroupCommit(path, (changes) => this.#write(changes))
  }

  get failure(): Error | undefined {
    return this.#openFailure ?? this.#commits.failure
  }

  get(table: TableName, key: string): Buffer | undefined {
    const value = this.#table(table).get(Buffer.from(key))
    return value === undefined ? undefined : Buffer.from(value)
  }

  *entries(table: TableName, prefix = ''): Iterable<readonly [key: string, value: Buffer]> {
    const start = Buffer.from(prefix)
    for (const row of this.#iterate(table, start.length === 0 ? {} : { start })) {
      if (!startsWith(row.key, start)) return
      yield [row.key.toString(), Buffer.from(row.value)]
    }
  }

  *range(table: TableName, start: string, end: string): Iterable<readonly [key: string, value: Buffer]> {
    const range = { start: Buffer.from(start), end: Buffer.from(end) }
    for (const { key, value } of this.#iterate(table, range)) yield [key.toString(), Buffer.from(value)]
  }

  *#iterate(table: TableName, range: lmdb.RangeOptions): Iterable<{ readonly key: Buffer; readonly value: Buffer }> {
    this.#iterations++
    try {
      yield* this.#table(table).getRange(range)
    } finally {
      this.#iterations--
    }
  }

  count(table: TableName): number {
    return (this.#table(table).getStats() as TreeStats).entryCount
  }

  commit(changes: readonly StoreChange[]): Promise<void> {
    return this.#commits.commit(changes)
  }

  copyTo(directory: string): Promise<void> {
    if (this.#openFailure !== undefined) return Promise.reject(this.#refuseAfter(this.#openFailure))
    // The next read sees what was committed last, and not what an earlier one in this turn has seen.
    this.#root.resetReadTxn()
    const transaction = this.#root.useReadTransaction()
    const source = { tables: this.#tables, transaction, sizeBytes: this.#sizeBytes() }
    this.#iterations++
    return copyRows(source, { directory, fileSystem: this.#fileSystem, options: ENVIRONMENT }).finally(() => {
      transaction.done()
      this.#iterations--
      // All of it was read through the map.
      this.#noteMapped(source.sizeBytes / PAGE_BYTES)
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#mapCheck?.cancel()
    await this.#commits.close()
    await this.#renewal
    if (this.#openFailure === undefined) await this.#root.close()
  }

  #open(): RootDatabase<Buffer, Buffer> {
    const root = open<Buffer, Buffer>({ path: this.#path, ...ENVIRONMENT })
    try {
      // In one transaction, or the first start would wait for a sync for each of them.
      root.transactionSync(() => {
        for (const table of TABLES) this.#tables.set(table, root.openDB<Buffer, Buffer>({ name: table, ...RAW }))
      })
    } catch (error) {
      void root.close()
      throw error
    }
    return root
  }

  #table(name: TableName): Database<Buffer, Buffer> {
    if (this.#openFailure !== undefined) throw this.#refuseAfter(this.#openFailure)
    const table = this.#tables.get(name)
    if (table === undefined) throw new TypeError(`there is no table ${JSON.stringify(name)}`)
    return table
  }

  async #write(changes: readonly StoreChange[]) {
    if (this.#isMapOld) await new Promise<void>((renewed) => setImmediate(() => void this.#renewMap().then(renewed)))
    await this.#renewal
    if (this.#openFailure !== undefined) throw this.#refuseAfter(this.#openFailure)
    this.#isWriting = true
    try {
      await this.#keepReserve()
      const pages = estimatePages(changes)
      this.#refuseIfDiskIsFull(changes, pages)
      await this.#transact(() => {
        for (const { table, key, value } of changes) {
          const keyBytes = Buffer.from(key)
          if (value === undefined) void this.#table(table).remove(keyBytes)
          else void this.#table(table).put(keyBytes, value)
        }
      })
      this.#reservePages -= pages
      this.#pagesSinceMeasurement += pages
      this.#noteMapped(pages)
    } finally {
      this.#isWriting = false
    }
  }

  #noteMapped(pages: number): void {
    this.#mapPages += pages
    this.#mapPagesUnseen += pages
    if (this.#mapPages < MAP_PAGES_OLD || this.#isClosed) return
    this.#mapCheck ??= this.#machineClock?.setTimer(MAP_CHECK_MS, this.#checkMap)
  }

  readonly #checkMap = (): void => {
    const isQuiet = this.#mapPagesUnseen < MAP_PAGES_QUIET
    this.#mapCheck = undefined
    this.#mapPagesUnseen = 0
    if (isQuiet || this.#mapPages > MAP_PAGES_VERY_OLD) {
      if (this.#isWriting) this.#isMapOld = true
      else void this.#renewMap()
    }
    this.#noteMapped(0)
  }

  /**
   * To be called first thing in a turn of the event loop, with no transaction under way: what `close` waits for has all come
   * to an end, so nobody else has a turn before the store is open again.
   */
  #renewMap(): Promise<void> {
    this.#isMapOld = false
    if (this.#iterations > 0 || this.#isClosed) return Promise.resolve()
    this.#mapPages = 0
    this.#renewal ??= this.#reopen().finally(() => {
      this.#renewal = undefined
    })
    return this.#renewal
  }

  async #reopen(): Promise<void> {
    await this.#root.close()
    for (let attempt = 1; attempt <= OPENING_ATTEMPTS; attempt++) {
      try {
        this.#root = this.#open()
        return
      } catch (error) {
        if (attempt === OPENING_ATTEMPTS) this.#openFailure = error instanceof Error ? error : new Error(String(error))
      }
    }
  }

  #refuseAfter(failure: Error): BrokerError {
    return new BrokerError(
      'KAFKA_STORAGE_ERROR',
      `Cannot use the store ${JSON.stringify(this.#path)}: it could not be opened again (${failure.message}), start the broker anew`,
      { cause: failure },
    )
  }

  /** One transaction: all that `change` puts and removes, or nothing. */
  async #transact(change: () => void) {
    try {
      await this.#root.batch(change)
    } catch (error) {
      // The package rejects with a bare "Commit failed" and hands out the reason in a second promise, which rejects too.
      if (error instanceof Error && 'commitError' in error) await error.commitError
      throw error
    }
  }

  async #keepReserve() {
    if (this.#pagesSinceMeasurement < PAGES_BETWEEN_MEASUREMENTS) return
    this.#pagesSinceMeasurement = 0
    this.#reservePages = this.#countFreePages()
    if (this.#reservePages * PAGE_BYTES >= RESERVE_BYTES_LOW) return
    if (this.#fileSystem.space(this.#path).freeBytes < DISK_BYTES_WANTED) return
    const key = Buffer.from('@reserve')
    const filling = Buffer.alloc(RESERVE_BYTES)
    await this.#transact(() => void this.#root.put(key, filling))
    await this.#transact(() => void this.#root.remove(key))
    this.#reservePages = this.#countFreePages()
  }

  /** What the trees and their free pages take up. */
  #sizeBytes(): number {
    return ((this.#root.getStats() as RootStats).lastPageNumber + 1) * PAGE_BYTES
  }

  /** Everything in the file that belongs neither to a tree, nor to the list of free pages, nor is one of two meta pages. */
  #countFreePages(): number {
    const stats = this.#root.getStats() as RootStats
    let usedPages = 2 + countTreePages(stats) + countTreePages(stats.free)
    for (const table of this.#tables.values()) usedPages += countTreePages(table.getStats() as TreeStats)
    return stats.lastPageNumber + 1 - usedPages
  }

  #refuseIfDiskIsFull(changes: readonly StoreChange[], pages: number) {
    const pagesWanted = pages + PAGES_OF_A_TRANSACTION
    if (this.#reservePages >= pagesWanted && changes.every(fitsIntoPages)) return
    const { freeBytes } = this.#fileSystem.space(this.#path)
    if (freeBytes >= DISK_BYTES_LEFT + pagesWanted * PAGE_BYTES) return
    throw new BrokerError(
      'KAFKA_STORAGE_ERROR',
      `Cannot commit to the store ${JSON.stringify(this.#path)}: the disk is full, ${freeBytes} bytes are free and the store's own reserve is used up`,
    )
  }
}

interface TreeStats {
  readonly entryCount: number
  readonly treeBranchPageCount: number
  readonly treeLeafPageCount: number
  readonly overflowPages: number
}

interface RootStats extends TreeStats {
  readonly free: TreeStats
  readonly lastPageNumber: number
}

function countTreePages(stats: TreeStats): number {
  return stats.treeBranchPageCount + stats.treeLeafPageCount + stats.overflowPages
}

/** At most so many new pages do these changes need for rows: one each, and more for values that do not fit into a page. */
function estimatePages(changes: readonly StoreChange[]): number {
  let pages = 0
  for (const { value } of changes) pages += 1 + Math.floor((value?.length ?? 0) / PAGE_BYTES)
  return pages
}

/** Free pages are scattered over the file: they serve what fits into one page, a longer value wants several in a row. */
function fitsIntoPages({ value }: StoreChange): boolean {
  return value === undefined || value.length < PAGE_BYTES / 2
}

function startsWith(bytes: Buffer, prefix: Buffer): boolean {
  return bytes.length >= prefix.length && bytes.compare(prefix, 0, prefix.length, 0, prefix.length) === 0
}
