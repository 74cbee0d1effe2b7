import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, expect, test } from 'vitest'

import { nodeFileSystem } from '../base/file-system.ts'
import { LmdbStore } from './lmdb-store.ts'
import { MemoryStore } from './memory-store.ts'
import type { Store, TableName } from './store.ts'

const cleanups: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'cafelog-store-'))
  cleanups.push(() => rmSync(directory, { recursive: true }))
  return directory
}

function openLmdb(directory: string, fileSystem = nodeFileSystem): LmdbStore {
  const store = new LmdbStore({ path: join(directory, '@store'), fileSystem })
  cleanups.push(() => store.close())
  return store
}

const implementations: Record<string, () => Store> = {
  LmdbStore: () => openLmdb(makeDirectory()),
  MemoryStore: () => new MemoryStore(),
}

const bytes = (text: string) => Buffer.from(text)
const rows = (store: Store, table: TableName, prefix?: string) =>
  [...store.entries(table, prefix)].map(([key, value]) => [key, value.toString()])

test.each(Object.entries(implementations))('%s keeps rows by table and key', async (_name, open) => {
  const store = open()
  await store.commit([
    { table: 'topics', key: 'orders', value: bytes('a') },
    { table: 'offsets', key: 'orders', value: bytes('b') },
    { table: 'topics', key: 'gone', value: bytes('c') },
    { table: 'topics', key: 'gone', value: undefined },
    { table: 'topics', key: 'never there', value: undefined },
    { table: 'meta', key: 'empty', value: bytes('') },
  ])
  expect(store.get('topics', 'orders')).toEqual(bytes('a'))
  expect(store.get('offsets', 'orders')).toEqual(bytes('b'))
  expect(store.get('topics', 'gone')).toBeUndefined()
  expect(store.get('meta', 'empty')).toEqual(bytes(''))
  expect(rows(store, 'topics')).toEqual([['orders', 'a']])
})

test.each(Object.entries(implementations))('%s lists rows in byte order, by prefix', async (_name, open) => {
  const store = open()
  const keys = ['ab', 'a', 'b', 'a\u0000z', 'ä', 'z', '\u{1f600}', '\uffff', 'A']
  await store.commit(keys.map((key) => ({ table: 'offsets', key, value: bytes(key) })))
  const inOrder = ['A', 'a', 'a\u0000z', 'ab', 'b', 'z', 'ä', '\uffff', '\u{1f600}']
  expect(rows(store, 'offsets')).toEqual(inOrder.map((key) => [key, key]))
  expect(rows(store, 'offsets', 'a').map(([key]) => key)).toEqual(['a', 'a\u0000z', 'ab'])
  expect(rows(store, 'offsets', 'zz')).toEqual([])
})

test.each(Object.entries(implementations))('%s lists and counts the rows between two keys', async (_name, open) => {
  const store = open()
  const keys = ['a\u0000\u0000', 'a\u0000b', 'a\u0001', 'b', 'B']
  await store.commit(keys.map((key) => ({ table: 'schedules_due', key, value: bytes(key) })))
  const between = (start: string, end: string) => [...store.range('schedules_due', start, end)].map(([key]) => key)
  expect(between('a\u0000', 'a\u0001')).toEqual(['a\u0000\u0000', 'a\u0000b'])
  expect(between('a\u0000b', 'b')).toEqual(['a\u0000b', 'a\u0001'])
  expect(between('b', 'a')).toEqual([])
  expect([store.count('schedules_due'), store.count('meta')]).toEqual([5, 0])
  await store.commit([{ table: 'schedules_due', key: 'b', value: undefined }])
  expect(store.count('schedules_due')).toBe(4)
})

test.each(Object.entries(implementations))('%s hands out bytes that are the reader’s own', async (_name, open) => {
  const store = open()
  await store.commit([{ table: 'meta', key: 'k', value: bytes('abc') }])
  store.get('meta', 'k')?.fill(0)
  expect(store.get('meta', 'k')).toEqual(bytes('abc'))
})

