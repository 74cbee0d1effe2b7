import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { SeededRandom } from '../../../test/simulation/seeded-random.ts'
import { checkProperty } from '../../../test/support/property.ts'
import { BrokerError } from '../../base/broker-error.ts'
import { murmur2 } from '../../broker/partitioner.ts'
import { decodeRecords, RecordBatchBuilder } from '../../record/record-batch.ts'
import { RECORD_BYTES_SAFE_MAX, RECORD_TEXT_BYTES_MAX, RECORDS_PER_REQUEST_MAX } from './limits.ts'
import { ProduceParser } from './produce-parser.ts'
import { ProduceRequest } from '../../broker/produce-request.ts'
import { RecordScanner } from './record-scanner.ts'

const NOW = 1_764_000_000_000

interface PlainRequest {
  topic: string
  partition: number
  acks: 0 | 1 | 'all'
  records: {
    dueAt: number | undefined
    timestamp: number
    key: Buffer | null
    value: Buffer | null
    headers: object[]
  }[]
}

/** What is in a request, taken out the way that the door does: through a record batch. */
function takeOut(request: ProduceRequest): PlainRequest {
  const builder = new RecordBatchBuilder(64)
  builder.begin()
  for (let index = 0; index < request.recordCount; index++) request.addTo(builder, index)
  const decoded = decodeRecords(builder.finish())
  for (const [index, { key }] of decoded.entries()) {
    expect(request.hasKey(index)).toBe(key !== null)
    if (key !== null) expect(request.hashKey(index)).toBe(murmur2(key, 0, key.length))
  }
  const records = decoded.map(({ timestamp, key, value, headers }, index) => ({
    dueAt: request.dueAts?.get(index),
    timestamp,
    key,
    value,
    headers: [...headers],
  }))
  return { topic: request.topic, partition: request.partition, acks: request.acks, records }
}

const parser = new ProduceParser()

/** Parses the payload where it lies among other bytes. Undefined if it is refused. */
function parse(payload: Buffer, before = '', after = ''): PlainRequest | undefined {
  const buffer = Buffer.concat([Buffer.from(before), payload, Buffer.from(after)])
  const start = Buffer.byteLength(before)
  try {
    const request = parser.parse(buffer, start, start + payload.length, NOW)
    buffer.fill(0xee)
    return takeOut(request)
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'INVALID_REQUEST') return undefined
    throw error
  }
}

function scans(payload: string): boolean {
  const bytes = Buffer.from(payload)
  return new RecordScanner(new ProduceRequest()).scan(bytes, 0, bytes.length, NOW)
}

function refusalOf(payload: string | Buffer): string {
  const bytes = Buffer.from(payload)
  try {
    parser.parse(bytes, 0, bytes.length, NOW)
  } catch (error) {
    if (error instanceof BrokerError && error.code === 'INVALID_REQUEST') return error.message
    throw error
  }
  throw new Error(`not refused: ${bytes.toString('utf8', 0, 200)}`)
}

const base64 = (text: string) => Buffer.from(text).toString('base64')

test('a request is taken apart', () => {
  const payload = {
    topic: 'orders',
    partition: 3,
    acks: 1,
    records: [
      { key: base64('k1'), value: base64('v1'), ts: 17 },
      { key: null, value: '' },
      { value: base64('v3'), ts: 0, headers: [{ key: 'ü', value: base64('x') }, { key: '' }], dueAt: NOW },
      {},
    ],
  }
  expect(parse(Buffer.from(JSON.stringify(payload)))).toEqual({
    topic: 'orders',
    partition: 3,
    acks: 1,
    records: [
      { timestamp: 17, key: Buffer.from('k1'), value: Buffer.from('v1'), headers: [] },
      { timestamp: NOW, key: null, value: Buffer.alloc(0), headers: [] },
      {
        timestamp: 0,
        key: null,
        value: Buffer.from('v3'),
        headers: [
          { key: 'ü', value: Buffer.from('x') },
          { key: '', value: null },
        ],
      },
      { timestamp: NOW, key: null, value: null, headers: [] },
    ],
  })
})

