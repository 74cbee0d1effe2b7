import { expect, test } from 'vitest'
import { Exposition } from './exposition.ts'
import { Metrics } from './metrics.ts'

/** A broker as the metrics see it: topics with partitions, each with so many records in; groups with a lag in each. */
class World {
  readonly topics = new Map<string, readonly number[]>()
  readonly groups = new Map<string, { readonly topic: string; readonly lags: readonly number[]; seconds: number }>()
  readonly metrics: Metrics

  constructor(seriesMax: number) {
    const metrics = new Metrics({ seriesMax })
    this.metrics = metrics
    metrics.partitions.collect = (emit) => {
      for (const [topic, { length }] of this.topics) emit(length, topic)
    }
    metrics.messages.collect = (emit) => {
      for (const [topic, counts] of this.topics)
        for (const [partition, count] of counts.entries()) emit(count, topic, String(partition), 'in')
    }
    metrics.logEndOffset.collect = (emit) => {
      for (const [topic, counts] of this.topics)
        for (const [partition, count] of counts.entries()) emit(count, topic, String(partition))
    }
    metrics.consumerGroupMembers.collect = (emit) => {
      for (const group of this.groups.keys()) emit(1, group)
    }
    const lags = (emit: (value: number, ...labels: string[]) => void) => {
      for (const [group, { topic, lags }] of this.groups)
        for (const [partition, lag] of lags.entries()) emit(lag, group, topic, String(partition))
    }
    metrics.consumerCommittedOffset.collect = lags
    metrics.consumerLag.collect = lags
    metrics.consumerLagSeconds.collect = function* (this: World, emit: (value: number, ...labels: string[]) => void) {
      for (const [group, { topic, seconds }] of this.groups) {
        emit(seconds, group, topic)
        yield
      }
    }.bind(this)
  }
}

/** The samples of one metric, by their labels. */
function read(text: string, name: string): Record<string, number> {
  const lines = text.matchAll(new RegExp(`^${name}\\{(.*)\\} (\\S+)$`, 'gm'))
  return Object.fromEntries(
    [...lines].map(([, labels, value]) => [labels.replaceAll(/\w+="([^"]*)"/g, '$1'), Number(value)]),
  )
}

/** Room for two topics of two partitions (20 series each), and for two groups on two partitions (8 each). */
const TWO_TOPICS = 45

test('topics beyond the limit are added up, those from before keep their series', async () => {
  const world = new World(TWO_TOPICS)
  const exposition = await Exposition.start(world.metrics)
  const scrape = async () => String(await exposition.write())
  world.topics.set('b', [1, 2]).set('c', [3, 4])
  expect(read(await scrape(), 'cafelog_messages_total')).toEqual({ 'b,0,in': 1, 'b,1,in': 2, 'c,0,in': 3, 'c,1,in': 4 })
  expect(new Set(Object.values(read(await scrape(), 'cafelog_metrics_folded_series')))).toEqual(new Set([0]))

  world.topics.set('a', [10, 20]).set('d', [100])
  const text = await scrape()
  expect(read(text, 'cafelog_messages_total')).toEqual({
    'b,0,in': 1,
    'b,1,in': 2,
    'c,0,in': 3,
    'c,1,in': 4,
    '__other__,__other__,in': 130,
  })
  expect(read(text, 'cafelog_partitions')).toEqual({ b: 2, c: 2, __other__: 3 })
  // They are counted where they are folded; the metric itself is the last but one, and sees all of them.
  expect(read(text, 'cafelog_metrics_folded_series')).toMatchObject({
    cafelog_messages_total: 3,
    cafelog_partitions: 2,
    cafelog_consumer_lag: 0,
  })
})

test('a folded counter never goes back, whatever is deleted, and gets no series of its own later', async () => {
  const world = new World(25)
  const exposition = await Exposition.start(world.metrics)
  const counted = async () => read(String(await exposition.write()), 'cafelog_messages_total')
  world.topics.set('own', [1]).set('x', [10]).set('y', [20])
  expect(await counted()).toEqual({ 'own,0,in': 1, '__other__,__other__,in': 30 })
  world.topics.delete('x')
  world.topics.delete('own')
  world.topics.set('y', [21])
  expect(await counted()).toEqual({ '__other__,__other__,in': 31 })
  // A new topic of the old name counts from the beginning; what the old one had counted stays.
  world.topics.set('x', [5])
  expect(await counted()).toEqual({ 'x,0,in': 5, '__other__,__other__,in': 31 })
  world.topics.set('y', [2])
  expect(await counted()).toEqual({ 'x,0,in': 5, '__other__,__other__,in': 33 })
})

test('a folded gauge is that of those that are there', async () => {
  const world = new World(0)
  const exposition = await Exposition.start(world.metrics)
  const ends = async () => read(String(await exposition.write()), 'cafelog_log_end_offset')
  world.topics.set('x', [10]).set('y', [20, 5])
  expect(await ends()).toEqual({ '__other__,__other__': 35 })
  world.topics.delete('y')
  expect(await ends()).toEqual({ '__other__,__other__': 10 })
  world.topics.delete('x')
  expect(await ends()).toEqual({})
})

test('groups have a limit of their own: lag is added up, of lag in time the largest counts', async () => {
  const world = new World(TWO_TOPICS)
  const exposition = await Exposition.start(world.metrics)
  world.topics.set('t', [9, 9])
  for (let index = 0; index < 8; index++)
    world.groups.set(`g${index}`, { topic: 't', lags: [index, 10], seconds: index * 100 })
  const text = String(await exposition.write())
  const lags = read(text, 'cafelog_consumer_lag')
  expect(lags['g0,t,1']).toBe(10)
  expect(lags['g4,t,0']).toBe(4)
  expect(Object.keys(lags)).toHaveLength(11)
  expect(lags['__other__,__other__,__other__']).toBe(5 + 6 + 7 + 30)
  expect(read(text, 'cafelog_consumer_lag_seconds')).toMatchObject({ 'g4,t': 400, '__other__,__other__': 700 })
  expect(read(text, 'cafelog_consumer_group_members')['__other__']).toBe(3)
})

test('of a group that has its series, what it has read of folded topics is added up', async () => {
  const world = new World(20)
  const exposition = await Exposition.start(world.metrics)
  world.topics.set('own', [1, 1]).set('x', [1]).set('y', [1])
  world.groups.set('g', { topic: 'x', lags: [4, 5], seconds: 1 })
  expect(read(String(await exposition.write()), 'cafelog_consumer_lag')).toEqual({ 'g,__other__,__other__': 9 })
})

test('a thousand topics of eight partitions are less than five megabytes, and scrapes at the same time are whole', async () => {
  const world = new World(50_000)
  for (let topic = 0; topic < 1000; topic++) world.topics.set(`topic-${topic}`, [1, 2, 3, 4, 5, 6, 7, 8])
  const exposition = await Exposition.start(world.metrics)
  const [one, two] = await Promise.all([exposition.write(), exposition.write()])
  for (const bytes of [one, two]) {
    expect(bytes.length).toBeLessThan(5e6)
    expect(String(bytes).match(/^cafelog_messages_total\{/gm)).toHaveLength(8000)
  }
})
