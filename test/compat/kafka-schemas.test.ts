// Holds every table of src/protocols/kafka/apis/ against Apache Kafka's own message definitions: same fields, same order,
// kinds, versions, nullability, tags and defaults. The definitions are not part of this repository; they are looked for
// in a folder beside the checkout. They are read here by a small encoder that shares nothing with ours, and both must
// make the same bytes of the same values.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { ERROR_CODES, RETRIABLE_ERRORS } from '../../src/protocols/kafka/error-codes.ts'
import { beginRequest, beginResponse } from '../../src/protocols/kafka/headers.ts'
import { MalformedMessageError, Reader } from '../../src/protocols/kafka/reader.ts'
import type { AnyField, Fields } from '../../src/protocols/kafka/schema.ts'
import { Writer } from '../../src/protocols/kafka/writer.ts'
import { SeededRandom } from '../simulation/seeded-random.ts'
import type { AnyApi, AnyMessage, Direction } from '../support/kafka-apis.ts'
import { DIRECTIONS, importApis, randomScalar, versionsOf } from '../support/kafka-apis.ts'
import { checkProperty } from '../support/property.ts'

/** A field as Kafka's definitions write it down. Ranges of versions look like `3+`, `0-12`, `7` and `none`. */
interface OracleField {
  readonly name: string
  readonly type: string
  readonly versions: string
  readonly nullableVersions?: string
  readonly flexibleVersions?: string
  readonly tag?: number
  readonly taggedVersions?: string
  readonly default?: string | number | boolean
  readonly fields?: readonly OracleField[]
}

interface OracleMessage {
  readonly apiKey: number
  readonly type: Direction | 'header'
  readonly name: string
  readonly validVersions: string
  readonly flexibleVersions: string
  readonly fields: readonly OracleField[]
  readonly commonStructs?: readonly { readonly name: string; readonly fields: readonly OracleField[] }[]
}

const FOLDER = new URL('../../../shared/facts/kafka-messages/', import.meta.url)

/** Names that speak of versions which we do not serve. */
const OUR_NAMES: Record<string, string> = {
  v3AndBelowTransactionalId: 'transactionalId',
  v3AndBelowProducerId: 'producerId',
  v3AndBelowProducerEpoch: 'producerEpoch',
  v3AndBelowTopics: 'topics',
  resultsByTopicV3AndBelow: 'resultsByTopic',
}

const RUNS = 10
/** Of the places where a null may not be, so many are tried in one message. */
const NULLS_TRIED = 5

if (existsSync(FOLDER)) {
  const oracle = readOracle()
  const apis = await importApis()

  test.each(apis.map((api) => [api.name, api] as const))('the tables of %s say what Kafka says', (_name, api) => {
    for (const direction of DIRECTIONS) compareTables(api, direction, oracle)
    compareHeaders(api, oracle)
  })

  test('the error codes are those of Kafka', () => {
    const rows = JSON.parse(readFileSync(new URL('extra/errors.json', FOLDER), 'utf8')) as ErrorRow[]
    expect(ERROR_CODES).toEqual(Object.fromEntries(rows.map(({ name, code }) => [name, code])))
    expect([...RETRIABLE_ERRORS].toSorted()).toEqual(
      rows
        .filter(({ retriable }) => retriable)
        .map(({ name }) => name)
        .toSorted(),
    )
  })
} else {
  test("the tables say what Kafka's message definitions say", ({ skip }) => {
    skip('the definitions are not there: ../shared/facts/kafka-messages beside the checkout')
  })
}

interface ErrorRow {
  readonly name: string
  readonly code: number
  readonly retriable: boolean
}

function readOracle(): OracleMessage[] {
  // Those of Kafka 4.3 first; a few are only there as of an earlier version.
  const messages = ['4.3/', './'].flatMap((folder) => {
    const url = new URL(folder, FOLDER)
    const files = readdirSync(url).filter((name) => name.endsWith('.json'))
    return files.map((file) => parseWithComments(readFileSync(new URL(file, url), 'utf8')) as OracleMessage)
  })
  return messages.map((message) => (message.name === 'ConsumerGroupDescribeResponse' ? addVersion1(message) : message))
}

function parseWithComments(text: string): unknown {
  return JSON.parse(text.replace(/^\s*\/\/.*$/gm, ''))
}

