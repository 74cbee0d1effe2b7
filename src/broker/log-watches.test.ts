import { expect, test } from 'vitest'
import { SimClock } from '../../test/simulation/sim-clock.ts'
import type { PartitionLog } from '../log/log-engine.ts'
import { LogWatches } from './log-watches.ts'

function makeWatches() {
  const clock = new SimClock()
  const waiting = { count: 0 }
  const watches = new LogWatches(clock, { add: (count) => (waiting.count += count) })
  const [orders, clicks] = [{} as PartitionLog, {} as PartitionLog]
  const woken: string[] = []
  const start = (name: string, logs: readonly PartitionLog[]) => watches.start(logs, 100, () => woken.push(name))
  return { clock, waiting, watches, orders, clicks, woken, start }
}

test('news of any log wakes those who wait for it, once', () => {
  const { waiting, watches, orders, clicks, woken, start } = makeWatches()
  start('both', [orders, clicks])
  start('clicks', [clicks])
  watches.wake(orders)
  expect([woken, waiting.count]).toEqual([['both'], 1])
  watches.wake(clicks)
  watches.wake(clicks)
  expect([woken, waiting.count]).toEqual([['both', 'clicks'], 0])
})

test('the time ends a watch, and a cancelled one is not woken', () => {
  const { clock, waiting, watches, orders, woken, start } = makeWatches()
  start('timed', [orders])
  start('cancelled', [orders]).cancel()
  clock.advance(100)
  watches.wake(orders)
  expect([woken, waiting.count]).toEqual([['timed'], 0])
})
