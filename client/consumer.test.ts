import { afterEach, beforeEach, expect, test } from 'vitest'
import { buildBatch, compressBatch } from '../test/support/batches.ts'
import { ClientWorld, listen, numbers, soon, take } from '../test/support/client-world.ts'
import type { CafeLogClient, ConsumerOptions } from './client.ts'
import { OffsetUnknown } from './client.ts'
import { openConnection } from './json-connection.ts'
import { call } from './operations.ts'

let world: ClientWorld
let client: CafeLogClient
beforeEach(async () => {
  world = await ClientWorld.start({ topics: ['one', { name: 'four', partitions: 4 }] })
  client = world.client()
})
afterEach(() => world.close())

const FROM_BEGINNING = { group: 'g', topics: ['one'], autoOffsetReset: 'earliest' } as const

async function committed(group = 'g'): Promise<Record<string, number>> {
  const { offsets } = await client.admin().describeGroup(group)
  return Object.fromEntries(offsets.map(({ topic, partition, offset }) => [`${topic}/${partition}`, offset]))
}

test('a loop gets every message, in order, with all that belongs to it', async () => {
  const ts = Date.now()
  await world.produce('one', 0, numbers(0, 1000), ts)
  await using consumer = client.consumer(FROM_BEGINNING)
  let count = 0
  for await (const message of consumer) {
    expect([message.topic, message.partition, message.offset, message.timestamp]).toEqual(['one', 0, count, ts])
    expect([message.keyText(), message.text()]).toEqual([`key of ${count}`, String(count)])
    expect([message.json(), message.headers, message.header('none')]).toEqual([count, [], undefined])
    if (++count === 1000) break
  }
})

test('headers come as they were sent', async () => {
  const headers = [
    { key: 'trace', value: btoa('first') },
    { key: 'trace', value: btoa('last') },
    { key: 'empty', value: null },
  ]
  const connection = await openConnection({ host: '127.0.0.1', port: world.broker.ports.json })
  await call(connection, 'PRODUCE', { topic: 'one', partition: 0, records: [{ headers }] })
  connection.close()
  await using consumer = client.consumer(FROM_BEGINNING)
  for await (const message of consumer) {
    expect(message.headers.map(({ key, value }) => [key, value?.toString()])).toEqual([
      ['trace', 'first'],
      ['trace', 'last'],
      ['empty', undefined],
    ])
    expect([message.header('trace'), message.header('empty')]).toEqual(['last', undefined])
    expect([message.key, message.value, message.text()]).toEqual([null, null, ''])
    break
  }
})

test.each(['gzip', 'snappy', 'lz4', 'zstd'] as const)('what was compressed with %s is read', async (codec) => {
  const timestamp = Date.now()
  const batch = compressBatch(buildBatch(numbers(0, 500).map((value) => ({ value, timestamp }))), codec)
  const connection = await openConnection({ host: '127.0.0.1', port: world.broker.ports.json })
  const batches = [{ topic: 'one', partition: 0, batch: batch.toString('base64') }]
  await call(connection, 'PRODUCE_BATCHES', { batches })
  connection.close()
  await using consumer = client.consumer({ partitions: [{ topic: 'one', partition: 0, offset: 100 }] })
  expect(await take(consumer, 400)).toEqual(numbers(100, 500))
})

test('a message counts as processed when the next one is asked for', async () => {
  await world.produce('one', 0, numbers(0, 10))
  {
    await using consumer = client.consumer(FROM_BEGINNING)
    for await (const message of consumer) if (message.offset === 4) break
  }
  expect(await committed()).toEqual({ 'one/0': 4 })
  await using next = client.consumer(FROM_BEGINNING)
  expect(await take(next, 6)).toEqual(numbers(4, 10))
  await next.close()
  expect(await committed()).toEqual({ 'one/0': 10 })
})

test('a loop that was left goes on with the message that it was left at', async () => {
  await world.produce('one', 0, numbers(0, 5))
  await using consumer = client.consumer(FROM_BEGINNING)
  const failing = async () => {
    for await (const message of consumer) if (message.offset === 2) throw new Error('not now')
  }
  await expect(failing()).rejects.toThrow('not now')
  expect(await take(consumer, 3)).toEqual(['2', '3', '4'])
})

