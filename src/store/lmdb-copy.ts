import { createRequire } from 'node:module'

import type * as lmdb from 'lmdb'
import type { Database, RootDatabaseOptionsWithPath, Transaction } from 'lmdb'

import { BrokerError } from '../base/broker-error.ts'
import type { FileSystem } from '../base/file-system.ts'
import { prepareLmdbFiles } from './lmdb-files.ts'
import type { TableName } from './store.ts'

const { open } = createRequire(import.meta.url)('lmdb') as typeof lmdb

/** Rows of one transaction, and of one turn of the event loop; a few milliseconds. */
const ROWS_PER_TURN = 2000
const BYTES_PER_TURN = 1024 * 1024
/** What a copy leaves to everybody else. */
const DISK_BYTES_LEFT = 16 * 1024 * 1024

type Table = Database<Buffer, Buffer>
type Row = readonly [key: Buffer, value: Buffer]

/**
 * Copies all rows that a read transaction sees into a new environment, some in each turn of the event loop. The transaction
 * stays the caller's. LMDB's own copy of the whole file would begin at a moment that nobody knows, and would take the free
 * pages along.
 *
 * @throws BrokerError KAFKA_STORAGE_ERROR
 */
export async function copyRows(
  source: {
    readonly tables: ReadonlyMap<TableName, Table>
    readonly transaction: Transaction
    readonly sizeBytes: number
  },
  target: {
    readonly directory: string
    readonly fileSystem: FileSystem
    readonly options: Omit<RootDatabaseOptionsWithPath, 'path'>
  },
): Promise<void> {
  const { directory, fileSystem, options } = target
  const refuse = (reason: string, cause?: unknown) => {
    const message = `Cannot copy the store to ${JSON.stringify(directory)}: ${reason}`
    return new BrokerError('KAFKA_STORAGE_ERROR', message, { cause })
  }
  prepareLmdbFiles(fileSystem, directory)
  const { freeBytes } = fileSystem.space(directory)
  const bytesWanted = source.sizeBytes + DISK_BYTES_LEFT
  if (freeBytes < bytesWanted) throw refuse(`it wants ${bytesWanted} bytes of disk, ${freeBytes} are free`)
  const root = open<Buffer, Buffer>({ path: directory, ...options, noSync: true })
  try {
    for (const [name, table] of source.tables) {
      const copy = root.openDB<Buffer, Buffer>({ name, encoding: 'binary', keyEncoding: 'binary' })
      let start: Buffer | undefined
      for (;;) {
        const rows = takeRows(table, source.transaction, start)
        const last = rows.at(-1)
        if (last === undefined) break
        await root.batch(() => {
          for (const [key, value] of rows) void copy.put(key, value)
        })
        start = Buffer.concat([last[0], Buffer.of(0)])
      }
    }
  } catch (error) {
    const cause: unknown = error instanceof Error && 'commitError' in error ? await settle(error.commitError) : error
    throw refuse(cause instanceof Error ? cause.message : String(cause), cause)
  } finally {
    await root.close()
  }
}

/** The rows from a key on, as many as are copied at a time. */
function takeRows(table: Table, transaction: Transaction, start: Buffer | undefined): Row[] {
  const rows: Row[] = []
  let bytes = 0
  const range = { transaction, limit: ROWS_PER_TURN, ...(start !== undefined && { start }) }
  for (const { key, value } of table.getRange(range)) {
    rows.push([Buffer.from(key), Buffer.from(value)])
    bytes += value.length
    if (bytes >= BYTES_PER_TURN) break
  }
  return rows
}

/** The package hands out the reason in a second promise, which rejects too. */
async function settle(reason: unknown): Promise<unknown> {
  try {
    return await reason
  } catch (error) {
    return error
  }
}