/** The definition at hand of ConsumerGroupDescribe is older than its version 1, which added one field (KIP-1099). */
function addVersion1(message: OracleMessage): OracleMessage {
  const memberType = { name: 'MemberType', type: 'int8', versions: '1+', default: '-1' }
  const addTo = (fields: readonly OracleField[]): OracleField[] =>
    fields.map((field) => {
      if (field.fields === undefined) return field
      return { ...field, fields: [...addTo(field.fields), ...(field.name === 'Members' ? [memberType] : [])] }
    })
  return { ...message, fields: addTo(message.fields) }
}

function findMessage(oracle: readonly OracleMessage[], key: number, type: Direction): OracleMessage {
  const found = oracle.find((message) => message.apiKey === key && message.type === type)
  if (found === undefined) throw new Error(`Kafka's definitions have no ${type} with key ${key}`)
  return found
}

function compareTables(api: AnyApi, direction: Direction, oracle: readonly OracleMessage[]): void {
  const definition = findMessage(oracle, api.key, direction)
  expect(definition.name.toLowerCase()).toBe(`${api.name}${direction}`.toLowerCase())
  for (const version of versionsOf(api)) {
    const isOlder = definition.name.startsWith('ConsumerGroupDescribe')
    expect([version, isOlder || includes(definition.validVersions, version)]).toEqual([version, true])
    expect([version, api.isFlexible(version)]).toEqual([version, includes(definition.flexibleVersions, version)])
    const message = new OracleVersion(definition, api, version)
    checkProperty(
      fc.property(fc.nat(), (seed) => compareMessage(message, api, direction, new SeededRandom(seed))),
      RUNS,
    )
  }
}

/**
 * Same bytes from both encoders, the same value read back, no null taken where Kafka takes none, and Kafka's defaults
 * written for whatever our types allow to be left out.
 */
function compareMessage(message: OracleVersion, api: AnyApi, direction: Direction, random: SeededRandom): void {
  const value = message.random(random)
  const { bytes, nullSites } = message.encode(value)
  const back = read(api, direction, message.version, bytes)
  const complete = message.complete(value)
  // Compared by Vitest only to show the difference: that takes long.
  if (!isDeepStrictEqual(back, complete)) expect(back).toStrictEqual(complete)
  expect(write(api, direction, message.version, value).toString('hex')).toBe(bytes.toString('hex'))
  for (let left = Math.min(nullSites, NULLS_TRIED); left > 0; left--) {
    const withNull = message.encode(value, random.below(nullSites)).bytes
    expect(() => read(api, direction, message.version, withNull)).toThrow(MalformedMessageError)
  }
  const sparse = leaveOut(api[direction], value, random)
  const { bytes: sparseBytes } = message.encode(message.complete(sparse))
  expect(write(api, direction, message.version, sparse).toString('hex')).toBe(sparseBytes.toString('hex'))
}

/** The message without what our types allow to be left out: always for scalars, now and then for others. */
function leaveOut(fields: Fields, message: AnyMessage, random: SeededRandom): AnyMessage {
  const kept = Object.entries(message).filter(([name]) => {
    const { shape, modifiers } = fields[name]
    const hasParts = shape.kind === 'array' || shape.kind === 'struct'
    return !modifiers.isOptional || (hasParts && random.chance(0.5))
  })
  return Object.fromEntries(kept.map(([name, value]) => [name, leaveOutIn(fields[name], value, random)]))
}

function leaveOutIn({ shape }: AnyField, value: unknown, random: SeededRandom): unknown {
  if (value === null) return null
  if (shape.kind === 'struct') return leaveOut(shape.fields, value as AnyMessage, random)
  if (shape.kind === 'array') return (value as unknown[]).map((element) => leaveOutIn(shape.element, element, random))
  return value
}

function read(api: AnyApi, direction: Direction, version: number, bytes: Buffer): AnyMessage {
  const reader = new Reader(bytes)
  const message = direction === 'request' ? api.readRequest(reader, version) : api.readResponse(reader, version)
  expect(reader.position).toBe(bytes.length)
  return message
}

function write(api: AnyApi, direction: Direction, version: number, message: AnyMessage): Buffer {
  const writer = new Writer()
  if (direction === 'request') api.writeRequest(writer, version, message)
  else api.writeResponse(writer, version, message)
  return Buffer.concat(writer.finish())
}