test('what was processed is committed now and then, and told of', async () => {
  await world.produce('one', 0, numbers(0, 3))
  await using consumer = client.consumer({ ...FROM_BEGINNING, commitIntervalMs: 10 })
  const told = listen(consumer, 'committed')
  const messages = consumer.messages()
  for (let count = 0; count < 3; count++) await messages.next()
  await soon(() => expect(told.at(-1)).toBe('committed one/0@2'))
  expect(await committed()).toEqual({ 'one/0': 2 })
})

test('commits can be left to the application', async () => {
  await world.produce('one', 0, numbers(0, 10))
  await using consumer = client.consumer({ ...FROM_BEGINNING, autoCommit: false })
  const messages = consumer.messages()
  const { value: first } = await messages.next()
  await messages.next()
  await consumer.commit()
  expect(await committed()).toEqual({ 'one/0': 1 })
  await consumer.commit([{ topic: 'one', partition: 0, offset: 7 }])
  expect(await committed()).toEqual({ 'one/0': 7 })
  await consumer.commit(first)
  expect(await committed()).toEqual({ 'one/0': 1 })
  await messages.next()
  await consumer.close()
  expect(await committed()).toEqual({ 'one/0': 1 })
})

test('a message that was committed is processed, also when the loop ends with it', async () => {
  await world.produce('one', 0, numbers(0, 5))
  await using consumer = client.consumer(FROM_BEGINNING)
  for await (const message of consumer) {
    if (message.offset < 2) continue
    await consumer.commit(message)
    break
  }
  expect(await committed()).toEqual({ 'one/0': 3 })
  expect(await take(consumer, 2)).toEqual(['3', '4'])
})

test.each<[reset: ConsumerOptions['autoOffsetReset'], gets: string[]]>([
  ['earliest', ['old', 'new']],
  ['latest', ['new']],
  [undefined, ['new']],
])('a group that has committed nothing begins at the %s', async (autoOffsetReset, gets) => {
  await world.produce('one', 0, ['old'])
  await using consumer = client.consumer({
    group: 'g',
    topics: ['one'],
    ...(autoOffsetReset !== undefined && { autoOffsetReset }),
  })
  const resets = listen(consumer, 'reset')
  const taken = take(consumer, gets.length)
  await soon(() => expect(resets).toHaveLength(1))
  await world.produce('one', 0, ['new'])
  expect(await taken).toEqual(gets)
  await consumer.close()
  expect(await committed()).toEqual({ 'one/0': 2 })
})

test('a consumer that may not choose where to begin says so', async () => {
  await using consumer = client.consumer({ group: 'g', topics: ['one'], autoOffsetReset: 'fail' })
  await expect(take(consumer, 1)).rejects.toThrow(OffsetUnknown)
  await using other = client.consumer({ group: 'h', topics: ['one'], autoOffsetReset: 'fail' })
  await expect(other.run({ eachMessage: () => {} })).rejects.toThrow('Cannot begin to read one/0: nothing is committed')
})

test('what retention has removed is passed over', async () => {
  await world.produce('one', 0, numbers(0, 10))
  await client.admin().deleteRecords({ topic: 'one', partition: 0, beforeOffset: 6 })
  await using consumer = client.consumer({
    partitions: [{ topic: 'one', partition: 0, offset: 2 }],
    autoOffsetReset: 'earliest',
  })
  const told = listen(consumer, 'reset')
  expect(await take(consumer, 4)).toEqual(numbers(6, 10))
  expect(told).toEqual(['reset topic=one partition=0 from=2 to=6'])
})

test('explicit partitions are read from where one says, and without a group', async () => {
  for (const partition of [0, 1, 2, 3]) await world.produce('four', partition, numbers(0, 5))
  await using consumer = client.consumer({
    partitions: [
      { topic: 'four', partition: 1, offset: 3 },
      { topic: 'four', partition: 2, offset: 4 },
    ],
  })
  expect((await take(consumer, 3)).toSorted()).toEqual(['3', '4', '4'])
  await expect(consumer.commit()).rejects.toThrow('Cannot commit without a group')
  await using failing = client.consumer({ partitions: [{ topic: 'nothing', partition: 0 }] })
  await expect(take(failing, 1)).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC_OR_PARTITION' })
  await using late = client.consumer({ partitions: [{ topic: 'one', partition: 7, offset: 0 }] })
  await expect(take(late, 1)).rejects.toMatchObject({ code: 'UNKNOWN_TOPIC_OR_PARTITION' })
})

