import { describe, expect, test } from 'vitest'
import { SeededRandom } from './seeded-random.ts'
import { type PowerCut, SimDisk } from './sim-disk.ts'
import { type Fault, type OperationKind, ProcessStopped, SimFileSystem } from './sim-file-system.ts'

const random = new SeededRandom(1)

function start(disk = new SimDisk(), seed = 1) {
  return new SimFileSystem(disk, new SeededRandom(seed))
}

/** Ends the process, cuts the power and starts again. */
function cut(fileSystem: SimFileSystem, how: PowerCut, seed = 1) {
  fileSystem.stop()
  fileSystem.disk.cutPower(how, new SeededRandom(seed))
  return start(fileSystem.disk)
}

function write(fileSystem: SimFileSystem, path: string, text: string, position = 0) {
  const mode = fileSystem.sizeOf(path) === undefined ? 'create' : 'write'
  const file = fileSystem.open(path, mode)
  file.write([Buffer.from(text)], position)
  return file
}

function read(fileSystem: SimFileSystem, path: string) {
  return fileSystem.sizeOf(path) === undefined ? undefined : fileSystem.readWhole(path).toString('latin1')
}

/** What a file may hold after many cuts of the same life. */
function outcomes(how: PowerCut, live: (fileSystem: SimFileSystem) => void, path = '/a') {
  const found = new Set<string | undefined>()
  for (let seed = 1; seed <= 200; seed += 1) {
    const fileSystem = start()
    live(fileSystem)
    found.add(read(cut(fileSystem, how, seed), path))
  }
  return found
}

function failing(kind: OperationKind, fault: Fault, isOnce = true) {
  let isOver = false
  return (seen: OperationKind) => {
    if (seen !== kind || isOver) return undefined
    isOver = isOnce
    return fault
  }
}

describe('a power cut', () => {
  test('loses data that was written and not synced', () => {
    const fileSystem = start()
    write(fileSystem, '/a', 'first').syncNow()
    fileSystem.syncDirectoryNow('/')
    write(fileSystem, '/a', 'second', 5)
    expect(read(fileSystem, '/a')).toBe('firstsecond')
    expect(read(cut(fileSystem, 'none'), '/a')).toBe('first')
  })

  test('loses a synced file whose directory was not synced', () => {
    const fileSystem = start()
    write(fileSystem, '/a', 'kept?').syncNow()
    expect(read(cut(fileSystem, 'none'), '/a')).toBeUndefined()
  })

  test('keeps the name of a file with nothing in it when only the directory was synced', () => {
    const fileSystem = start()
    write(fileSystem, '/a', 'data')
    fileSystem.syncDirectoryNow('/')
    expect(read(cut(fileSystem, 'none'), '/a')).toBe('')
  })

  test('loses a whole tree whose top was not synced in its parent', () => {
    const fileSystem = start()
    fileSystem.makeDirectory('/data/orders/partition-0')
    write(fileSystem, '/data/orders/partition-0/log', 'x').syncNow()
    fileSystem.syncDirectoryNow('/data/orders/partition-0')
    fileSystem.syncDirectoryNow('/data/orders')
    const copy = start(fileSystem.disk.copy())
    fileSystem.syncDirectoryNow('/data')
    fileSystem.syncDirectoryNow('/')
    expect(read(cut(copy, 'none'), '/data/orders/partition-0/log')).toBeUndefined()
    expect(read(cut(fileSystem, 'none'), '/data/orders/partition-0/log')).toBe('x')
  })

  test('takes a rename back whole unless the directory was synced', () => {
    const fileSystem = start()
    write(fileSystem, '/a.tmp', 'new').syncNow()
    write(fileSystem, '/a', 'old').syncNow()
    fileSystem.syncDirectoryNow('/')
    fileSystem.rename('/a.tmp', '/a')
    expect(read(fileSystem, '/a')).toBe('new')
    const lost = cut(start(fileSystem.disk.copy()), 'none')
    expect([read(lost, '/a'), read(lost, '/a.tmp')]).toEqual(['old', 'new'])
    fileSystem.syncDirectoryNow('/')
    const kept = cut(fileSystem, 'none')
    expect([read(kept, '/a'), read(kept, '/a.tmp')]).toEqual(['new', undefined])
  })

  test('shows a rename wholly or not at all, however it falls', () => {
    const found = outcomes('random', (fileSystem) => {
      write(fileSystem, '/a.tmp', 'new').syncNow()
      write(fileSystem, '/a', 'old').syncNow()
      fileSystem.syncDirectoryNow('/')
      fileSystem.rename('/a.tmp', '/a')
    })
    expect(found).toEqual(new Set(['old', 'new']))
  })

  test('brings a removed file back unless the directory was synced', () => {
    const fileSystem = start()
    write(fileSystem, '/a', 'old').syncNow()
    fileSystem.syncDirectoryNow('/')
    fileSystem.remove('/a')
    expect(read(fileSystem, '/a')).toBeUndefined()
    expect(read(cut(fileSystem, 'none'), '/a')).toBe('old')
  })

  test('never hurts what was synced, and leaves every kind of tail behind it', () => {
    const found = outcomes('random', (fileSystem) => {
      write(fileSystem, '/a', 'durable-').syncNow()
      fileSystem.syncDirectoryNow('/')
      write(fileSystem, '/a', 'tail', 8)
    })
    for (const text of found) expect(text?.startsWith('durable-')).toBe(true)
    const tails = [...found].map((text) => text?.slice(8))
    expect(tails).toContain('')
    expect(tails).toContain('tail')
    expect(tails).toContain('\0\0\0\0')
    expect(tails.some((tail) => tail !== undefined && !['', 'tail', '\0\0\0\0'].includes(tail))).toBe(true)
  })

  test('may keep a later sector and lose an earlier one', () => {
    const found = outcomes('random', (fileSystem) => {
      write(fileSystem, '/a', '').syncNow()
      fileSystem.syncDirectoryNow('/')
      write(fileSystem, '/a', 'A'.repeat(512) + 'B'.repeat(512))
    })
    expect(found).toContain('\0'.repeat(512) + 'B'.repeat(512))
    expect(found).toContain('A'.repeat(512))
  })

  test('of kind "prefix" keeps everything before one moment, over all files', () => {
    for (let seed = 1; seed <= 50; seed += 1) {
      let fileSystem = start()
      for (const path of ['/a', '/b', '/c']) write(fileSystem, path, 'x')
      fileSystem = cut(fileSystem, 'prefix', seed)
      const sizes = ['/a', '/b', '/c'].map((path) => fileSystem.sizeOf(path) ?? -1)
      expect(sizes).toEqual(sizes.toSorted((one, other) => other - one))
    }
  })

  test('may bring back what was cut off and not synced, or zeros in its place', () => {
    const found = outcomes('random', (fileSystem) => {
      const file = write(fileSystem, '/a', 'abcdef')
      file.syncNow()
      fileSystem.syncDirectoryNow('/')
      file.truncate(2)
    })
    expect(found).toEqual(new Set(['abcdef', 'ab', 'ab\0\0\0\0']))
  })
})