function compareHeaders(api: AnyApi, oracle: readonly OracleMessage[]): void {
  const [requestHeader, responseHeader] = ['RequestHeader', 'ResponseHeader'].map((name) =>
    oracle.find((message) => message.name === name),
  )
  for (const version of versionsOf(api)) {
    const isFlexible = includes(findMessage(oracle, api.key, 'request').flexibleVersions, version)
    for (const clientId of ['client', null]) {
      const header = { apiKey: api.key, apiVersion: version, correlationId: 7, clientId }
      const request = new OracleVersion(requestHeader!, api, isFlexible ? 2 : 1)
      const { apiKey, apiVersion, ...rest } = header
      const requestBytes = request.encode({ requestApiKey: apiKey, requestApiVersion: apiVersion, ...rest }).bytes
      expect(Buffer.concat(beginRequest(api, header).finish()).subarray(4).equals(requestBytes)).toBe(true)
      // Kafka's generator makes one exception, which its definitions do not show: the response of ApiVersions.
      const response = new OracleVersion(responseHeader!, api, isFlexible && api.key !== 18 ? 1 : 0)
      const responseBytes = response.encode({ correlationId: 7 }).bytes
      expect(Buffer.concat(beginResponse(api, header).finish()).subarray(4).equals(responseBytes)).toBe(true)
    }
  }
}

/** One version of a message by Kafka's definition. Values are in the form that our tables use. */
class OracleVersion {
  readonly version: number
  readonly #message: OracleMessage
  readonly #served: readonly number[]
  readonly #isFlexible: boolean
  #chunks: Buffer[] = []
  #nullSite = -1
  #nullSites = 0

  constructor(message: OracleMessage, api: AnyApi, version: number) {
    this.version = version
    this.#message = message
    this.#served = versionsOf(api)
    this.#isFlexible = includes(message.flexibleVersions, version)
  }

  random(random: SeededRandom, fields = this.#message.fields): AnyMessage {
    return this.#build(fields, (field) => this.#randomField(field, random))
  }

  /** Adds what this version does not have, or nobody has set: the defaults. */
  complete(message: AnyMessage, fields = this.#message.fields): AnyMessage {
    const served = fields.filter((field) => this.#served.some((version) => includes(field.versions, version)))
    return Object.fromEntries(
      served.map((field) => {
        const name = ourName(field)
        if (!(name in message)) return [name, this.#defaultOf(field)]
        const inner = this.#fieldsOf(field)
        if (inner === undefined || message[name] === null) return [name, message[name]]
        if (!field.type.startsWith('[]')) return [name, this.complete(message[name] as AnyMessage, inner)]
        return [name, (message[name] as AnyMessage[]).map((element) => this.complete(element, inner))]
      }),
    )
  }

  /**
   * `nullSites` is the number of places where a null could be written and may not be; given as `nullSite`, one of them
   * gets one.
   */
  encode(message: AnyMessage, nullSite = -1): { bytes: Buffer; nullSites: number } {
    this.#chunks = []
    this.#nullSite = nullSite
    this.#nullSites = 0
    this.#struct(this.#message.fields, message)
    return { bytes: Buffer.concat(this.#chunks), nullSites: this.#nullSites }
  }

  #build(fields: readonly OracleField[], make: (field: OracleField) => unknown): AnyMessage {
    const present = fields.filter((field) => includes(field.versions, this.version))
    return Object.fromEntries(present.map((field) => [ourName(field), make(field)]))
  }

  #randomField(field: OracleField, random: SeededRandom): unknown {
    if (includes(field.nullableVersions, this.version) && random.chance(0.25)) return null
    if (field.tag !== undefined && random.chance(0.3)) return this.#defaultOf(field)
    const element = elementType(field)
    const one = () => {
      const inner = this.#fieldsOf(field)
      return inner === undefined ? randomScalar(element, random) : this.random(random, inner)
    }
    return field.type.startsWith('[]') ? Array.from({ length: random.below(4) }, one) : one()
  }

  #fieldsOf(field: OracleField): readonly OracleField[] | undefined {
    const name = elementType(field)
    return field.fields ?? this.#message.commonStructs?.find((common) => common.name === name)?.fields
  }

  #defaultOf(field: OracleField): unknown {
    if (field.default === 'null') return null
    if (field.type.startsWith('[]')) return []
    const given = field.default
    switch (field.type) {
      case 'string':
        return given ?? ''
      case 'bool':
        return String(given ?? false) === 'true'
      case 'uuid':
        return '00000000-0000-0000-0000-000000000000'
      case 'bytes':
      case 'records':
        return Buffer.alloc(0)
      default: {
        const inner = this.#fieldsOf(field)
        return inner === undefined ? Number(given ?? 0) : this.complete({}, inner)
      }
    }
  }

