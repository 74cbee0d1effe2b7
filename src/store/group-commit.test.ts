import { expect, test } from 'vitest'

import { BrokerError } from '../base/broker-error.ts'
import { GroupCommit } from './group-commit.ts'
import type { StoreChange } from './store.ts'

const change = (key: string): StoreChange => ({ table: 'meta', key, value: Buffer.from(key) })

/** A disk that writes down which keys came in which group, and waits until it is let go on. */
function makeDisk() {
  const groups: string[] = []
  const waiting: PromiseWithResolvers[] = []
  const write = (changes: readonly StoreChange[]) => {
    groups.push(changes.map(({ key }) => key).join(' '))
    return new Promise<void>((resolve, reject) => waiting.push({ resolve, reject }))
  }
  const next = async () => {
    while (waiting.length === 0) await new Promise((endOfTurn) => setImmediate(endOfTurn))
    return waiting.shift()!
  }
  return { groups, write, next }
}
interface PromiseWithResolvers {
  resolve(): void
  reject(error: Error): void
}

test('commits of one turn share a group, and what comes while it is written makes the next', async () => {
  const disk = makeDisk()
  const commits = new GroupCommit('x', disk.write)
  const first = [commits.commit([change('a'), change('b')]), commits.commit([change('c')])]
  const write = await disk.next()
  const second = [commits.commit([change('d')]), commits.commit([change('e')]), commits.commit([])]
  write.resolve()
  await Promise.all(first)
  expect(disk.groups).toEqual(['a b c', 'd e'])
  ;(await disk.next()).resolve()
  await Promise.all(second)
})

test('the first failed write is final: it fails its group, what waits, and what comes later', async () => {
  const disk = makeDisk()
  const commits = new GroupCommit('data/@store', disk.write)
  const outcomes = [commits.commit([change('a')]), commits.commit([change('b')])].map((commit) =>
    commit.catch((error: unknown) => String(error)),
  )
  const write = await disk.next()
  outcomes.push(commits.commit([change('c')]).catch((error: unknown) => String(error)))
  write.reject(new Error('EIO: i/o error, fdatasync'))
  const unknown =
    'BrokerError: Cannot commit to the store "data/@store": EIO: i/o error, fdatasync; whether it was stored is not known'
  const earlier =
    'BrokerError: Cannot commit to the store "data/@store": an earlier commit failed (EIO: i/o error, fdatasync), start the broker anew'
  expect(await Promise.all(outcomes)).toEqual([unknown, unknown, earlier])
  expect(commits.failure?.message).toBe('EIO: i/o error, fdatasync')
  await expect(commits.commit([])).rejects.toMatchObject({ code: 'KAFKA_STORAGE_ERROR' })
  expect(disk.groups).toEqual(['a b'])
  await commits.close()
})

test('a refusal that touched nothing fails its group only', async () => {
  const disk = makeDisk()
  const commits = new GroupCommit('x', disk.write)
  const first = commits.commit([change('a')])
  const write = await disk.next()
  const second = commits.commit([change('b')])
  write.reject(new BrokerError('KAFKA_STORAGE_ERROR', 'full'))
  await expect(first).rejects.toThrow('full')
  ;(await disk.next()).resolve()
  await second
  expect(commits.failure).toBeUndefined()
})

test('a group does not grow without limit', async () => {
  const disk = makeDisk()
  const commits = new GroupCommit('x', disk.write)
  const changes = Array.from({ length: 1_500 }, () => change('a'))
  const all = [commits.commit(changes), commits.commit(changes), commits.commit(changes)]
  ;(await disk.next()).resolve()
  ;(await disk.next()).resolve()
  await Promise.all(all)
  expect(disk.groups.map((group) => group.split(' ').length)).toEqual([3_000, 1_500])
})
