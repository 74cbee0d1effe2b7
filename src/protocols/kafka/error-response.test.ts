import { expect, test } from 'vitest'
import { SeededRandom } from '../../../test/simulation/seeded-random.ts'
import type { AnyApi } from '../../../test/support/kafka-apis.ts'
import { importApis, randomMessage, versionsOf } from '../../../test/support/kafka-apis.ts'
import { api } from './api.ts'
import { FRAME_LENGTH_BYTES, readResponseHeader } from './headers.ts'
import { Reader } from './reader.ts'
import { Registry } from './registry.ts'
import { Writer } from './writer.ts'

const NOT_COORDINATOR = 16

/** What a registry that serves just this API answers to a request of this version when it refuses. */
function refuse(one: AnyApi, version: number, request: object): unknown {
  const registry = new Registry<object>()
  registry.serve(one, () => ({}))
  const header = { apiKey: one.key, apiVersion: version, correlationId: 7, clientId: null }
  const writer = new Writer()
  if (one.isFlexible(version)) writer.uvarint(0)
  one.writeRequest(writer, version, request as never)
  const bytes = Buffer.concat(writer.finish())
  const pieces = registry
    .find(one.key, version)
    ?.refuse(header, new Reader(bytes, 0, bytes.length, Infinity), NOT_COORDINATOR)
  const frame = Buffer.concat([...(pieces ?? [])])
  const reader = new Reader(frame, FRAME_LENGTH_BYTES, frame.length, Infinity)
  expect(readResponseHeader(reader, one, version)).toBe(7)
  const answer = one.readResponse(reader, version)
  expect(reader.position).toBe(frame.length)
  return answer
}

const codesIn = (value: unknown): unknown[] => {
  if (Array.isArray(value)) return value.flatMap(codesIn)
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return []
  return Object.entries(value).flatMap(([name, inner]) => (name === 'errorCode' ? [inner] : codesIn(inner)))
}

test('every version of every API can refuse whatever is asked', async () => {
  const random = new SeededRandom(1)
  for (const one of await importApis()) {
    for (const version of versionsOf(one)) {
      for (let i = 0; i < 5; i++) {
        const answer = refuse(one, version, randomMessage(one.request, version, random))
        expect(new Set([0, ...codesIn(answer)]).size, `${one.name} ${version}`).toBeLessThanOrEqual(2)
      }
    }
  }
})

test('what was asked for comes back by its name', async () => {
  const apis = new Map((await importApis()).map((one) => [one.name, one]))
  const ask = (name: string, version: number, request: object) => refuse(apis.get(name) as AnyApi, version, request)
  const records = Buffer.from('x')
  const partitionData = [{ index: 3, records }]
  expect(ask('Produce', 9, { acks: 1, timeoutMs: 1, topicData: [{ name: 't', partitionData }] })).toMatchObject({
    responses: [{ name: 't', partitionResponses: [{ index: 3, errorCode: NOT_COORDINATOR, baseOffset: -1 }] }],
  })
  const fetched = { partition: 2, fetchOffset: 5, partitionMaxBytes: 1 }
  expect(
    ask('Fetch', 12, { maxWaitMs: 1, minBytes: 1, topics: [{ topic: 't', partitions: [fetched] }] }),
  ).toMatchObject({
    errorCode: NOT_COORDINATOR,
    responses: [{ topic: 't', partitions: [{ partitionIndex: 2, errorCode: NOT_COORDINATOR, highWatermark: -1 }] }],
  })
  expect(ask('FindCoordinator', 4, { keyType: 0, coordinatorKeys: ['a', 'b'] })).toMatchObject({
    coordinators: [
      { key: 'a', errorCode: NOT_COORDINATOR },
      { key: 'b', errorCode: NOT_COORDINATOR },
    ],
  })
  expect(ask('DeleteTopics', 5, { topicNames: ['a'], timeoutMs: 1 })).toMatchObject({
    responses: [{ name: 'a', errorCode: NOT_COORDINATOR }],
  })
  expect(ask('Heartbeat', 4, { groupId: 'g', generationId: 1, memberId: 'm' })).toMatchObject({
    errorCode: NOT_COORDINATOR,
  })
})

test('an API whose response has no error can only be refused emptily', () => {
  const silent = api(900, 'Silent', { versions: '0' }, { request: {}, response: {} })
  expect(refuse(silent as unknown as AnyApi, 0, {})).toEqual({})
})