  #struct(fields: readonly OracleField[], message: AnyMessage): void {
    const present = fields.filter((field) => includes(field.versions, this.version))
    const tagged = present.filter((field) => includes(field.taggedVersions, this.version))
    for (const field of present) if (!tagged.includes(field)) this.#field(field, message[ourName(field)])
    if (!this.#isFlexible) return
    const written = tagged
      .filter((field) => JSON.stringify(message[ourName(field)]) !== JSON.stringify(this.#defaultOf(field)))
      .toSorted((one, other) => one.tag! - other.tag!)
    this.#uvarint(written.length)
    for (const field of written) {
      const outer = this.#chunks
      this.#chunks = []
      this.#field(field, message[ourName(field)])
      const bytes = Buffer.concat(this.#chunks)
      this.#chunks = outer
      this.#uvarint(field.tag!)
      this.#uvarint(bytes.length)
      this.#chunks.push(bytes)
    }
  }

  #field(field: OracleField, value: unknown): void {
    const isCompact = this.#isFlexible && field.flexibleVersions !== 'none'
    const inner = this.#fieldsOf(field)
    const isNullable = includes(field.nullableVersions, this.version)
    if (field.type.startsWith('[]')) {
      const elements = this.#orNull(value, isNullable) as unknown[] | null
      this.#length(elements === null ? -1 : elements.length, 4, isCompact)
      for (const element of elements ?? []) this.#value(elementType(field), inner, element, isCompact, false)
      return
    }
    if (inner !== undefined && isNullable) this.#integer(1, value === null ? -1n : 1n)
    if (inner === undefined || value !== null) this.#value(field.type, inner, value, isCompact, isNullable)
  }

  #value(
    type: string,
    inner: readonly OracleField[] | undefined,
    value: unknown,
    isCompact: boolean,
    isNullable: boolean,
  ): void {
    if (inner !== undefined) return this.#struct(inner, value as AnyMessage)
    switch (type) {
      case 'string':
      case 'bytes':
      case 'records': {
        const content = this.#orNull(value, isNullable) as string | Buffer | null
        const bytes = content === null ? Buffer.alloc(0) : Buffer.from(content as string)
        this.#length(content === null ? -1 : bytes.length, type === 'string' ? 2 : 4, isCompact)
        this.#chunks.push(bytes)
        return
      }
      case 'bool':
        return this.#integer(1, value === true ? 1n : 0n)
      case 'uuid':
        this.#chunks.push(Buffer.from((value as string).replaceAll('-', ''), 'hex'))
        return
      case 'float64': {
        const bytes = Buffer.alloc(8)
        bytes.writeDoubleBE(value as number)
        this.#chunks.push(bytes)
        return
      }
      default:
        return this.#integer(Number(/\d+$/.exec(type)![0]) / 8, BigInt(value as number))
    }
  }

  /** The value, unless this is the place where a null that may not be is wanted. */
  #orNull(value: unknown, isNullable: boolean): unknown {
    if (isNullable) return value
    return this.#nullSites++ === this.#nullSite ? null : value
  }

  #length(length: number, bytes: number, isCompact: boolean): void {
    if (isCompact) this.#uvarint(length + 1)
    else this.#integer(bytes, BigInt(length))
  }

  #integer(bytes: number, value: bigint): void {
    const hex = BigInt.asUintN(bytes * 8, value).toString(16)
    this.#chunks.push(Buffer.from(hex.padStart(bytes * 2, '0'), 'hex'))
  }

  #uvarint(value: number): void {
    const bytes: number[] = []
    for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) + 128)
    this.#chunks.push(Buffer.from([...bytes, value]))
  }
}

function elementType(field: OracleField): string {
  return field.type.replace('[]', '')
}

function ourName(field: OracleField): string {
  const name = field.name.charAt(0).toLowerCase() + field.name.slice(1)
  return OUR_NAMES[name] ?? name
}

function includes(range: string | undefined, version: number): boolean {
  if (range === undefined || range === 'none') return false
  const [, first, end] = /^(\d+)(\+|-\d+)?$/.exec(range)!
  if (end === '+') return version >= Number(first)
  return version >= Number(first) && version <= Number(end === undefined ? first : end.slice(1))
}