test('explicit partitions of a group go on where it is', async () => {
  await world.produce('one', 0, numbers(0, 5))
  const partitions = [{ topic: 'one', partition: 0 }]
  const options = { group: 'hand', partitions, autoOffsetReset: 'earliest' } as const
  await using consumer = client.consumer(options)
  expect(await take(consumer, 2)).toEqual(['0', '1'])
  await consumer.close()
  await using next = client.consumer(options)
  expect(await take(next, 3)).toEqual(['2', '3', '4'])
})

test('one goes anywhere in the log', async () => {
  const ts = Date.now()
  await world.produce('one', 0, numbers(0, 50), ts - 2_000)
  await world.produce('one', 0, numbers(50, 100), ts - 1_000)
  await using consumer = client.consumer(FROM_BEGINNING)
  const one = [{ topic: 'one', partition: 0 }]
  expect(await take(consumer, 2)).toEqual(['0', '1'])
  consumer.seek([{ topic: 'one', partition: 0, offset: 70 }])
  expect(await take(consumer, 2)).toEqual(['70', '71'])
  await consumer.seekToBeginning()
  expect(await take(consumer, 2)).toEqual(['0', '1'])
  await consumer.seekToTime(ts - 1_500, one)
  expect(await take(consumer, 1)).toEqual(['50'])
  await consumer.seekToTime(new Date(500))
  expect(await take(consumer, 1)).toEqual(['0'])
  await consumer.seekToTime(ts + 60_000)
  const taken = take(consumer, 1)
  await world.produce('one', 0, ['behind'])
  expect(await taken).toEqual(['behind'])
  await consumer.seekToEnd(one)
  const last = take(consumer, 1)
  await world.produce('one', 0, ['last'])
  expect(await last).toEqual(['last'])
  consumer.seek([{ topic: 'one', partition: 0, offset: 10 }])
  await consumer.close()
  expect(await committed()).toEqual({ 'one/0': 10 })
})

test('a seek in the middle of a loop makes the message at hand not count', async () => {
  await world.produce('one', 0, numbers(0, 10))
  await using consumer = client.consumer(FROM_BEGINNING)
  const values: string[] = []
  for await (const message of consumer) {
    values.push(message.text())
    if (values.length === 3) consumer.seek([{ topic: 'one', partition: 0, offset: 8 }])
    if (values.length === 5) break
  }
  expect(values).toEqual(['0', '1', '2', '8', '9'])
  await consumer.close()
  expect(await committed()).toEqual({ 'one/0': 9 })
})

test('a partition that is assigned can be moved before anything is read from it', async () => {
  await world.produce('one', 0, numbers(0, 10))
  await using consumer = client.consumer({ group: 'g', topics: ['one'], autoOffsetReset: 'fail' })
  consumer.on('assigned', ({ partitions }) =>
    consumer.seek(partitions.map((partition) => ({ ...partition, offset: 5 }))),
  )
  expect(await take(consumer, 1)).toEqual(['5'])
})

test('partitions that are paused give nothing, the others do', async () => {
  for (const partition of [0, 1]) await world.produce('four', partition, numbers(0, 3))
  await using consumer = client.consumer({ group: 'g', topics: ['four'], autoOffsetReset: 'earliest' })
  const paused = [{ topic: 'four', partition: 0 }]
  consumer.on('assigned', () => consumer.pause(paused))
  const got: string[] = []
  const running = consumer.run({ eachMessage: ({ partition, offset }) => got.push(`${partition}@${offset}`) })
  await soon(() => expect(got).toEqual(['1@0', '1@1', '1@2']))
  expect(consumer.partitions().map(({ isPaused }) => isPaused)).toEqual([true, false, false, false])
  consumer.resume(paused)
  await soon(() => expect(got).toHaveLength(6))
  await consumer.close()
  await running
})

