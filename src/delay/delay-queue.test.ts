import { expect, test } from 'vitest'
import { DelayWorld } from '../../test/support/delay-world.ts'
import { ScheduleGone } from './outcomes.ts'
import { parseTopicName } from '../base/topic-name.ts'

const HOUR = 3_600_000

async function withWorld(
  work: (world: DelayWorld) => Promise<void>,
  ...parts: ConstructorParameters<typeof DelayWorld>
) {
  const world = new DelayWorld(...parts)
  await world.queue.open()
  try {
    await work(world)
  } finally {
    world.life++
    void world.queue.close()
  }
}
const valuesOf = (world: DelayWorld, name: string) => world.delivered(name).map(({ value }) => value)

test('records wait, and come at their time, in the order in which they are due', async () => {
  await withWorld(async (world) => {
    const now = world.clock.now()
    const { ids, stored } = world.accept('a/0', 'late', now + 2 * HOUR)
    await stored
    await world.accept('a/0', 'early', now + HOUR).stored
    await world.accept('a/1', 'other', now + HOUR).stored
    await world.pass(HOUR - 1)
    expect([...valuesOf(world, 'a/0'), ...valuesOf(world, 'a/1')]).toEqual([])
    expect(world.queue.countWaiting()).toBe(3)
    await world.pass(1)
    expect([valuesOf(world, 'a/0'), valuesOf(world, 'a/1')]).toEqual([['early'], ['other']])
    await world.pass(HOUR)
    expect(world.delivered('a/0').at(1)).toEqual({ id: ids[0], value: 'late', atMs: now + 2 * HOUR, offset: 1 })
    expect([world.queue.countWaiting(), world.store.count('schedules'), world.store.count('schedules_due')]).toEqual([
      0, 0, 0,
    ])
    await world.pass(HOUR)
    expect(world.store.count('schedule_points')).toBe(0)
    expect(world.delays.every((seconds) => seconds < 0.01)).toBe(true)
  })
})

test('what is due together is one batch, and no batch is too large', async () => {
  await withWorld(
    async (world) => {
      const due = world.clock.now() + HOUR
      for (let i = 0; i < 25; i++) void world.accept('a/0', `v${i}`, due)
      await world.settle()
      await world.pass(HOUR)
      await world.pass(10, 1)
      expect(new Set(valuesOf(world, 'a/0')).size).toBe(25)
      expect(world.log('a/0').batches).toHaveLength(3)
    },
    { batchRecordsMax: 10 },
  )
})

test('thousands wait in the store, and only the next ones in memory', async () => {
  await withWorld(
    async (world) => {
      const now = world.clock.now()
      for (let i = 0; i < 5000; i++) void world.accept('a/0', `v${i}`, now + 1 + ((i * 7919) % 5000))
      await world.settle()
      await world.pass(5001, 100)
      const delivered = world.delivered('a/0')
      expect(new Set(delivered.map(({ value }) => value)).size).toBe(5000)
      expect(delivered).toHaveLength(5000)
    },
    { nearMax: 1024 },
  )
})

test('the wall clock decides, whichever way it jumps', async () => {
  await withWorld(async (world) => {
    const now = world.clock.now()
    await world.accept('a/0', 'v', now + 2 * HOUR).stored
    world.clock.jump(now - HOUR - world.clock.now())
    await world.pass(2 * HOUR)
    expect(valuesOf(world, 'a/0')).toEqual([])
    world.clock.jump(now + 2 * HOUR - 5_000 - world.clock.now())
    await world.pass(4_999, 500)
    expect(valuesOf(world, 'a/0')).toEqual([])
    await world.pass(1)
    expect(world.delivered('a/0').map(({ atMs }) => atMs)).toEqual([now + 2 * HOUR])
    await world.accept('a/0', 'w', now + 5 * HOUR).stored
    world.clock.jump(now + 6 * HOUR - world.clock.now())
    await world.pass(1_000, 500)
    expect(valuesOf(world, 'a/0')).toEqual(['v', 'w'])
  })
})

