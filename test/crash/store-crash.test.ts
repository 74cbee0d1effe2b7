import { execFileSync } from 'node:child_process'
import { mkdtempSync, openSync, closeSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { afterEach, expect, test } from 'vitest'

import { nodeFileSystem } from '../../src/base/file-system.ts'
import { LmdbStore } from '../../src/store/lmdb-store.ts'
import { startSource } from '../support/run-source.ts'

const cleanups: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup()
})

function makeDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'cafelog-crash-'))
  cleanups.push(() => rmSync(directory, { recursive: true }))
  return directory
}

/** Runs the writer until `stop` says so or it ends; returns the numbers it printed and the other lines. */
async function runWriter(args: readonly string[], prefix: readonly string[], stop: (acknowledged: number) => boolean) {
  const writer = await startSource('test/crash/store-writer.ts', args, prefix)
  let output = ''
  writer.stdout?.on('data', (bytes: Buffer) => {
    output += bytes.toString()
    if (stop(output.split('\n').length - 1)) writer.kill('SIGKILL')
  })
  let complaints = ''
  writer.stderr?.on('data', (bytes: Buffer) => (complaints += bytes.toString()))
  const exit = await new Promise((resolve) => writer.on('close', (code, signal) => resolve(signal ?? code)))
  const lines = output.split('\n').slice(0, -1)
  const isNumber = (line: string) => /^\d+$/.test(line)
  return {
    exit,
    complaints,
    numbers: lines.filter(isNumber).map(Number),
    words: lines.filter((line) => !isNumber(line)),
  }
}

test('every acknowledged row is there after the process was killed, and no half of a commit', async () => {
  const path = join(makeDirectory(), '@store')
  const acknowledged: number[] = []
  // Where the kill falls inside a commit differs from run to run; the counts make it fall early and late.
  for (const killAfter of [1, 7, 150, 400, 40, 900]) {
    const first = (acknowledged.length + 100) * 10
    const { numbers, exit } = await runWriter([path, String(first), '20'], [], (lines) => lines >= killAfter)
    expect(exit).toBe('SIGKILL')
    acknowledged.push(...numbers)

    const store = new LmdbStore({ path, fileSystem: nodeFileSystem })
    const topics = new Map(store.entries('topics'))
    const missing = acknowledged.filter((number) => !topics.has(`row ${number}`))
    const halves = [...store.entries('offsets')].filter(([key]) => !topics.delete(key))
    await store.close()
    expect({ missing, halves, more: topics.size }).toEqual({ missing: [], halves: [], more: 0 })
  }
  expect(acknowledged.length).toBeGreaterThan(1_400)
}, 60_000)

test('a write that the system refuses latches the store, and what was acknowledged before is there', async () => {
  const path = join(makeDirectory(), '@store')
  // A limit on the size of files, in blocks of 512 or 1,024 bytes: the kernel cuts a write short, then answers EFBIG.
  const limited = ['sh', '-c', 'ulimit -f 6000; exec "$@"', '--']
  const { numbers, words, exit, complaints } = await runWriter([path, '1', '3000'], limited, () => false)
  expect({ exit, unhandled: complaints.includes('ERR_UNHANDLED_REJECTION') }).toEqual({ exit: 0, unhandled: false })
  expect(words[0]).toMatch(
    /^failed: BrokerError: Cannot commit to the store ".*": .*; whether it was stored is not known$/,
  )
  expect(words[1]).toMatch(/^then: BrokerError: .* an earlier commit failed \(.*\), start the broker anew$/)
  expect(numbers.length).toBeGreaterThan(100)

  const store = new LmdbStore({ path, fileSystem: nodeFileSystem })
  cleanups.push(() => store.close())
  expect(numbers.filter((number) => store.get('topics', `row ${number}`) === undefined)).toEqual([])
  await store.commit([{ table: 'meta', key: 'again', value: Buffer.from('works') }])
}, 60_000)

/** A file system of 8 MB; undefined where we may not mount one. */
function mountSmallDisk(): string | undefined {
  const directory = makeDirectory()
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'cafelog-test', directory], { stdio: 'ignore' })
  } catch {
    return undefined
  }
  cleanups.push(() => {
    execFileSync('umount', ['-l', directory])
  })
  return directory
}

test('commits go on when a real disk is full', async ({ skip }) => {
  const directory = mountSmallDisk() ?? skip('needs the right to mount a small tmpfs')
  const store = new LmdbStore({ path: join(directory, '@store'), fileSystem: nodeFileSystem })
  cleanups.push(() => store.close())
  await store.commit([{ table: 'offsets', key: 'k', value: Buffer.from('v') }])

  const filling = openSync(join(directory, 'filling'), 'w')
  const fill = () => {
    for (const chunk of [Buffer.alloc(4096), Buffer.alloc(1)]) {
      while (writeSync(filling, chunk) === chunk.length);
    }
  }
  expect(fill).toThrow('ENOSPC')
  expect(nodeFileSystem.space(directory).freeBytes).toBe(0)

  for (let index = 0; index < 2_000; index++) {
    await store.commit([{ table: 'offsets', key: `row ${index}`, value: Buffer.from(String(index)) }])
  }
  const growForEver = async () => {
    for (let index = 0; ; index++) {
      await store.commit([{ table: 'meta', key: `row ${index}`, value: Buffer.alloc(2_000) }])
    }
  }
  await expect(growForEver()).rejects.toThrow('the disk is full, 0 bytes are free')
  expect(store.failure).toBeUndefined()

  closeSync(filling)
  rmSync(join(directory, 'filling'))
  await store.commit([{ table: 'meta', key: 'again', value: Buffer.alloc(20_000) }])
}, 60_000)