test('a consumer knows where it is', async () => {
  await world.produce('one', 0, numbers(0, 10))
  await using consumer = client.consumer(FROM_BEGINNING)
  expect(consumer.partitions()).toEqual([])
  await take(consumer, 4)
  expect(consumer.partitions()).toEqual([
    { topic: 'one', partition: 0, position: 4, committed: undefined, highWatermark: 10, lag: 6, isPaused: false },
  ])
})

test('a large backlog comes in parts, not all at once', async () => {
  const value = 'x'.repeat(10_000)
  for (let round = 0; round < 20; round++)
    await world.produce(
      'one',
      0,
      Array.from({ length: 50 }, () => value),
    )
  await using consumer = client.consumer({ ...FROM_BEGINNING, prefetchBytes: 1_000_000, partitionBytes: 300_000 })
  expect((await take(consumer, 1000)).every((text) => text === value)).toBe(true)
})

test('a signal ends a loop behind the message at hand, and a consumer that waits', async () => {
  await world.produce('one', 0, numbers(0, 10))
  const controller = new AbortController()
  await using consumer = client.consumer(FROM_BEGINNING)
  const values: string[] = []
  for await (const message of consumer.messages({ signal: controller.signal })) {
    values.push(message.text())
    if (values.length === 3) controller.abort()
  }
  expect(values).toEqual(['0', '1', '2'])
  await consumer.close()
  expect(await committed()).toEqual({ 'one/0': 3 })

  const other = new AbortController()
  const waiting = client.consumer({ group: 'h', topics: ['one'], signal: other.signal })
  const next = waiting.messages().next()
  setImmediate(() => other.abort())
  expect(await next).toEqual({ done: true, value: undefined })
  expect(await waiting.messages().next()).toEqual({ done: true, value: undefined })
})

test('messages can be asked for before the last ones have come', async () => {
  await world.produce('one', 0, numbers(0, 4))
  await using consumer = client.consumer(FROM_BEGINNING)
  const messages = consumer.messages()
  const results = await Promise.all([messages.next(), messages.next(), messages.next(), messages.next()])
  expect(results.map(({ value }) => value?.text())).toEqual(['0', '1', '2', '3'])
})

test.each<[options: object, message: string]>([
  [{ topics: ['t'] }, 'Cannot consume topics without a group: name one, or name partitions'],
  [{ group: 'g' }, 'Cannot consume nothing: topics, a topicPattern or partitions are needed'],
  [{ group: '', topics: ['t'] }, 'Cannot use group "": a name is needed'],
  [{ group: 'g', topics: ['t'], partitions: [] }, 'Cannot consume topics and partitions at once: name either'],
  [{ group: 'g', topics: ['t'], maxWaitMs: -1 }, 'Cannot use maxWaitMs -1: a number from 0 to 300000 is needed'],
  [
    { group: 'g', topics: ['t'], autoOffsetReset: 'first' },
    'Cannot use autoOffsetReset "first": one of earliest, latest, fail is needed',
  ],
  [{ partitions: [{ topic: 't', partition: -1 }] }, 'Cannot use partition of "t" -1: a whole number from 0 is needed'],
  [
    { partitions: [{ topic: 't', partition: 0, offset: -1 }] },
    'Cannot use offset of t/0 -1: a whole number from 0 is needed',
  ],
  [
    { group: 'g', topics: ['t'], deadLetter: { attempts: 0 } },
    'Cannot use deadLetter.attempts 0: a whole number from 1 is needed',
  ],
])('options that cannot be are refused: %j', (options, message) => {
  expect(() => client.consumer(options as ConsumerOptions)).toThrow(new RangeError(message))
})

test('what is not assigned cannot be moved or paused', async () => {
  await using consumer = client.consumer(FROM_BEGINNING)
  const other = { topic: 'other', partition: 3, offset: 0 }
  expect(() => consumer.pause([other])).toThrow('Cannot pause other/3: it is not assigned to this consumer')
  expect(() => consumer.seek([other])).toThrow('Cannot seek in other/3: it is not assigned to this consumer')
  await expect(consumer.seekToTime(Number.NaN)).rejects.toThrow('Cannot seek to the time NaN')
})