test('a schedule is found, listed, moved, sent and cancelled, and those who come too late are told', async () => {
  await withWorld(async (world) => {
    const { queue, clock } = world
    const now = clock.now()
    const add = async (name: string, value: string, dueAtMs: number) => {
      const { ids, stored } = world.accept(name, value, dueAtMs)
      await stored
      return ids[0]
    }
    const [first, second, third] = [
      await add('a/0', 'first', now + HOUR),
      await add('b/0', 'second', now + 2 * HOUR),
      await add('a/1', 'third', now + 3 * HOUR),
    ]
    const listed = (query: object = {}) => queue.list({ max: 10, ...query }).map(({ id }) => id)
    expect(queue.get(first)).toMatchObject({ topic: 'a', partition: 0, dueAtMs: now + HOUR, acceptedAtMs: now })
    expect(listed()).toEqual([first, second, third])
    expect(listed({ topic: 'a' })).toEqual([first, third])
    expect(listed({ topic: 'a', partition: 1 })).toEqual([third])
    expect(listed({ fromMs: now + 2 * HOUR, toMs: now + 3 * HOUR })).toEqual([second])
    expect(listed({ max: 1 })).toEqual([first])
    expect(listed({ after: { id: first, dueAtMs: now + HOUR } })).toEqual([second, third])

    await queue.reschedule(third, now + 10)
    await world.pass(10)
    expect(valuesOf(world, 'a/1')).toEqual(['third'])
    await queue.reschedule(second, now)
    await world.pass(1)
    expect(valuesOf(world, 'b/0')).toEqual(['second'])
    await queue.cancel(first)
    await world.pass(5 * HOUR)
    expect(valuesOf(world, 'a/0')).toEqual([])

    await expect(queue.cancel(third)).rejects.toThrow(
      /Cannot cancel schedule ".+": it was delivered already at 20.+Z as offset 0 of topic "a", partition 1$/,
    )
    await expect(queue.reschedule(first, now)).rejects.toThrow(/it was cancelled already at /)
    expect(() => queue.get('00000zzzzzz')).toThrow(ScheduleGone)
    await expect(queue.cancel('no id')).rejects.toThrow('there is none that waits')
    const [ofA] = [...queue.describe()]
    expect(ofA).toMatchObject({
      inflight: 0,
      events: { accepted: 2, delivered: 1, cancelled: 1, rescheduled: 1, failed: 0 },
    })
  })
})

test('one that is on its way, or being changed, is nobody else’s to change', async () => {
  await withWorld(async (world) => {
    const { ids, stored } = world.accept('a/0', 'v', world.clock.now() + HOUR)
    await stored
    const [one, other] = [world.queue.cancel(ids[0]), world.queue.reschedule(ids[0], 0)]
    await expect(other).rejects.toThrow('another request is changing it')
    await one
    const { ids: next, stored: nextStored } = world.accept('a/0', 'w', world.clock.now() + HOUR)
    await nextStored
    world.clock.advance(HOUR)
    while (world.log('a/0').unsyncedCount === 0) await new Promise((resolve) => setImmediate(resolve))
    await expect(world.queue.cancel(next[0])).rejects.toThrow('it is being delivered at this moment')
    await world.settle()
    expect(valuesOf(world, 'a/0')).toEqual(['w'])
  })
})

test('what the store refuses is not there, and what it refuses to change is as before', async () => {
  await withWorld(async (world) => {
    const now = world.clock.now()
    const { ids, stored } = world.accept('a/0', 'kept', now + HOUR)
    await stored
    world.refuses = () => true
    await expect(world.accept('a/0', 'lost', now + HOUR).stored).rejects.toThrow('the disk is full')
    await expect(world.queue.cancel(ids[0])).rejects.toThrow('the disk is full')
    await expect(world.queue.reschedule(ids[0], now + 9 * HOUR)).rejects.toThrow('the disk is full')
    expect(world.queue.countWaiting('a')).toBe(1)
    await world.pass(HOUR)
    expect(valuesOf(world, 'a/0')).toEqual([])
    world.refuses = (changes) => changes.some(({ table, value }) => table === 'schedules' && value === undefined)
    await world.pass(5_000, 500)
    expect(valuesOf(world, 'a/0')).toEqual(['kept'])
    expect(world.store.count('schedules')).toBe(1)
    world.refuses = () => false
    await world.pass(5_000, 500)
    expect(world.store.count('schedules')).toBe(0)
    await world.restart()
    await world.pass(5_000, 500)
    expect(valuesOf(world, 'a/0')).toEqual(['kept'])
  })
})

test('a log that fails is tried again, and a record that the topic does not take waits until it does', async () => {
  await withWorld(async (world) => {
    const due = world.clock.now() + HOUR
    await world.accept('a/0', 'small', due).stored
    await world.accept('a/0', 'x'.repeat(2000), due).stored
    world.log('a/0').failure = new Error('gone')
    await world.pass(HOUR + 2_000, 1_000)
    world.log('a/0').failure = undefined
    world.config = { ...world.config, batchBytesMax: 1000 }
    await world.pass(3_000, 500)
    expect(valuesOf(world, 'a/0')).toEqual(['small'])
    expect([...world.queue.describe()][0]).toMatchObject({ inflight: 1, overdue: 1, events: { failed: 1 } })
    world.config = { ...world.config, batchBytesMax: 1_000_000 }
    await world.pass(31_000, 1_000)
    expect(valuesOf(world, 'a/0')).toEqual(['small', 'x'.repeat(2000)])
  })
})