test('a killed process leaves its writes in the page cache and its thread pool forgotten', () => {
  const disk = new SimDisk()
  const first = start(disk)
  write(first, '/a', 'written').sync(() => expect.unreachable())
  first.stop()
  expect(first.complete(random)).toBe(false)
  expect(() => first.sizeOf('/a')).toThrow(ProcessStopped)
  expect(read(start(disk), '/a')).toBe('written')
})

test('a sync covers what was written before it began and nothing after', () => {
  const fileSystem = start()
  const file = write(fileSystem, '/a', 'before')
  fileSystem.syncDirectoryNow('/')
  let isDone = false
  file.sync(() => (isDone = true))
  file.write([Buffer.from('after')], 6)
  expect(isDone).toBe(false)
  fileSystem.complete(random)
  expect(isDone).toBe(true)
  expect(read(cut(fileSystem, 'none'), '/a')).toBe('before')
})

test('a failed sync lies: the page cache shows the data, the next sync succeeds, the disk never had it', () => {
  const found = new Set<string | undefined>()
  for (let seed = 1; seed <= 50; seed += 1) {
    const fileSystem = start(new SimDisk(), seed)
    const file = write(fileSystem, '/a', '')
    fileSystem.syncDirectoryNow('/')
    file.write([Buffer.from('x'.repeat(600))], 0)
    fileSystem.onOperation = failing('sync', { kind: 'error', code: 'EIO' })
    expect(() => file.syncNow()).toThrow('EIO')
    expect(read(fileSystem, '/a')).toHaveLength(600)
    file.syncNow()
    found.add(read(cut(fileSystem, 'all'), '/a'))
  }
  expect(found).toContain('')
  expect(found).toContain('x'.repeat(600))
  expect(found).toContain('\0'.repeat(512) + 'x'.repeat(88))
})

test('what a failed sync lost is found out when the page cache lets go of it', () => {
  const fileSystem = start()
  const file = write(fileSystem, '/a', '')
  fileSystem.syncDirectoryNow('/')
  file.syncNow()
  file.write([Buffer.from('lost')], 0)
  fileSystem.onOperation = failing('sync', { kind: 'error', code: 'EIO' })
  file.sync((error) => expect(error?.code).toBe('EIO'))
  fileSystem.complete(new SeededRandom(3))
  fileSystem.stop()
  const durable = fileSystem.disk.copy()
  durable.cutPower('none', random)
  const isChanged = fileSystem.disk.dropCleanPages()
  expect(read(start(fileSystem.disk), '/a')).toBe(read(start(durable), '/a'))
  expect(isChanged).toBe(read(start(durable), '/a') !== 'lost')
})