const USUAL = { topic: 'a', partition: 0, records: [{ key: 'aw==', value: 'dg==', ts: 1 }] }

test.each<[acks: unknown, result: unknown]>([
  [undefined, 'all'],
  [null, 'all'],
  ['all', 'all'],
  [-1, 'all'],
  [1, 1],
  [0, 0],
])('acks %j means %j', (acks, result) => {
  expect(parse(Buffer.from(JSON.stringify({ ...USUAL, acks })))?.acks).toBe(result)
})

// If the scanner gave up on these, everything would still be right, and slow.
test.each<[what: string, payload: string]>([
  ['JSON.stringify', JSON.stringify(USUAL)],
  ['Python, with a space behind commas and colons', JSON.stringify(USUAL, null, 1).replaceAll(/\n */g, ' ')],
  ['an indented file', JSON.stringify(USUAL, null, 2)],
  ['Windows line ends', `${JSON.stringify(USUAL, null, '\t').replaceAll('\n', '\r\n')}\r\n`],
  ['alphabetical order', '{"acks":"all","partition":-1,"records":[{"key":"aw==","ts":1,"value":null}],"topic":"a"}'],
  ['no key and no timestamp', '{"topic":"a","partition":0,"acks":1,"records":[{"value":"dg=="},{"value":""}]}'],
  ['a long value', JSON.stringify({ ...USUAL, records: [{ value: base64('v'.repeat(100_000)) }] })],
])('the usual shape is scanned: %s', (_what, payload) => {
  expect(scans(payload)).toBe(true)
  expect(parse(Buffer.from(payload))).toEqual(parseByReference(Buffer.from(payload)))
})

test.each<[what: string, changes: Record<string, unknown>]>([
  ['a partition below -1', { partition: -2 }],
  ['a partition over 31 bits', { partition: 2 ** 31 }],
  ['acks that do not exist', { acks: 2 }],
  ['no topic', { topic: undefined }],
  ['no partition', { partition: undefined }],
  ['no records', { records: undefined }],
  ['an empty array of records', { records: [] }],
  ['a negative time', { records: [{ value: 'dg==', ts: -1 }] }],
])('the usual shape with %s is refused', (_what, changes) => {
  const payload = JSON.stringify({ ...USUAL, ...changes })
  expect(scans(payload)).toBe(false)
  expect(parse(Buffer.from(payload))).toBeUndefined()
})

const withRecord = (fields: string) => `{"topic":"a","partition":0,"records":[{"value":null},{${fields}}]}`

