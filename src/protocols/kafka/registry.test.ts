import { expect, expectTypeOf, test } from 'vitest'
import { AssertionError } from '../../base/assert.ts'
import { Produce } from './apis/00-produce.ts'
import { Heartbeat } from './apis/12-heartbeat.ts'
import { beginRequest, readRequestHeader, readResponseHeader } from './headers.ts'
import { MalformedMessageError, Reader } from './reader.ts'
import type { Handler } from './registry.ts'
import { NO_RESPONSE, Registry } from './registry.ts'

interface Context {
  readonly peer: string
}

type HeartbeatHandler = Handler<typeof Heartbeat, Context>

const CONTEXT: Context = { peer: 'test' }
const HEARTBEAT = { groupId: 'readers', generationId: 3, memberId: 'one' }

/** Sends a heartbeat in the given version to the handler; the error code that comes back, or that nothing does. */
async function ask(handler: HeartbeatHandler, version: number): Promise<number | typeof NO_RESPONSE> {
  const registry = new Registry<Context>()
  registry.serve(Heartbeat, handler)
  const writer = beginRequest(Heartbeat, { apiKey: 12, apiVersion: version, correlationId: 77, clientId: null })
  Heartbeat.writeRequest(writer, version, HEARTBEAT)
  // Some clients send more than the message.
  writer.int32(0)
  const request = new Reader(Buffer.concat(writer.finishFrame()), 4)
  const header = readRequestHeader(request)
  const frame = await registry.find(header.apiKey, header.apiVersion)?.answer(header, request, CONTEXT)
  if (frame === undefined) throw new Error('nothing answers')
  if (frame === NO_RESPONSE) return frame
  const bytes = Buffer.concat(frame)
  expect(bytes.readInt32BE(0)).toBe(bytes.length - 4)
  const response = new Reader(bytes, 4)
  expect(readResponseHeader(response, Heartbeat, version)).toBe(77)
  return Heartbeat.readResponse(response, version).errorCode
}

test.each([0, 3, 4])('a handler gets the request of version %d and its response goes out', async (version) => {
  const seen: unknown[] = []
  const code = await ask((request, context) => {
    seen.push({ ...request }, context)
    return { errorCode: 27 }
  }, version)
  expect(code).toBe(27)
  expect(seen).toEqual([{ ...HEARTBEAT, groupInstanceId: null }, CONTEXT])
})

test('a handler may answer later, or not at all', async () => {
  expect(await ask(async () => ({ errorCode: 25 }), 4)).toBe(25)
  expect(await ask(() => NO_RESPONSE, 4)).toBe(NO_RESPONSE)
  expect(await ask(async () => NO_RESPONSE, 4)).toBe(NO_RESPONSE)
})

test('what a handler throws comes out', async () => {
  const failure = new Error('no')
  await expect(
    ask(() => {
      throw failure
    }, 4),
  ).rejects.toBe(failure)
})

test('a request that is cut short is not handled', () => {
  const registry = new Registry<Context>()
  registry.serve(Heartbeat, () => expect.unreachable())
  const header = { apiKey: 12, apiVersion: 0, correlationId: 1, clientId: null }
  const served = registry.find(12, 0)
  expect(() => served?.answer(header, new Reader(Buffer.from('0001', 'hex')), CONTEXT)).toThrow(MalformedMessageError)
})

test('what is served is advertised', () => {
  const registry = new Registry<Context>()
  registry.serve(Heartbeat, () => ({ errorCode: 0 }))
  registry.serve(Produce, () => NO_RESPONSE)
  expect(registry.advertise()).toEqual([
    { apiKey: 0, minVersion: 0, maxVersion: 11 },
    { apiKey: 12, minVersion: 0, maxVersion: 4 },
  ])
  const isFound = (key: number, version: number) => registry.find(key, version) !== undefined
  expect([-1, 2, 3, 11, 12].map((version) => isFound(0, version))).toEqual([false, false, true, true, false])
  expect(isFound(1, 4)).toBe(false)
  expect(() => registry.serve(Heartbeat, () => ({ errorCode: 0 }))).toThrow(AssertionError)
})

test('handlers have the types of their tables', () => {
  expectTypeOf<Parameters<HeartbeatHandler>[0]['groupInstanceId']>().toEqualTypeOf<string | null>()
  expectTypeOf<Parameters<HeartbeatHandler>[1]>().toEqualTypeOf<Context>()
})
