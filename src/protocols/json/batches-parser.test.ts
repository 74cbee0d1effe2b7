import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkProperty } from '../../../test/support/property.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { isTopicName } from '../../base/topic-name.ts'
import { BatchesParser } from './batches-parser.ts'

interface PlainRequest {
  readonly acks: unknown
  readonly batches: readonly { topic: string; partition: number; batch: string }[]
}

const parser = new BatchesParser()

/** Parses the payload where it lies among other bytes; undefined if it is refused. */
function parse(payload: Buffer): PlainRequest | undefined {
  const buffer = Buffer.concat([Buffer.from('"}]'), payload, Buffer.from('"}]}AAAA')])
  parser.turnBegan()
  try {
    const { acks, batches } = parser.parse(buffer, 3, 3 + payload.length)
    buffer.fill(0xee)
    return { acks, batches: batches.map((part) => ({ ...part, batch: part.batch.toString('base64') })) }
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'INVALID_REQUEST') return undefined
    throw error
  }
}

/** What a payload means by JSON.parse; undefined if it is to be refused. */
function parseByReference(payload: Buffer): PlainRequest | undefined {
  let object: any
  try {
    object = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload))
  } catch {
    return undefined
  }
  if (typeof object !== 'object' || object === null || !Array.isArray(object.batches)) return undefined
  const acks = object.acks ?? 'all'
  if (!['all', -1, 0, 1].includes(acks) || object.batches.length === 0) return undefined
  const seen = new Set<string>()
  const batches: PlainRequest['batches'][number][] = []
  for (const item of object.batches) {
    const { topic, partition, batch } = item ?? {}
    if (typeof topic !== 'string' || !isTopicName(topic)) return undefined
    if (!Number.isInteger(partition) || partition < 0 || partition > 0x7fffffff) return undefined
    if (typeof batch !== 'string' || Buffer.from(batch, 'base64').toString('base64') !== batch) return undefined
    const key = JSON.stringify([topic, partition + 0])
    if (seen.has(key)) return undefined
    seen.add(key)
    batches.push({ topic, partition: partition + 0, batch })
  }
  return { acks: acks === -1 ? 'all' : acks + (acks === 'all' ? '' : 0), batches }
}

const texts = fc.constantFrom('AAAA', '', 'AA==', 'AB==', 'AA=', 'A A=', '-_8=', '+/8=', 'é', 'B'.repeat(2000))
const partitions = fc.constantFrom(0, 1, 2, -1, 1.5, 0x7fffffff, 0x80000000, null, '1')
const topics = fc.constantFrom('orders', 'a', '..', '', 'ü', 'x y', 7, null)
const usual = (value: unknown, odd: fc.Arbitrary<unknown>) =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: odd })
const items = fc.record(
  { topic: usual('orders', topics), partition: usual(0, partitions), batch: usual('AAECAw==', texts), more: texts },
  { requiredKeys: ['topic', 'partition', 'batch'] },
)
const requests = fc.record(
  { acks: fc.constantFrom('all', -1, 0, 1, 2, null, '1'), batches: fc.array(items, { maxLength: 3 }) },
  { requiredKeys: ['batches'] },
)
const spaces = fc.constantFrom('', '', '', ' ', '\n  ')

test('whatever the payload, the result is that of JSON.parse', () => {
  let taken = 0
  checkProperty(
    fc.property(requests, spaces, fc.boolean(), (request, space, isNumbered) => {
      const batches = isNumbered ? request.batches.map((item, partition) => ({ ...item, partition })) : request.batches
      const payload = Buffer.from(JSON.stringify({ ...request, batches }, undefined, space))
      const expected = parseByReference(payload)
      expect(parse(payload)).toEqual(expected)
      if (expected !== undefined) taken++
    }),
    2000,
  )
  expect(taken).toBeGreaterThan(300)
})

const USUAL = Buffer.from(
  JSON.stringify({ acks: 1, batches: [0, 1].map((partition) => ({ topic: 'orders', partition, batch: 'AAECAw==' })) }),
)

test('nor does it differ when some bytes were changed', () => {
  const bytes = fc.constantFrom(...Buffer.from('"\\,:{}[]=- 09An\0'))
  checkProperty(
    fc.property(fc.array(fc.tuple(fc.nat(USUAL.length - 1), bytes), { maxLength: 3 }), (changes) => {
      const payload = Buffer.from(USUAL)
      for (const [at, byte] of changes) payload[at] = byte
      expect(parse(payload)).toEqual(parseByReference(payload))
    }),
    4000,
  )
})

test('a payload that is cut anywhere is refused', () => {
  for (let length = 0; length < USUAL.length; length++) expect(parse(USUAL.subarray(0, length))).toBeUndefined()
  expect(parse(USUAL)).toBeDefined()
})

test('batches stay as they are until the turn ends, however many there are', () => {
  const request = (byte: number) => {
    const batch = Buffer.alloc(30_000, byte).toString('base64')
    return Buffer.from(JSON.stringify({ batches: [{ topic: 'orders', partition: 0, batch }] }))
  }
  parser.turnBegan()
  const kept = Array.from({ length: 50 }, (_, byte) => {
    const payload = request(byte)
    return parser.parse(payload, 0, payload.length).batches[0].batch
  })
  for (const [byte, batch] of kept.entries()) expect(batch.equals(Buffer.alloc(30_000, byte))).toBe(true)
})