test.each<[payload: string, message: string]>([
  ['', 'with an empty payload: it must be a JSON object'],
  ['[]', 'with the payload []: it must be a JSON object'],
  ['{"topic":"a"', 'with this payload: it is not JSON'],
  ['{"partition":0,"records":[{}]}', 'without "topic": text is needed'],
  ['{"topic":7,"partition":0,"records":[{}]}', 'with "topic" 7: text is needed'],
  ['{"topic":"a","records":[{}]}', 'without "partition": a whole number from -1 to 2147483647 is needed'],
  ['{"topic":"a","partition":-2,"records":[{}]}', 'with "partition" -2: a whole number'],
  ['{"topic":"a","partition":0.5,"records":[{}]}', 'with "partition" 0.5: a whole number'],
  ['{"topic":"a","partition":"0","records":[{}]}', 'with "partition" "0": a whole number'],
  ['{"topic":"a","partition":2147483648,"records":[{}]}', 'with "partition" 2147483648: a whole number'],
  ['{"topic":"a","partition":1e400,"records":[{}]}', 'with "partition" Infinity: a whole number'],
  ['{"topic":"a","partition":0}', 'without "records": an array of records is needed'],
  ['{"topic":"a","partition":0,"records":{}}', 'with "records" {}: an array of records is needed'],
  ['{"topic":"a","partition":0,"records":[]}', 'with "records" []: at least one record is needed'],
  ['{"topic":"a","partition":0,"records":[{},7]}', 'with records[1] 7: an object is needed'],
  ['{"topic":"a","partition":0,"records":[null]}', 'with records[0] null: an object is needed'],
  ['{"topic":"a","partition":0,"records":[[]]}', 'with records[0] []: an object is needed'],
  ['{"topic":"a","partition":0,"records":[{}],"acks":2}', 'with "acks" 2: "all", -1, 1 or 0 is needed'],
  ['{"topic":"a","partition":0,"records":[{}],"acks":"1"}', 'with "acks" "1": "all", -1, 1 or 0 is needed'],
  ['{"topic":"a","partition":0,"records":[{}],"batch":{}}', 'with "batch" {}: no such field is known'],
  [withRecord('"key":12'), 'with records[1].key 12: base64 text (standard alphabet, padded) or null is needed'],
  [withRecord('"key":"a"'), 'with records[1].key "a": base64 text'],
  [withRecord('"value":["dg=="]'), 'with records[1].value ["dg=="]: base64 text'],
  [withRecord('"value":"dg"'), 'with records[1].value "dg": base64 text'],
  [withRecord('"value":"dh=="'), 'with records[1].value "dh==": base64 text'],
  [withRecord('"value":"_-8="'), 'with records[1].value "_-8=": base64 text'],
  [withRecord('"value":true'), 'with records[1].value true: base64 text'],
  [withRecord('"ts":-1'), 'with records[1].ts -1: whole milliseconds since 1970 are needed'],
  [withRecord('"ts":1.5'), 'with records[1].ts 1.5: whole milliseconds'],
  [withRecord('"ts":"1"'), 'with records[1].ts "1": whole milliseconds'],
  [withRecord('"ts":9007199254740992'), 'with records[1].ts 9007199254740992: whole milliseconds'],
  [withRecord('"ts":1e999'), 'with records[1].ts Infinity: whole milliseconds'],
  [withRecord('"dueAt":"soon"'), 'with records[1].dueAt "soon": whole milliseconds'],
  [withRecord('"headers":{"a":"b"}'), 'with records[1].headers {"a":"b"}: an array is needed'],
  [withRecord('"headers":["a"]'), 'with records[1].headers[0] "a": an object is needed'],
  [withRecord('"headers":[{"key":"a"},{}]'), 'without records[1].headers[1].key: text is needed'],
  [withRecord('"headers":[{"key":1}]'), 'with records[1].headers[0].key 1: text is needed'],
  [withRecord('"headers":[{"key":"\\ud800"}]'), 'with records[1].headers[0].key "\\ud800": text is needed'],
  [withRecord('"headers":[{"key":"a","value":"?"}]'), 'with records[1].headers[0].value "?": base64 text'],
  [withRecord('"meta":{"a":1}'), 'with "meta" {"a":1} in records[1]: no such field is known'],
  [withRecord('"__proto__":{"key":"aw=="}'), 'with "__proto__" {"key":"aw=="} in records[1]: no such field is known'],
])('%s is refused', (payload, message) => {
  const refusal = refusalOf(payload)
  expect(refusal.startsWith('Cannot take PRODUCE ')).toBe(true)
  expect(refusal).toContain(message)
})

test('a long value is cut short where it is quoted', () => {
  expect(refusalOf(withRecord(`"key":"${'x'.repeat(5_000_001)}"`)).length).toBeLessThan(300)
})

test('what is not UTF-8 is refused', () => {
  const payload = Buffer.from(JSON.stringify({ ...USUAL, topic: 'caf?' }))
  payload[payload.indexOf('?')] = 0xe9
  expect(refusalOf(payload)).toContain('it must be UTF-8')
})

test('nesting without end is refused before anything looks into it', () => {
  const nested = (depth: number) => `{"topic":"a","partition":0,"records":${'['.repeat(depth)}${']'.repeat(depth)}}`
  expect(refusalOf(nested(64))).toContain('nests deeper than 64 levels')
  expect(refusalOf(nested(5_000_000))).toContain('nests deeper than 64 levels')
  expect(refusalOf(nested(63))).toContain('with records[0] [[[')
})

