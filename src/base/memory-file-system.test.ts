import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { File, FileSystem } from './file-system.ts'
import { nodeFileSystem } from './file-system.ts'
import { MemoryFileSystem } from './memory-file-system.ts'

// What the log asks of a disk, of the real one and of the one in memory alike.

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cafelog-'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const codeOf = (work: () => unknown) => {
  try {
    work()
    return 'fine'
  } catch (error) {
    return (error as NodeJS.ErrnoException).code
  }
}
const readAll = (file: File, position = 0) => {
  const target = Buffer.alloc(300_000, '.')
  return target.toString('latin1', 0, file.read(target, 0, target.length, position))
}

describe.each([
  ['in memory', () => new MemoryFileSystem()],
  ['real', () => nodeFileSystem],
])('a disk that is %s', (_name, make: () => FileSystem) => {
  let disk: FileSystem
  const at = (name: string) => join(root, name)
  beforeEach(() => {
    disk = make()
    disk.makeDirectory(root)
  })

  test('files are made once, written anywhere, read from anywhere', () => {
    expect(codeOf(() => disk.open(at('f'), 'read'))).toBe('ENOENT')
    expect(codeOf(() => disk.open(at('no/f'), 'create'))).toBe('ENOENT')
    const file = disk.open(at('f'), 'create')
    expect(codeOf(() => disk.open(at('f'), 'create'))).toBe('EEXIST')
    expect(file.write([Buffer.from('one'), Buffer.alloc(0), Buffer.from('two')], 0)).toBe(6)
    expect(file.write([Buffer.from('far')], 70_000)).toBe(3)
    expect([file.size(), disk.sizeOf(at('f')), disk.sizeOf(at('g'))]).toEqual([70_003, 70_003, undefined])
    expect(readAll(file, 4)).toBe(`wo${'\0'.repeat(70_000 - 6)}far`)
    expect(readAll(file, 70_003)).toBe('')
    expect(disk.readWhole(at('f')).subarray(0, 6).toString()).toBe('onetwo')
    file.close()
  })

  test('what is cut off is zero when the file grows again', () => {
    const file = disk.open(at('f'), 'create')
    file.write([Buffer.alloc(200_000, 'x')], 0)
    file.truncate(65_537)
    expect(file.size()).toBe(65_537)
    file.truncate(70_000)
    expect(readAll(file)).toBe('x'.repeat(65_537) + '\0'.repeat(70_000 - 65_537))
    file.truncate(0)
    expect(readAll(file)).toBe('')
    file.close()
  })

  test('directories are listed, renamed and removed with all that is in them', () => {
    disk.makeDirectory(at('a/b/c'))
    disk.makeDirectory(at('a/b/c'))
    disk.open(at('a/b/f'), 'create').close()
    const file = disk.open(at('a/b/c/g'), 'create')
    file.write([Buffer.from('kept')], 0)
    const names = (path: string) => disk.list(path).map(({ name, isDirectory }) => `${name}${isDirectory ? '/' : ''}`)
    expect(names(at('a/b')).toSorted()).toEqual(['c/', 'f'])
    disk.rename(at('a'), at('z'))
    expect(disk.readWhole(at('z/b/c/g')).toString()).toBe('kept')
    expect(codeOf(() => disk.list(at('a')))).toBe('ENOENT')
    disk.removeDirectory(at('z'))
    expect(names(root)).toEqual([])
    expect(codeOf(() => disk.removeDirectory(at('z')))).toBe('ENOENT')
    // Whoever has it open goes on reading.
    expect(readAll(file)).toBe('kept')
    file.close()
  })

  test('a file takes the place of another', () => {
    for (const name of ['old', 'new']) {
      const file = disk.open(at(name), 'create')
      file.write([Buffer.from(name)], 0)
      file.close()
    }
    disk.rename(at('new'), at('old'))
    expect(disk.readWhole(at('old')).toString()).toBe('new')
    disk.remove(at('old'))
    expect(codeOf(() => disk.remove(at('old')))).toBe('ENOENT')
  })

  test('what takes long says when it is done', async () => {
    const file = disk.open(at('f'), 'create')
    file.write([Buffer.from('abc')], 0)
    const target = Buffer.alloc(8)
    const read = new Promise<number>((resolve) => file.readLater(target, 1, 7, 1, (_error, bytes) => resolve(bytes)))
    expect([await read, target.toString('latin1', 0, 3)]).toEqual([2, '\0bc'])
    expect(await new Promise((resolve) => file.sync(resolve))).toBeNull()
    expect(await new Promise((resolve) => disk.syncDirectory(root, resolve))).toBeNull()
    const error = await new Promise<NodeJS.ErrnoException | null>((resolve) => disk.syncDirectory(at('no'), resolve))
    expect(error?.code).toBe('ENOENT')
    file.close()
  })
})

test('a disk in memory is full when it is full, and has room again when something goes', () => {
  const disk = new MemoryFileSystem(128 * 1024)
  const one = disk.open('/one', 'create')
  const two = disk.open('/two', 'create')
  expect(one.write([Buffer.alloc(100_000)], 0)).toBe(100_000)
  expect(codeOf(() => two.write([Buffer.from('x')], 0))).toBe('ENOSPC')
  // As much as there is, as a disk does.
  expect(one.write([Buffer.alloc(100_000)], 100_000)).toBe(128 * 1024 - 100_000)
  expect(disk.space()).toEqual({ freeBytes: 0, totalBytes: 128 * 1024 })
  one.truncate(1)
  expect(two.write([Buffer.from('x')], 0)).toBe(1)
  disk.remove('/one')
  expect(disk.space().freeBytes).toBe(64 * 1024)
})
