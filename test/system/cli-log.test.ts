// `log dump` and `log verify` on the files that a real broker has left.
import {
  cpSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeSync,
  appendFileSync,
  closeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { DirectoryLock } from '../../src/base/directory-lock.ts'
import { systemClock } from '../../src/base/clock.ts'
import { runCli, startCliBroker, type CliBroker } from './cli-harness.ts'

/** Large enough for several segments and index entries. */
const RECORDS = 3_000

let broker: CliBroker
let scratch: string
beforeAll(async () => {
  broker = await startCliBroker()
  scratch = mkdtempSync(join(tmpdir(), 'cafelog-cli-'))
  await broker.ask('CREATE_TOPIC', {
    topic: 'orders',
    partitions: 2,
    config: { 'segment.bytes': '64KB', 'index.interval.bytes': '1KB' },
  })
  for (let n = 0; n < RECORDS; n += 100) {
    const records = Array.from({ length: 100 }, (_, index) => {
      const value = Buffer.from(JSON.stringify({ id: n + index, note: 'x'.repeat(40) })).toString('base64')
      return { key: Buffer.from(`k${n + index}`).toString('base64'), value, headers: [{ key: 'n', value: null }] }
    })
    await broker.ask('PRODUCE', { topic: 'orders', partition: 0, records })
  }
  await broker.ask('PRODUCE', {
    topic: 'orders',
    partition: 1,
    records: [{ value: 'aGVsbG8=' }, { value: null, key: 'Zw==' }],
  })
  await broker.stop()
})
afterAll(async () => {
  await broker.remove()
  rmSync(scratch, { recursive: true, force: true })
})
afterEach(() => rmSync(join(scratch, 'copy'), { recursive: true, force: true }))

const cli = (...args: string[]) => runCli(args, broker.env)

/** A copy of the data directory to damage. */
function copyData(): string {
  const copy = join(scratch, 'copy')
  cpSync(broker.directory, copy, { recursive: true, filter: (path) => !path.includes('@lock') })
  return copy
}

const partitionOf = (directory: string, partition = 0) => join(directory, 'orders', `partition-${partition}`)

function segmentsOf(directory: string): string[] {
  return readdirSync(partitionOf(directory))
    .filter((name) => name.endsWith('.log'))
    .toSorted()
    .map((name) => join(partitionOf(directory), name))
}

function flipByte(path: string, position: number) {
  const file = openSync(path, 'r+')
  const byte = readFileSync(path)[position]
  writeSync(file, Buffer.of(byte ^ 0x40), 0, 1, position)
  closeSync(file)
}

test('the batches of a topic: dense offsets, positions that add up', async () => {
  const { stdout, stderr, code } = await cli('log', 'dump', 'orders', '-j')
  expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
  interface Row {
    partition: number
    file: string
    baseOffset: number
    records: number
    position: number
    bytes: number
    codec: string
    crc: string
  }
  const rows = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Row)
    .filter(({ partition }) => partition === 0)
  let [nextOffset, file, nextPosition] = [0, '', 0]
  for (const row of rows) {
    if (row.file !== file) nextPosition = 0
    file = row.file
    expect(row).toMatchObject({ baseOffset: nextOffset, position: nextPosition, codec: 'none', crc: 'ok' })
    nextOffset += row.records
    nextPosition += row.bytes
  }
  expect(nextOffset).toBe(RECORDS)
  expect(new Set(rows.map((row) => row.file)).size).toBe(segmentsOf(broker.directory).length)
  expect((await cli('log', 'dump', 'orders', '-p', '1')).stdout).toMatch(
    /^PARTITION +BASE-OFFSET +RECORDS +POSITION +SIZE +CODEC +FIRST +LAST +CRC\n1 +0 +2 +0 +\d+ +none +20\S+Z +20\S+Z +ok\n$/,
  )
})