test('names of JavaScript are names like any other', () => {
  const payload = Buffer.from(
    '{"topic":"__proto__","partition":0,"constructor":1,"__proto__":null,"records":[{"value":"dg==","toString":"x"}]}',
  )
  expect(parse(payload)).toMatchObject({ topic: '__proto__', records: [{ value: Buffer.from('v'), key: null }] })
  expect(({} as Record<string, unknown>)['value']).toBeUndefined()
})

test('of a field that is there twice the last one counts, as for JSON.parse', () => {
  const payload = Buffer.from(
    '{"topic":"a","topic":"b","partition":0,"records":[{"ts":1,"value":"dg==","value":null}]}',
  )
  expect(parse(payload)).toMatchObject({ topic: 'b', records: [{ value: null }] })
})

test('more records than one request may have are refused', () => {
  const payload = (count: number) =>
    `{"topic":"a","partition":0,"records":[${'{"value":""},'.repeat(count).slice(0, -1)}]}`
  expect(scans(payload(RECORDS_PER_REQUEST_MAX))).toBe(true)
  expect(refusalOf(payload(RECORDS_PER_REQUEST_MAX + 1))).toContain(
    'with 100001 records: one request takes 100000 at most',
  )
})

test('a record that would not fit into the answer to a FETCH is refused', () => {
  const payload = (bytes: number) =>
    `{"topic":"a","partition":0,"records":[{"value":"${Buffer.alloc(bytes).toString('base64')}"}]}`
  expect(scans(payload(RECORD_BYTES_SAFE_MAX))).toBe(true)
  expect(refusalOf(payload(RECORD_BYTES_SAFE_MAX + 8))).toContain(
    `bytes of text in records[0]: key, value and headers may have ${RECORD_TEXT_BYTES_MAX}`,
  )
})

/** The rules once more, on top of JSON.parse and Node's base64, without regard to speed or messages. */
function parseByReference(payload: Buffer): PlainRequest | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(payload)
    const request = asObject(JSON.parse(text), ['topic', 'partition', 'records', 'acks'])
    const acks = request['acks'] ?? 'all'
    must(typeof request['topic'] === 'string')
    must(Number.isInteger(request['partition']))
    const partition = request['partition'] as number
    must(partition >= -1 && partition < 2 ** 31)
    must(acks === 'all' || acks === -1 || acks === 0 || acks === 1)
    must(Array.isArray(request['records']) && request['records'].length > 0)
    const records = (request['records'] as unknown[]).map((each) => {
      const record = asObject(each, ['key', 'value', 'ts', 'dueAt', 'headers'])
      const headers = record['headers'] ?? []
      must(Array.isArray(headers))
      const dueAt = time(record['dueAt'])
      return {
        dueAt: dueAt !== undefined && dueAt > NOW ? dueAt : undefined,
        timestamp: time(record['ts']) ?? NOW,
        key: bytes(record['key']),
        value: bytes(record['value']),
        headers: (headers as unknown[]).map((header) => {
          const { key, value } = asObject(header, ['key', 'value'])
          must(typeof key === 'string' && Buffer.from(key).toString() === key)
          return { key, value: bytes(value) }
        }),
      }
    })
    return {
      topic: request['topic'] as string,
      partition: partition + 0,
      acks: acks === -1 || acks === 'all' ? 'all' : acks === 1 ? 1 : 0,
      records,
    }
  } catch {
    return undefined
  }
}

function must(claim: boolean): void {
  if (!claim) throw new Error('refused')
}

function asObject(value: unknown, known: string[]): Record<string, unknown> {
  must(typeof value === 'object' && value !== null && !Array.isArray(value))
  const object = new Map(Object.entries(value as object))
  for (const [name, each] of object) must(known.includes(name) || typeof each !== 'object' || each === null)
  return Object.assign(Object.create(null), Object.fromEntries([...object].filter(([name]) => known.includes(name))))
}