test('a full disk takes a part first, then refuses, and takes again when there is room', () => {
  const fileSystem = start()
  fileSystem.disk.capacityBytes = 10
  const file = write(fileSystem, '/a', '12345678')
  expect(file.write([Buffer.from('abcd')], 8)).toBe(2)
  expect(() => file.write([Buffer.from('cd')], 10)).toThrow('ENOSPC')
  expect(file.write([Buffer.from('X')], 0)).toBe(1)
  expect(() => fileSystem.open('/b', 'create')).toThrow('ENOSPC')
  file.truncate(4)
  expect(fileSystem.space('/')).toEqual({ freeBytes: 6, totalBytes: 10 })
  expect(file.write([Buffer.from('abcd')], 4)).toBe(4)
  expect(read(fileSystem, '/a')).toBe('X234abcd')
})

test('faults come once or for ever, and short reads and writes take at least a byte', () => {
  const fileSystem = start()
  const file = write(fileSystem, '/a', '0123456789')
  fileSystem.onOperation = failing('read', { kind: 'error', code: 'EIO' })
  const target = Buffer.alloc(10)
  expect(() => file.read(target, 0, 10, 0)).toThrow('EIO')
  expect(file.read(target, 0, 10, 0)).toBe(10)
  fileSystem.onOperation = failing('write', { kind: 'short' }, false)
  for (let round = 0; round < 20; round += 1) {
    const taken = file.write([Buffer.from('0123456789')], 0)
    expect(taken).toBeGreaterThanOrEqual(1)
    expect(taken).toBeLessThan(10)
  }
  fileSystem.onOperation = failing('read', { kind: 'short' }, false)
  file.readLater(target, 0, 10, 0, (error, bytes) => {
    expect(error).toBeNull()
    expect(bytes).toBeLessThan(10)
  })
  fileSystem.complete(random)
})

test('handles of one path share the file; a removed file lives on while it is open', () => {
  const fileSystem = start()
  const writer = write(fileSystem, '/a', 'shared')
  const reader = fileSystem.open('/a', 'read')
  writer.write([Buffer.from('S')], 0)
  const target = Buffer.alloc(6)
  reader.read(target, 0, 6, 0)
  expect(target.toString()).toBe('Shared')
  fileSystem.remove('/a')
  expect(() => fileSystem.open('/a', 'read')).toThrow('ENOENT')
  write(fileSystem, '/a', 'another')
  reader.read(target, 0, 6, 0)
  expect(target.toString()).toBe('Shared')
  expect(fileSystem.disk.usedBytes).toBe(13)
  reader.close()
  writer.close()
  expect(fileSystem.disk.usedBytes).toBe(7)
})

test('the misuse of handles is refused and remembered', () => {
  const fileSystem = start()
  const file = write(fileSystem, '/a', 'x')
  file.sync(() => {})
  expect(() => file.close()).toThrow('EBADF')
  fileSystem.complete(random)
  file.close()
  expect(() => file.size()).toThrow('EBADF')
  const reader = fileSystem.open('/a', 'read')
  expect(() => reader.write([Buffer.from('x')], 0)).toThrow('EBADF')
  expect(fileSystem.misuses).toHaveLength(3)
  fileSystem.openFilesMax = 1
  expect(() => fileSystem.open('/a', 'read')).toThrow('EMFILE')
})

test('the process can die within a write, of which a part then stays', () => {
  const sizes = new Set<number>()
  for (let seed = 1; seed <= 50; seed += 1) {
    const fileSystem = start(new SimDisk(), seed)
    const file = write(fileSystem, '/a', '')
    fileSystem.onOperation = failing('write', { kind: 'stop' })
    expect(() => file.write([Buffer.from('abc')], 0)).toThrow(ProcessStopped)
    expect(() => file.close()).toThrow(ProcessStopped)
    sizes.add(start(fileSystem.disk).sizeOf('/a') ?? -1)
  }
  expect(sizes).toEqual(new Set([0, 1, 2, 3]))
})

test('the same seed gives the same trace, another seed another one', () => {
  const life = (seed: number) => {
    const chance = new SeededRandom(seed)
    let fileSystem = start(new SimDisk(), seed)
    const hashes: number[] = []
    for (let step = 0; step < 200; step += 1) {
      const path = `/${chance.below(3)}`
      const file = write(fileSystem, path, 'x'.repeat(chance.below(700)), chance.below(900))
      if (chance.chance(0.3)) file.sync(() => {})
      else file.close()
      if (chance.chance(0.5)) fileSystem.complete(chance)
      if (!chance.chance(0.1)) continue
      hashes.push(fileSystem.traceHash, fileSystem.disk.usedBytes)
      fileSystem = cut(fileSystem, 'random', chance.next())
    }
    return hashes
  }
  expect(life(7)).toEqual(life(7))
  expect(life(7)).not.toEqual(life(8))
})