test('the records of a topic, of one file, and in the forms of consume', async () => {
  expect((await cli('log', 'dump', 'orders', '-p', '1', '--records')).stdout).toBe('hello\n\n')
  expect((await cli('log', 'dump', 'orders', '-p', '1', '--records', '-f', '%t %p %o %k|%v\\n')).stdout).toBe(
    'orders 1 0 |hello\norders 1 1 g|\n',
  )
  const { stdout } = await cli('log', 'dump', 'orders', '-p', '0', '--records', '-f', '%o %k %v\\n')
  expect(stdout.trim().split('\n')).toEqual(
    Array.from({ length: RECORDS }, (_, n) => `${n} k${n} {"id":${n},"note":"${'x'.repeat(40)}"}`),
  )
  const [, second] = segmentsOf(broker.directory)
  expect((await cli('log', 'dump', second, '--records', '-j')).stdout).toMatch(
    /^\{"v":1,"topic":"orders","partition":0,"offset":"[1-9]\d+",/,
  )
})

test('a whole directory is verified, and nothing in it is changed', async () => {
  const before = segmentsOf(broker.directory).map((path) => statSync(path).mtimeMs)
  const { stdout, stderr, code } = await cli('log', 'verify')
  expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
  expect(stdout).toMatch(
    /^TOPIC +PARTITION +SEGMENTS +BATCHES +RECORDS +SIZE +PROBLEMS\norders +0 +\d+ +30 +3000 +\d+ +0\norders +1 +1 +1 +2 +\d+ +0\n$/,
  )
  expect(segmentsOf(broker.directory).map((path) => statSync(path).mtimeMs)).toEqual(before)
  expect(JSON.parse((await cli('log', 'verify', 'orders', '-j')).stdout)).toMatchObject([
    { partition: 0, problems: [], notes: [] },
    { partition: 1 },
  ])
})

test.each<[name: string, damage: (directory: string) => void, expected: RegExp]>([
  [
    'a flipped bit',
    (directory) => flipByte(segmentsOf(directory)[0], 500),
    /\.log at byte 0 \(offset 0\): its CRC32C is 0x/,
  ],
  [
    'a length that leads nowhere',
    (directory) => flipByte(segmentsOf(directory)[0], 8),
    /\.log at byte 0: its length .* cannot be read/,
  ],
  [
    'a missing segment',
    (directory) => unlinkSync(segmentsOf(directory)[1]),
    /\.log is missing: it held offsets \d+ to \d+[^]*should follow/,
  ],
  [
    'a segment that is too short',
    (directory) => truncateSync(segmentsOf(directory)[0], 10_000),
    /\.log has 10000 bytes: \d+ had been stored safely/,
  ],
  [
    'an index of other bytes',
    (directory) => flipByte(segmentsOf(directory)[0].replace('.log', '.idx'), 3),
    /\.idx is damaged: the broker makes it anew/,
  ],
  [
    'an offset that was there before',
    (directory) => cpSync(segmentsOf(directory)[0], segmentsOf(directory)[1]),
    /offset \d+ should follow/,
  ],
])('verify finds %s', async (_name, damage, expected) => {
  const directory = copyData()
  damage(directory)
  const { stderr, code } = await cli('log', 'verify', '--data-dir', directory)
  expect(stderr).toMatch(expected)
  expect(stderr).toContain('✗ 1 of 2 partitions are damaged\n')
  expect(code).toBe(4)
})

test('what a crash leaves behind the last safe byte is said, and is no damage', async () => {
  const directory = copyData()
  appendFileSync(segmentsOf(directory).at(-1)!, Buffer.alloc(100))
  const { stderr, code } = await cli('log', 'verify', '--data-dir', directory)
  expect(stderr).toMatch(
    /^orders\/0 {2}.*\.log has 100 bytes after its last whole batch: the next start cuts them off\n$/,
  )
  expect(code).toBe(0)
})

test('dump shows damage where it is, and rescues the records around it', async () => {
  const directory = copyData()
  flipByte(segmentsOf(directory)[0], 500)
  const batches = await cli('log', 'dump', 'orders', '--data-dir', directory)
  expect(batches.stdout).toMatch(/\n0 +0 +100 +0 +\d+ +none +\S+ +\S+ +its CRC32C is/)
  expect(batches.code).toBe(4)
  const records = await cli('log', 'dump', 'orders', '-p', '0', '--records', '--data-dir', directory)
  expect(records.stdout.trim().split('\n')).toHaveLength(RECORDS - 100)
  expect(records.stderr).toContain('orders/0 00000000000000000000.log at byte 0: its CRC32C')
  expect(records.code).toBe(4)
})

test('a data directory in use is left alone', async () => {
  const directory = copyData()
  const lock = await DirectoryLock.take(directory, systemClock)
  for (const args of [['dump', 'orders'], ['verify'], ['dump', segmentsOf(directory)[0]]]) {
    const { stderr, code } = await cli('log', ...args, '--data-dir', directory)
    expect(stderr).toMatch(/^✗ the data directory .* is in use by process \d+/)
    expect(stderr).toContain('code DATA_DIRECTORY_IN_USE (exit 6)')
    expect(code).toBe(6)
  }
  await lock.release()
  expect(await cli('log', 'verify', '--data-dir', directory)).toMatchObject({ code: 0 })
})

test('what is not there', async () => {
  expect(await cli('log', 'dump', 'ordres')).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('did you mean "orders"?'),
  })
  expect(await cli('log', 'dump', 'orders', '-p', '7')).toMatchObject({ code: 3 })
  expect(await cli('log', 'verify', '--data-dir', '/nothing/there')).toMatchObject({ code: 2 })
  expect(await cli('log', 'dump', './nothing.txt.log')).toMatchObject({ code: 2 })
  expect(await cli('log', 'dump', 'orders', '-f', '%v')).toMatchObject({ code: 2 })
})