function time(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined
  must(Number.isSafeInteger(value) && (value as number) >= 0)
  return (value as number) + 0
}

function bytes(value: unknown): Buffer | null {
  if (value === undefined || value === null) return null
  must(typeof value === 'string' && Buffer.from(value, 'base64').toString('base64') === value)
  return Buffer.from(value as string, 'base64')
}

/**
 * Writes payloads by hand, most of them usual, some with one or the other thing that a JSON library would write
 * differently, or that is wrong.
 */
class PayloadWriter {
  readonly #random: SeededRandom
  /** How often something unusual happens, per thousand. */
  readonly #oddity: number

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
    this.#oddity = this.#random.pick([0, 0, 3, 10, 50])
  }

  request(): string {
    const count = this.#random.between(this.#isOdd() ? 0 : 1, 4)
    const records = Array.from({ length: count }, () => this.#record())
    return this.#object([
      this.#field('topic', this.#isOdd() ? this.#pick(ODD_TOPICS) : this.#pick(['"orders"', '"a.b-c_d"', '"a"'])),
      this.#field('partition', this.#number(-1, 9)),
      this.#field('records', this.#list(records)),
      ...(this.#random.chance(0.5) ? [this.#field('acks', this.#acks())] : []),
      ...(this.#isOdd() ? [this.#field('extra', this.#pick(PLAIN_VALUES))] : []),
    ])
  }

  /** The payload with some of its bytes changed. */
  damage(payload: Buffer): Buffer {
    let damaged = payload
    for (let left = this.#random.between(1, 3); left > 0; left--) {
      const at = this.#random.below(damaged.length + 1)
      const byte = this.#random.chance(0.7) ? this.#pick([...STRUCTURE]) : this.#random.below(256)
      const inserted = this.#random.chance(0.8) ? Buffer.from([byte]) : Buffer.alloc(0)
      damaged = Buffer.concat([damaged.subarray(0, at), inserted, damaged.subarray(at + this.#random.below(2))])
    }
    return damaged
  }

  /** What may stand around the payload: whoever reads over its end finds what could belong to it. */
  neighbour(): string {
    return this.#pick(['', '"', '}', ']}', '=="}]}', ',"acks":0}', '0', 'null', 'Zm9v', '{"topic":"'])
  }

  #record(): string {
    const random = this.#random
    return this.#object([
      ...(random.chance(0.7) ? [this.#field('key', this.#text())] : []),
      ...(random.chance(0.9) ? [this.#field('value', this.#text())] : []),
      ...(random.chance(0.7) ? [this.#field('ts', this.#number(0, Number.MAX_SAFE_INTEGER))] : []),
      ...(this.#isOdd() ? [this.#field('dueAt', this.#number(NOW - 1, NOW + 1))] : []),
      ...(this.#isOdd() ? [this.#field('headers', this.#headers())] : []),
      ...(this.#isOdd() ? [this.#field('extra', this.#pick(PLAIN_VALUES))] : []),
    ])
  }

  #headers(): string {
    if (this.#isOdd()) return this.#pick(PLAIN_VALUES)
    const keys = ['"h"', '"ü"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\u0000"', '""', '1']
    const header = () => this.#object([this.#field('key', this.#pick(keys)), this.#field('value', this.#text())])
    return this.#list(Array.from({ length: this.#random.below(3) }, header))
  }

  #text(): string {
    const random = this.#random
    if (this.#isOdd()) return this.#pick(ODD_TEXTS)
    if (random.chance(0.1)) return 'null'
    const bytes = Buffer.alloc(random.chance(0.05) ? random.between(700, 800) : random.below(13))
    random.fill(bytes)
    return `"${bytes.toString('base64')}"`
  }

  #number(least: number, most: number): string {
    if (this.#isOdd()) return this.#pick(ODD_NUMBERS)
    return String(this.#random.between(least, Math.min(most, least + this.#pick([2, 1000, 2 ** 31, 2 ** 53]))))
  }

  #acks(): string {
    return this.#isOdd() ? this.#pick([...ODD_NUMBERS, '"1"']) : this.#pick(['"all"', '0', '1', '-1'])
  }

  #object(fields: string[]): string {
    const random = this.#random
    if (random.chance(0.3)) fields.reverse()
    if (fields.length > 0 && this.#isOdd()) fields.splice(random.below(fields.length), 1)
    if (fields.length > 0 && this.#isOdd()) fields.push(random.pick(fields))
    return `{${fields.join(',')}${this.#space()}}`
  }

  #list(items: readonly string[]): string {
    return `[${this.#space()}${items.join(`${this.#space()},${this.#space()}`)}]`
  }

  #field(name: string, value: string): string {
    const written = this.#isOdd() ? `\\u00${name.charCodeAt(0).toString(16)}${name.slice(1)}` : name
    return `${this.#space()}"${written}"${this.#isOdd() ? ' ' : ''}:${this.#space()}${value}${this.#space()}`
  }

  #space(): string {
    return this.#random.chance(0.2) ? this.#pick([' ', '\n  ', '\t', '\r\n']) : ''
  }

  #isOdd(): boolean {
    return this.#random.below(1000) < this.#oddity
  }

  #pick<T>(items: readonly T[]): T {
    return this.#random.pick(items)
  }
}

const STRUCTURE = Buffer.from('"\\,:{}[]=- 09An\0')
const PLAIN_VALUES = ['1', '{}', '"x"', '[]', 'null', 'true']
const ODD_TOPICS = ['"a\\"b"', '"ü"', '""', '"\\u0061"', '7', 'null']
const ODD_NUMBERS = [
  '-1',
  '-0',
  '-2',
  '007',
  '1.0',
  '1.5',
  '1e3',
  '1E400',
  '9007199254740993',
  '999999999999999',
  '+1',
  '"1"',
  'null',
  '',
]
const ODD_TEXTS = [
  '"YQ"',
  '"YR=="',
  '"\\u0059Q=="',
  '"Y\\/8="',
  '"YQ==YQ=="',
  '"Y Q="',
  '"-_8="',
  '"é"',
  '12',
  '[]',
  '{}',
  'nul',
]

const anySeed = fc.noShrink(fc.maxSafeNat())

test('whatever the payload, the result is that of JSON.parse', () => {
  const runs = 4000
  let scanned = 0
  let taken = 0
  checkProperty(
    fc.property(anySeed, (seed) => {
      const writer = new PayloadWriter(seed)
      const payload = writer.request()
      const expected = parseByReference(Buffer.from(payload))
      expect(parse(Buffer.from(payload), writer.neighbour(), writer.neighbour())).toEqual(expected)
      if (expected !== undefined) taken++
      if (scans(payload)) scanned++
    }),
    runs,
  )
  // Enough of each kind, or this tests nothing.
  expect(scanned).toBeGreaterThan(runs / 4)
  expect(taken - scanned).toBeGreaterThan(runs / 20)
  expect(runs - taken).toBeGreaterThan(runs / 20)
})

test('nor does it differ when some bytes were changed', () => {
  checkProperty(
    fc.property(anySeed, (seed) => {
      const writer = new PayloadWriter(seed)
      const payload = writer.damage(Buffer.from(writer.request()))
      expect(parse(payload, writer.neighbour(), writer.neighbour())).toEqual(parseByReference(payload))
    }),
    4000,
  )
})

test('a payload that is cut anywhere is refused', () => {
  const payload = Buffer.from(JSON.stringify({ ...USUAL, acks: 'all', records: [...USUAL.records, { value: '' }] }))
  for (let length = 0; length < payload.length; length++) {
    // The rest still lies behind the end.
    expect(parse(payload.subarray(0, length), '', payload.toString('utf8', length))).toBeUndefined()
  }
  expect(parse(payload)).toBeDefined()
})

test('arbitrary bytes are refused', () => {
  checkProperty(
    fc.property(fc.uint8Array({ maxLength: 60 }), (array) => {
      expect(parse(Buffer.from(array))).toBeUndefined()
    }),
    500,
  )
})