test('what is overdue is counted, in the store as well as in memory', async () => {
  await withWorld(
    async (world) => {
      const due = world.clock.now() + HOUR
      for (let i = 0; i < 5000; i++) void world.accept('a/0', `v${i}`, due + (i % 10))
      for (let i = 0; i < 3000; i++) void world.accept('a/0', `w${i}`, due + HOUR + i)
      await world.settle()
      const overdue = async () => {
        const seen = [...world.queue.describe()][0].overdue
        for (let turn = 0; turn < 10; turn++) await new Promise((nextTurn) => setImmediate(nextTurn))
        return [seen, [...world.queue.describe()][0].overdue]
      }
      expect(await overdue()).toEqual([0, 0])
      world.log('a/0').failure = new Error('gone')
      await world.pass(HOUR + 2_000, 1_000)
      expect((await overdue())[1]).toBe(5000)
      await world.pass(60_000, 1_000)
      expect(await overdue()).toEqual([5000, 5000])
      world.log('a/0').failure = undefined
      await world.pass(2_000, 100)
      expect(valuesOf(world, 'a/0')).toHaveLength(5000)
      expect(await overdue()).toEqual([0, 0])
    },
    { nearMax: 1024 },
  )
})

test('a topic takes its schedules with it', async () => {
  await withWorld(async (world) => {
    const now = world.clock.now()
    await Promise.all(Array.from({ length: 5000 }, (_, i) => world.accept('a/0', `v${i}`, now + HOUR + i).stored))
    await world.accept('a/1', 'of a producer', now + HOUR, { producerId: 7, baseSequence: 0 }).stored
    await world.accept('b/0', 'stays', now + HOUR).stored
    await world.queue.removeTopic(parseTopicName('a'))
    expect([world.store.count('schedules'), world.store.count('schedules_due')]).toEqual([1, 1])
    expect([world.store.count('schedule_topics'), world.store.count('schedule_producers')]).toEqual([1, 0])
    await world.pass(HOUR)
    expect([valuesOf(world, 'a/0'), valuesOf(world, 'b/0')]).toEqual([[], ['stays']])
  })
})

test('a topic has a limit, and counts go on after a restart', async () => {
  await withWorld(async (world) => {
    const a = parseTopicName('a')
    const limited = { ...world.config, delayRecordsMax: 2 }
    world.queue.checkRoom(a, limited, 2)
    await world.accept('a/0', 'v', world.clock.now() + HOUR).stored
    expect(() => world.queue.checkRoom(a, limited, 2)).toThrow('1 are waiting, at most 2 may')
    await world.restart()
    expect(() => world.queue.checkRoom(a, limited, 2)).toThrow('1 are waiting, at most 2 may')
    world.queue.checkRoom(a, { ...limited, delayRecordsMax: -1 }, 2)
    // A count that is wrong is noticed at the next start.
    await world.store.commit([{ table: 'schedule_topics', key: 'a', value: Buffer.from('7') }])
    await world.restart()
    expect(world.queue.countWaiting('a')).toBe(1)
  })
})

test('a batch of an idempotent producer that comes again has its records taken once, also after a crash', async () => {
  await withWorld(async (world) => {
    const due = world.clock.now() + HOUR
    const origin = { producerId: 7, baseSequence: 5 }
    const [first, again] = [world.accept('a/0', 'v', due, origin), world.accept('a/0', 'v', due, origin)]
    expect([first.ids.length, again.ids.length]).toEqual([1, 0])
    await Promise.all([first.stored, again.stored])
    await world.restart()
    await world.accept('a/0', 'v', due, origin).stored
    for (let sequence = 6; sequence < 20; sequence++) {
      await world.accept('a/0', `v${sequence}`, due, { producerId: 7, baseSequence: sequence }).stored
    }
    expect(world.store.count('schedule_producers')).toBe(6)
    world.refuses = () => true
    const refused = { producerId: 8, baseSequence: 0 }
    await expect(world.accept('a/0', 'w', due, refused).stored).rejects.toThrow('full')
    world.refuses = () => false
    await world.accept('a/0', 'w', due, refused).stored
    await world.pass(HOUR)
    expect(valuesOf(world, 'a/0').toSorted()).toEqual(
      ['v', 'w', ...Array.from({ length: 14 }, (_, i) => `v${i + 6}`)].toSorted(),
    )
    world.clock.advance(25 * HOUR)
    await world.restart()
    expect(world.store.count('schedule_producers')).toBe(0)
  })
})

test('an id that is claimed by somebody else’s record proves nothing', async () => {
  await withWorld(async (world) => {
    const { ids, stored } = world.accept('a/0', 'mine', world.clock.now() + HOUR)
    await stored
    const forged = await forge(world, ids[0])
    expect(forged).toBe(1)
    await world.restart()
    await world.pass(HOUR)
    expect(valuesOf(world, 'a/0')).toEqual(['forged', 'mine'])
  })
})

/** Stores a point, and behind it a record that says it was delivered under `id`. */
async function forge(world: DelayWorld, id: string): Promise<number> {
  const { pointRow } = await import('./schedule-rows.ts')
  const { RecordBatchBuilder } = await import('../record/record-batch.ts')
  const builder = new RecordBatchBuilder()
  builder.begin()
  builder.add(Buffer.from('k'), Buffer.from('forged'), 1_000, [{ key: 'cafelog-schedule-id', value: Buffer.from(id) }])
  await world.store.commit([pointRow('a', 0, 0)])
  world.log('a/0').append(builder.finish(), 1, 'all', undefined)
  await world.settle()
  return world.log('a/0').logEndOffset
}
