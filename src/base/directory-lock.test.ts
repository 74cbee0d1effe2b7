import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { rolldown } from 'rolldown'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Clock } from './clock.ts'
import { systemClock } from './clock.ts'
import { DirectoryInUseError, DirectoryLock, findLockHolder } from './directory-lock.ts'

let directory = ''
let programDirectory = ''
const children = new Set<ChildProcess>()

beforeAll(async () => {
  programDirectory = fs.mkdtempSync(join(tmpdir(), 'cafelog-lock-holder-'))
  const input = new URL('../../test/support/lock-holder.ts', import.meta.url).pathname
  const bundle = await rolldown({ input, platform: 'node' })
  await bundle.write({ file: join(programDirectory, 'lock-holder.mjs') })
  await bundle.close()
})
afterAll(() => {
  for (const child of children) child.kill('SIGKILL')
  fs.rmSync(programDirectory, { recursive: true, force: true })
})
beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), 'cafelog-lock-'))
})
afterEach(() => {
  fs.rmSync(directory, { recursive: true, force: true })
})

/** Waits for those who do not answer a twentieth of the time. */
const impatientClock: Clock = {
  ...systemClock,
  setTimer: (delayMs, callback) => systemClock.setTimer(delayMs / 20, callback),
}

const take = () => DirectoryLock.take(directory, systemClock)

async function startChild(): Promise<ChildProcess> {
  const child = fork(join(programDirectory, 'lock-holder.mjs'), [directory])
  children.add(child)
  child.once('exit', () => children.delete(child))
  await once(child, 'message')
  return child
}

async function order(child: ChildProcess, what: 'take' | 'release'): Promise<unknown> {
  const answer = once(child, 'message')
  child.send(what)
  return (await answer)[0]
}

test('a second taker is refused and told who holds the directory', async () => {
  const lock = await take()
  const refused = await take().catch((error: unknown) => error)
  expect(refused).toBeInstanceOf(DirectoryInUseError)
  expect((refused as DirectoryInUseError).holder?.pid).toBe(process.pid)
  expect((refused as Error).message).toMatch(
    new RegExp(`^Cannot use the data directory ".+": it is in use by process ${process.pid} on .+, started at 20.+Z$`),
  )
  expect(lock.isHeld()).toBe(true)
  await lock.release()
})

test('a released lock can be taken again and leaves no socket behind', async () => {
  for (let round = 0; round < 3; round++) await (await take()).release()
  expect(fs.readdirSync(join(directory, '@lock'))).toEqual([])
})

test('a refused taker leaves no socket behind', async () => {
  const lock = await take()
  await take().catch(() => {})
  expect(fs.readdirSync(join(directory, '@lock'))).toHaveLength(1)
  await lock.release()
})

test('looking does not take, and changes nothing', async () => {
  expect(await findLockHolder(directory, systemClock)).toBeUndefined()
  expect(fs.readdirSync(directory)).toEqual([])
  const lock = await take()
  expect((await findLockHolder(directory, systemClock))?.pid).toBe(process.pid)
  await lock.release()
  expect(await findLockHolder(directory, systemClock)).toBeUndefined()
})

test('a directory whose path is too long for a socket can be locked', async () => {
  const long = join(directory, 'a'.repeat(120), 'b'.repeat(120))
  fs.mkdirSync(long, { recursive: true })
  const lock = await DirectoryLock.take(long, systemClock)
  await expect(DirectoryLock.take(long, systemClock)).rejects.toThrow(DirectoryInUseError)
  expect((await findLockHolder(long, systemClock))?.pid).toBe(process.pid)
  await lock.release()
  expect(fs.readdirSync(join(long, '@lock'))).toEqual([])
  await (await DirectoryLock.take(long, systemClock)).release()
})

test('a holder whose socket was tidied away notices', async () => {
  const lock = await take()
  fs.rmSync(join(directory, '@lock'), { recursive: true })
  fs.mkdirSync(join(directory, '@lock'))
  expect(lock.isHeld()).toBe(false)
  await lock.release()
})

test('the sockets of killed processes are dead at once, and removed', async () => {
  const child = await startChild()
  expect(await order(child, 'take')).toBe('held')
  await expect(take()).rejects.toThrow(`it is in use by process ${child.pid} on`)
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(fs.readdirSync(join(directory, '@lock'))).toHaveLength(1)
  const startedAt = performance.now()
  const lock = await take()
  expect(performance.now() - startedAt).toBeLessThan(500)
  expect(fs.readdirSync(join(directory, '@lock'))).toHaveLength(1)
  await lock.release()
})

test('a holder that is stopped still holds', async () => {
  const child = await startChild()
  expect(await order(child, 'take')).toBe('held')
  child.kill('SIGSTOP')
  await expect(DirectoryLock.take(directory, impatientClock)).rejects.toThrow(
    'another process, which does not say who it is',
  )
  await expect(findLockHolder(directory, impatientClock)).rejects.toThrow(DirectoryInUseError)
  child.kill('SIGKILL')
  await once(child, 'exit')
})

test('of several processes that start at the same moment exactly one wins', { timeout: 60_000 }, async () => {
  const contenders = await Promise.all(Array.from({ length: 4 }, () => startChild()))
  for (let round = 0; round < 50; round++) {
    const answers = await Promise.all(contenders.map((child) => order(child, 'take')))
    expect(
      answers.filter((answer) => answer === 'held'),
      `round ${round}`,
    ).toHaveLength(1)
    await Promise.all(contenders.map((child) => order(child, 'release')))
  }
  const exits = contenders.map((child) => once(child, 'exit'))
  for (const child of contenders) child.disconnect()
  await Promise.all(exits)
})

test('of several in one process exactly one wins, also after a crash has left dead sockets', async () => {
  for (let round = 0; round < 100; round++) {
    // A socket file that nobody listens on is what a killed process leaves; a plain file refuses connections the same.
    fs.mkdirSync(join(directory, '@lock'), { recursive: true })
    fs.writeFileSync(join(directory, '@lock', '8000000000000000'), '')
    const results = await Promise.allSettled(Array.from({ length: 4 }, () => take()))
    const locks = results.filter((result) => result.status === 'fulfilled').map((result) => result.value)
    expect(locks, `round ${round}`).toHaveLength(1)
    await locks[0].release()
  }
})
