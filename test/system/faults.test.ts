import { afterEach, beforeEach, expect, test } from 'vitest'
import { KAFKA_REQUEST_NAMES } from '../../src/fault-names.ts'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { Fetch } from '../../src/protocols/kafka/apis/01-fetch.ts'
import { ApiVersions } from '../../src/protocols/kafka/apis/18-api-versions.ts'
import { ERROR_CODES } from '../../src/protocols/kafka/error-codes.ts'
import { NO_UUID } from '../../src/protocols/kafka/schema.ts'
import type { CafeLog } from '../../src/start-cafelog.ts'
import { startCafeLog } from '../../src/start-cafelog.ts'
import { FETCH, HEARTBEAT, METADATA, PRODUCE } from '../support/frame-types.ts'
import { buildBatch } from '../support/batches.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import { RawClient, rawFrame } from '../support/raw-client.ts'

let broker: CafeLog
let client: RawClient
let kafka: KafkaClient
beforeEach(async () => {
  broker = await startCafeLog({ topics: ['t'] })
  client = await RawClient.connect(broker.ports.json)
  kafka = await KafkaClient.connect(broker.ports.kafka)
})
afterEach(async () => {
  client.close()
  kafka.close()
  await broker.close()
})

const produce = { topic: 't', partition: 0, records: [{ value: null }] }
const highWatermark = async (one = client) =>
  (await one.ask(METADATA, { topics: ['t'] })).json.topics[0].partitions[0].highWatermark

async function produceByKafka() {
  const partitionData = [{ index: 0, records: buildBatch([{ timestamp: 1, value: 'x' }]) }]
  return await kafka.ask(Produce, 9, { acks: -1, timeoutMs: 1000, topicData: [{ name: 't', partitionData }] })
}

test('a request fails as often as planned, without any effect', async () => {
  broker.faults.failNext('PRODUCE', 'INTERNAL_IO_ERROR', { times: 2 })
  for (let i = 0; i < 2; i++) expect((await client.ask(PRODUCE, produce)).json.error.code).toBe('INTERNAL_IO_ERROR')
  expect((await client.ask(PRODUCE, produce)).json.baseOffset).toBe(0)

  broker.faults.failNext('Produce', 'NOT_LEADER_OR_FOLLOWER')
  const [{ name, partitionResponses }] = (await produceByKafka()).responses
  expect([name, partitionResponses[0].errorCode]).toEqual(['t', ERROR_CODES.NOT_LEADER_OR_FOLLOWER])
  expect(await highWatermark()).toBe(1)
  expect((await produceByKafka()).responses[0].partitionResponses[0]).toMatchObject({ errorCode: 0, baseOffset: 1 })
})

test('a request is late, what comes behind it waits, and other clients do not', async () => {
  const other = await RawClient.connect(broker.ports.json)
  broker.faults.delayNext('FETCH', '1h')
  client.send(rawFrame(FETCH, { topic: 't', partition: 0, offset: 0 }))
  client.send(rawFrame(HEARTBEAT, {}))
  await new Promise((resolve) => setTimeout(resolve, 50))
  expect(await highWatermark(other)).toBe(0)
  expect(client.pendingFrames).toBe(0)
  await broker.clock.advance('1h')
  expect((await client.next())?.type).toBe(FETCH)
  expect((await client.next())?.type).toBe(HEARTBEAT)
  other.close()
})

test('a connection is dropped before or after a request had its effect', async () => {
  for (const [when, expected] of [
    ['before', 0],
    ['after', 1],
  ] as const) {
    broker.faults.dropNext('PRODUCE', { when })
    client.send(rawFrame(PRODUCE, produce))
    expect(await client.next()).toBeUndefined()
    client = await RawClient.connect(broker.ports.json)
    expect(await highWatermark()).toBe(expected)
  }
  broker.faults.dropNext('Produce', { when: 'after' })
  await expect(produceByKafka()).rejects.toThrow('closed')
  expect(await highWatermark()).toBe(2)
})

test('all connections are dropped at once; what was in flight is answered before', async () => {
  client.send(rawFrame(FETCH, { topic: 't', partition: 0, offset: 0, maxWaitMs: 60_000 }))
  kafka.send(Fetch, 4, {
    maxWaitMs: 60_000,
    minBytes: 1,
    topics: [{ topic: 't', topicId: NO_UUID, partitions: [{ partition: 0, fetchOffset: 0, partitionMaxBytes: 100 }] }],
  })
  await new Promise((resolve) => setTimeout(resolve, 50))
  broker.faults.dropConnections()
  expect((await client.next())?.json.records).toEqual([])
  expect((await kafka.answer(Fetch, 4)).answer.responses).toHaveLength(1)
  expect([await client.next(), await kafka.next()]).toEqual([undefined, undefined])
})

test('what is forgotten does not happen, and what cannot happen is refused', async () => {
  broker.faults.failNext('ApiVersions', 'UNSUPPORTED_VERSION')
  broker.faults.clear()
  expect((await kafka.ask(ApiVersions, 3, { clientSoftwareName: 'a', clientSoftwareVersion: '1' })).errorCode).toBe(0)

  const { faults } = broker
  // The compiler knows the names, too; not everybody has one.
  const failNext = (...names: string[]) => faults.failNext(...(names as ['Produce', 'NONE']))
  expect(() => failNext('Produse', 'NONE')).toThrow('There is no request "Produse": did you mean Produce?')
  expect(() => failNext('Zzzzzzzzz', 'NONE')).toThrow(`: ${KAFKA_REQUEST_NAMES.join(', ')} are known`)
  expect(() => failNext('Produce', 'NOT_LEADER')).toThrow('There is no error "NOT_LEADER"')
  expect(() => failNext('PRODUCE', 'NOT_LEADER_OR_FOLLOWER')).toThrow('are known')
  expect(() => faults.failNext('Produce', 'NOT_COORDINATOR', { times: 0 })).toThrow('0 times')
  expect(() => faults.delayNext('Produce', 'later')).toThrow('"later"')
  expect(() => faults.dropNext('Produce', { when: 'never' as never })).toThrow('"never"')
})