test.each(Object.entries(implementations))('%s applies commits in the order they were given', async (_name, open) => {
  const store = open()
  const resolved: number[] = []
  await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      await store.commit([{ table: 'meta', key: 'last', value: bytes(String(index)) }])
      resolved.push(index)
    }),
  )
  expect(store.get('meta', 'last')?.toString()).toBe('199')
  expect(resolved).toEqual(Array.from({ length: 200 }, (_, index) => index))
})

test.each(Object.entries(implementations))(
  '%s refuses commits once closed, after those under way',
  async (_n, open) => {
    const store = open()
    const underWay = store.commit([{ table: 'meta', key: 'k', value: bytes('v') }])
    const closed = store.close()
    await expect(store.commit([])).rejects.toMatchObject({ code: 'KAFKA_STORAGE_ERROR' })
    await underWay
    await closed
  },
)

test.each(Object.entries(implementations))('%s takes keys of 1 to 1,900 bytes', async (_name, open) => {
  const store = open()
  const key = 'ä'.repeat(950)
  await store.commit([{ table: 'offsets', key, value: bytes('long') }])
  expect(rows(store, 'offsets')).toEqual([[key, 'long']])
  expect(() => store.commit([{ table: 'offsets', key: '', value: bytes('') }])).toThrow('1 to 1900 bytes')
  expect(() => store.commit([{ table: 'offsets', key: `${key}x`, value: bytes('') }])).toThrow('1 to 1900 bytes')
})

test('LmdbStore has every row after it was opened again', async () => {
  const directory = makeDirectory()
  const first = openLmdb(directory)
  const large = Buffer.alloc(100_000, 7)
  await first.commit([
    { table: 'topics', key: 'orders', value: large },
    { table: 'meta', key: 'id', value: bytes('x') },
  ])
  await first.close()
  const second = openLmdb(directory)
  expect(second.get('topics', 'orders')).toEqual(large)
  expect(second.get('meta', 'id')).toEqual(bytes('x'))
})

test('LmdbStore takes values of many megabytes', async () => {
  const store = openLmdb(makeDirectory())
  const value = Buffer.alloc(30_000_000, 1)
  for (let index = 0; index < 3; index++) await store.commit([{ table: 'meta', key: `k${index}`, value }])
  expect(store.get('meta', 'k2')?.equals(value)).toBe(true)
})

const damages: Record<string, { damage: (data: Buffer) => Buffer; message: string }> = {
  'another file': { damage: () => Buffer.alloc(20_000, 'x'), message: 'data.mdb is not an LMDB file' },
  zeros: { damage: (data) => Buffer.alloc(data.length), message: 'data.mdb is not an LMDB file' },
  'a few bytes': { damage: (data) => data.subarray(0, 200), message: 'data.mdb was cut short, it has 200 bytes' },
  'fewer bytes': { damage: (data) => data.subarray(0, 20), message: 'data.mdb is not an LMDB file' },
  'another format': { damage: (data) => withByte(data, 28, 9), message: "data.mdb has LMDB's format 9" },
  'a file that was cut': { damage: (data) => data.subarray(0, 8192), message: 'MDB_CORRUPTED' },
}

function withByte(data: Buffer, position: number, byte: number) {
  const changed = Buffer.from(data)
  changed[position] = byte
  return changed
}

test.each(Object.entries(damages))('LmdbStore refuses %s', async (_name, { damage, message }) => {
  const directory = makeDirectory()
  const first = openLmdb(directory)
  await first.commit([{ table: 'topics', key: 'orders', value: Buffer.alloc(50_000) }])
  await first.close()
  const path = join(directory, '@store')
  writeFileSync(join(path, 'data.mdb'), damage(readFileSync(join(path, 'data.mdb'))))
  expect(() => openLmdb(directory)).toThrow(`Cannot open the store ${JSON.stringify(path)}: ${message}`)
})

test('LmdbStore says so when it may not write', async ({ skip }) => {
  if (process.getuid?.() === 0) skip('root may write everywhere')
  const directory = makeDirectory()
  const first = openLmdb(directory)
  await first.close()
  chmodSync(join(directory, '@store', 'data.mdb'), 0o400)
  expect(() => openLmdb(directory)).toThrow('EACCES: permission denied')
})

