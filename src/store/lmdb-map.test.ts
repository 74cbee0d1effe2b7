import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, onTestFinished, test } from 'vitest'
import type { Clock } from '../base/clock.ts'
import { nodeFileSystem } from '../base/file-system.ts'
import { LmdbStore } from './lmdb-store.ts'

const directory = mkdtempSync(join(tmpdir(), 'cafelog-map-'))
let store: LmdbStore | undefined
afterEach(async () => {
  await store?.close()
  rmSync(directory, { recursive: true })
}, 60_000)

/** Timers that go off when they are told to, each in a turn of its own, as timers do. */
class HandTimers implements Clock {
  #callbacks: (() => void)[] = []
  now = () => 0
  monotonic = () => 0

  setTimer(_delayMs: number, callback: () => void) {
    this.#callbacks.push(callback)
    return { cancel: () => (this.#callbacks = this.#callbacks.filter((other) => other !== callback)) }
  }

  async fire(): Promise<void> {
    for (const callback of this.#callbacks.splice(0)) {
      await new Promise<void>((fired) => {
        setImmediate(() => {
          callback()
          setImmediate(fired)
        })
      })
    }
  }
}

/** How much of the store's file this process has in its memory, all maps of it together; undefined where that is not told. */
function residentBytes(): number | undefined {
  let text: string
  try {
    text = readFileSync('/proc/self/smaps', 'utf8')
  } catch {
    return undefined
  }
  let sum = 0
  let isOurs = false
  for (const line of text.split('\n')) {
    if (/^[0-9a-f]+-/.test(line)) isOurs = line.includes(directory)
    else if (isOurs && line.startsWith('Rss:')) sum += 1024 * Number(/\d+/.exec(line)?.[0])
  }
  return sum
}

test('a store that was filled gives its memory back when it is quiet, and nobody is in the way', async () => {
  const clock = new HandTimers()
  const filled = new LmdbStore({ path: join(directory, '@store'), fileSystem: nodeFileSystem, machineClock: clock })
  store = filled
  const fill = async (from: number, count: number) => {
    const commits: Promise<void>[] = []
    for (let i = from; i < from + count; i++) {
      const key = String((i * 7919) % 100_003)
      commits.push(filled.commit([{ table: 'schedules', key, value: Buffer.alloc(300, i % 256) }]))
    }
    await Promise.all(commits)
  }
  // Somebody reads in every turn of the event loop.
  let reads = 0
  let isReading = true
  const read = () => {
    if (!isReading) return
    if (filled.get('meta', 'k')?.toString() === 'v') reads++
    setImmediate(read)
  }
  await filled.commit([{ table: 'meta', key: 'k', value: Buffer.from('v') }])
  read()
  onTestFinished(() => {
    isReading = false
  })
  await fill(0, 10_000)
  const before = residentBytes()

  // Just after the filling it is not quiet yet. And while somebody iterates, it has to wait.
  await clock.fire()
  const rows = filled.entries('schedules')[Symbol.iterator]()
  rows.next()
  await clock.fire()
  expect(rows.next().done).toBe(false)
  rows.return?.()
  if (before !== undefined) expect(residentBytes()).toBeGreaterThan(before / 2)
  await clock.fire()
  if (before !== undefined) {
    expect(before).toBeGreaterThan(2_000_000)
    expect(residentBytes()).toBeLessThan(before / 4)
  }

  for (let round = 1; round <= 8; round++) {
    await fill(10_000 + round * 1100, 1100)
    const writing = filled.commit([{ table: 'offsets', key: String(round), value: Buffer.from('o') }])
    await clock.fire()
    await clock.fire()
    await writing
  }
  expect(filled.count('schedules')).toBe(10_000 + 8 * 1100)
  expect([...filled.entries('offsets')]).toHaveLength(8)
  expect(filled.get('schedules', String(7919))).toEqual(Buffer.alloc(300, 1))
  expect(reads).toBeGreaterThan(100)
  expect(filled.failure).toBeUndefined()
}, 60_000)
