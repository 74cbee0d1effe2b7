import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { CafeLogClient } from '../../client/client.ts'
import { openConnection } from '../../client/json-connection.ts'
import { call } from '../../client/operations.ts'
import { BrokerHome } from '../support/broker-process.ts'
import { RestartedBroker } from '../support/restarted-broker.ts'

const TOPIC = 'orders'
const PARTITIONS = 4
const KEYS = 40
const KILLS = 20
const MESSAGES = 200_000
const MESSAGES_PER_LIFE = MESSAGES / KILLS

let home: BrokerHome
beforeEach(() => {
  home = new BrokerHome()
})
afterEach(() => home.remove())

/** A port that is free now, for a broker that comes back there again and again. */
async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

test(
  'a broker that is killed 20 times loses nothing, swaps nothing, and stores nothing twice, and a consumer misses nothing',
  { timeout: 120_000 },
  async () => {
    const address = `127.0.0.1:${await findFreePort()}`
    const broker = new RestartedBroker(home, { environment: { CAFELOG_TCP_ADDR: address } })
    await broker.current()
    await using client = new CafeLogClient({
      broker: address,
      retryDelayMs: 10,
      retryDelayMsMax: 50,
      circuitFailures: 3,
      circuitOpenMs: 100,
    })
    const states: string[] = []
    client.on('circuit', ({ state }) => states.push(state))
    await client.admin().createTopic({ topic: TOPIC, partitions: PARTITIONS })

    const consumer = client.consumer({ group: 'readers', topics: [TOPIC], autoOffsetReset: 'earliest' })
    const consumed: Set<number>[] = Array.from({ length: PARTITIONS }, () => new Set())
    const consuming = consumer.run({
      concurrency: PARTITIONS,
      eachMessage: (message) => void consumed[message.partition].add(Number(message.text())),
    })

    const producer = client.producer({ batchBytes: 4096 })
    let delivered = 0
    const offsets: Promise<unknown>[] = []
    for (let life = 0; life < KILLS; life++) {
      for (let index = 0; index < MESSAGES_PER_LIFE; index++) {
        const number = life * MESSAGES_PER_LIFE + index
        const message = { topic: TOPIC, key: `key-${number % KEYS}`, value: `${number}` }
        offsets.push(producer.send(message).then(() => delivered++))
      }
      // In the middle of them.
      const before = delivered
      while (delivered < before + MESSAGES_PER_LIFE * 0.2) await new Promise(setImmediate)
      await broker.restart('kill')
    }
    await Promise.all(offsets)
    await producer.close()
    expect(delivered).toBe(MESSAGES)
    expect(client.circuit).toBe('closed')
    expect(states.filter((state) => state === 'open').length).toBeGreaterThanOrEqual(KILLS / 2)
    expect(states.at(-1)).toBe('closed')

    const { port } = await broker.current()
    const partitions = await Promise.all(Array.from({ length: PARTITIONS }, (_, partition) => readAll(port, partition)))
    const numbers = partitions.flat()
    expect(numbers).toHaveLength(MESSAGES)
    expect(new Set(numbers).size).toBe(MESSAGES)
    // All of a partition were sent one behind the other.
    for (const partition of partitions)
      expect(partition.every((number, at) => at === 0 || number > partition[at - 1])).toBe(true)

    // A set keeps the order in which its numbers came first.
    await vi.waitFor(() => expect(consumed.map(({ size }) => size)).toEqual(partitions.map(({ length }) => length)), {
      timeout: 30_000,
      interval: 50,
    })
    consumed.forEach((numbersOf, partition) => expect([...numbersOf]).toEqual(partitions[partition]))
    await consumer.close()
    await consuming
    const group = await client.admin().describeGroup('readers')
    expect(group.offsets.map(({ lag }) => lag)).toEqual([0, 0, 0, 0])
  },
)

/** The values of a partition, as numbers, in the order of their offsets. */
async function readAll(port: number, partition: number): Promise<number[]> {
  const connection = await openConnection({ host: '127.0.0.1', port })
  const numbers: number[] = []
  for (let offset = 0; ; offset = numbers.length) {
    const { records } = await call(connection, 'FETCH', { topic: TOPIC, partition, offset })
    if (records.length === 0) break
    numbers.push(...records.map(({ value }) => Number(Buffer.from(value ?? '', 'base64'))))
  }
  connection.close()
  return numbers
}