test('LmdbStore says so when its directory cannot be made, or has no room', () => {
  const directory = makeDirectory()
  expect(() => openLmdb(directory, { ...nodeFileSystem, space: () => ({ freeBytes: 9, totalBytes: 9 }) })).toThrow(
    'a new store wants 262144 bytes of disk, 9 are free',
  )
  rmSync(join(directory, '@store'), { recursive: true })
  writeFileSync(join(directory, '@store'), '')
  expect(() => openLmdb(directory)).toThrow('EEXIST')
})

test('LmdbStore goes on with its reserve when the disk is full, then refuses, and recovers with the space', async () => {
  let freeBytes = 1e12
  const store = openLmdb(makeDirectory(), { ...nodeFileSystem, space: () => ({ freeBytes, totalBytes: 1e12 }) })
  await store.commit([{ table: 'offsets', key: 'k', value: bytes('0') }])
  freeBytes = 0
  for (let index = 0; index < 100; index++) {
    await store.commit([{ table: 'offsets', key: 'k', value: bytes(String(index)) }])
  }
  const fill = async () => {
    for (let index = 0; index < 1_000; index++) {
      await store.commit([{ table: 'meta', key: `filling ${index}`, value: Buffer.alloc(2_000) }])
    }
  }
  await expect(fill()).rejects.toThrow("the disk is full, 0 bytes are free and the store's own reserve is used up")
  expect(rows(store, 'meta').length).toBeGreaterThan(200)
  await expect(store.commit([{ table: 'meta', key: 'large', value: Buffer.alloc(50_000) }])).rejects.toThrow('is full')
  expect(store.failure).toBeUndefined()
  freeBytes = 1e12
  await fill()
  expect(rows(store, 'meta').length).toBe(1_000)
})

test('a copy has the rows of the moment when it was asked for, while commits go on', async () => {
  const directory = makeDirectory()
  const store = openLmdb(directory)
  const round = (number: number) => [
    ...Array.from({ length: 5_000 }, (_, i) => {
      return { table: 'offsets', key: `row ${i}`, value: bytes(`${number} ${'x'.repeat(i % 300)}`) } as const
    }),
    { table: 'meta', key: 'round', value: bytes(String(number)) } as const,
  ]
  await store.commit(round(0))
  await store.commit(round(1))
  let isOver = false
  const committing = (async () => {
    for (let number = 2; !isOver; number++) await store.commit(round(number))
  })()
  const copying = store.copyTo(join(directory, 'copy', '@store'))
  const large = { table: 'schedules', key: 'large', value: Buffer.alloc(3_000_000, 7) } as const
  await Promise.all([copying, store.commit([large])])
  isOver = true
  await committing
  const copy = openLmdb(join(directory, 'copy'))
  const numbers = new Set([...copy.entries('offsets')].map(([, value]) => value.toString().split(' ')[0]))
  expect([...numbers]).toEqual(['1'])
  expect([...copy.entries('offsets')]).toHaveLength(5_000)
  expect(copy.get('meta', 'round')).toEqual(bytes('1'))
  expect(copy.count('schedules')).toBe(0)
  await copy.commit([large])
  expect(copy.get('schedules', 'large')?.length).toBe(3_000_000)
  expect(Number(store.get('meta', 'round')?.toString())).toBeGreaterThan(1)
})

test('a copy for which there is no room is refused before it is begun, and the store goes on', async () => {
  const directory = makeDirectory()
  let freeBytes: number | undefined
  const space = (path: string) => ({ ...nodeFileSystem.space(path), ...(freeBytes !== undefined && { freeBytes }) })
  const store = openLmdb(directory, { ...nodeFileSystem, space })
  await store.commit([{ table: 'meta', key: 'a', value: bytes('1') }])
  freeBytes = 10_000_000
  await expect(store.copyTo(join(directory, 'copy'))).rejects.toMatchObject({
    code: 'KAFKA_STORAGE_ERROR',
    message: expect.stringContaining('10000000 are free') as string,
  })
  freeBytes = undefined
  await store.commit([{ table: 'meta', key: 'a', value: bytes('2') }])
  expect(store.get('meta', 'a')).toEqual(bytes('2'))
  await expect(new MemoryStore().copyTo('/nowhere')).rejects.toMatchObject({ code: 'POLICY_VIOLATION' })
})
