// A process that takes and releases the lock of a directory when its parent says so, for directory-lock.test.ts.
import { systemClock } from '../../src/base/clock.ts'
import { DirectoryLock } from '../../src/base/directory-lock.ts'

const directory = process.argv[2]
let lock: DirectoryLock | undefined

async function obey(order: unknown): Promise<string> {
  if (order === 'take') {
    lock = await DirectoryLock.take(directory, systemClock).catch(() => undefined)
    return lock === undefined ? 'refused' : 'held'
  }
  await lock?.release()
  lock = undefined
  return 'released'
}

process.on('message', (order) => {
  void obey(order).then((answer) => process.send?.(answer))
})
process.send?.('here')
