import { expect, expectTypeOf, test } from 'vitest'
import { AssertionError } from '../../base/assert.ts'
import type { Api, RequestOf, ResponseOf } from './api.ts'
import { compileReader, compileWriter } from './compile.ts'
import { generateReader } from './generate-reader.ts'
import { generateWriter } from './generate-writer.ts'
import type { MessageForm } from './layout.ts'
import { MalformedMessageError, Reader } from './reader.ts'
import type { Fields, ReadMessage, WrittenMessage } from './schema.ts'
import { array, bool, bytes, int16, int32, int64, int8, string, struct, uuid } from './schema.ts'
import { Writer } from './writer.ts'

const flexible = (version: number): MessageForm => ({ name: `TestV${version}`, version, isFlexible: true })
const classic = (version: number): MessageForm => ({ name: `TestV${version}`, version, isFlexible: false })

function read<F extends Fields>(fields: F, form: MessageForm, hex: string): ReadMessage<F> {
  return compileReader(fields, form)(new Reader(Buffer.from(hex.replaceAll(' ', ''), 'hex')))
}

function write<F extends Fields>(fields: F, form: MessageForm, message: WrittenMessage<F>): string {
  const writer = new Writer()
  compileWriter(fields, form)(writer, message)
  return Buffer.concat(writer.finish()).toString('hex')
}

const EXAMPLE = {
  throttleTimeMs: int32.since(1).default(0),
  topics: array({
    name: string,
    partitions: array(int32).nullableSince(2),
    leader: struct({ id: int32.default(-1) })
      .tag(0)
      .since(2),
  }),
}

test('a table becomes a reader that one might have written by hand', () => {
  expect(generateReader(EXAMPLE, flexible(2))).toMatchInlineSnapshot(`
    "'use strict'
    function readTopicsPartitionsArray(reader) {
      const count = reader.compactNullableArrayCount(4)
      if (count < 0) return null
      const elements = []
      for (let index = 0; index < count; index++) elements.push(reader.int32())
      return elements
    }
    function readTopicsLeader(reader) {
      const message = {
        id: reader.int32(),
      }
      reader.skipTaggedFields()
      return message
    }
    function readTopics(reader) {
      const message = {
        name: reader.compactString(),
        partitions: readTopicsPartitionsArray(reader),
        leader: { id: -1 },
      }
      for (let left = reader.uvarint(); left > 0; left--) {
        const tag = reader.uvarint()
        const outerEnd = reader.enter(reader.uvarint())
        switch (tag) {
          case 0: message.leader = readTopicsLeader(reader); break
        }
        reader.leave(outerEnd)
      }
      return message
    }
    function readTopicsArray(reader) {
      const count = reader.compactArrayCount(3)
      const elements = []
      for (let index = 0; index < count; index++) elements.push(readTopics(reader))
      return elements
    }
    function readTestV2(reader) {
      const message = {
        throttleTimeMs: reader.int32(),
        topics: readTopicsArray(reader),
      }
      reader.skipTaggedFields()
      return message
    }
    return readTestV2"
  `)
})

test('a table becomes a writer that one might have written by hand', () => {
  expect(generateWriter(EXAMPLE, flexible(2))).toMatchInlineSnapshot(`
    "'use strict'
    function writeTopicsPartitionsArray(writer, elements) {
      if (elements === null) return writer.compactArrayCount(-1)
      writer.compactArrayCount(elements.length)
      for (let index = 0; index < elements.length; index++) writer.int32(elements[index])
    }
    function writeTopicsLeader(writer, message) {
      writer.int32(message.id === undefined ? -1 : message.id)
      writer.uvarint(0)
    }
    function writeTopics(writer, message) {
      writer.compactString(message.name)
      writeTopicsPartitionsArray(writer, message.partitions)
      const hasLeader = !(message.leader === undefined || (message.leader.id === undefined || message.leader.id === -1))
      writer.uvarint(Number(hasLeader))
      if (hasLeader) {
        const begin = writer.beginTaggedField(0)
        writeTopicsLeader(writer, message.leader)
        writer.endTaggedField(begin)
      }
    }
    function writeTopicsArray(writer, elements) {
      writer.compactArrayCount(elements.length)
      for (let index = 0; index < elements.length; index++) writeTopics(writer, elements[index])
    }
    function writeTestV2(writer, message) {
      writer.int32(message.throttleTimeMs === undefined ? 0 : message.throttleTimeMs)
      writeTopicsArray(writer, message.topics)
      writer.uvarint(0)
    }
    return writeTestV2"
  `)
})

test('fields are there in their versions, and have their defaults in others', () => {
  const fields = { always: int8, later: int16.since(2).default(-1), once: bool.in('1'), between: string.in('1-2') }
  expect(read(fields, classic(0), '05')).toEqual({ always: 5, later: -1, once: false, between: '' })
  expect(read(fields, classic(1), '05 01 0001 61')).toEqual({ always: 5, later: -1, once: true, between: 'a' })
  expect(read(fields, classic(2), '05 0007 0001 61')).toEqual({ always: 5, later: 7, once: false, between: 'a' })
  expect(read(fields, classic(3), '05 0007')).toEqual({ always: 5, later: 7, once: false, between: '' })
  const message = { always: 5, later: 7, once: true, between: 'a' }
  expect(write(fields, classic(0), message)).toBe('05')
  expect(write(fields, classic(1), message)).toBe('05 01 000161'.replaceAll(' ', ''))
  expect(write(fields, classic(3), message)).toBe('05 0007'.replaceAll(' ', ''))
})

test('flexible versions are compact and have room for tagged fields after every struct', () => {
  const fields = { names: array(string), structs: array({ value: bytes }) }
  const message = { names: ['a'], structs: [{ value: Buffer.from([9]) }] }
  expect(write(fields, classic(0), message)).toBe('00000001 0001 61 00000001 00000001 09'.replaceAll(' ', ''))
  expect(write(fields, flexible(0), message)).toBe('02 02 61 02 02 09 00 00'.replaceAll(' ', ''))
})

test('what may be left out is written as its default', () => {
  const fields = {
    a: int32.default(-1),
    b: string.nullable.default(null),
    c: array(int8).default([]),
    d: bool.default(true),
  }
  expect(write(fields, classic(0), {})).toBe('ffffffff ffff 00000000 01'.replaceAll(' ', ''))
  expect(write(fields, classic(0), { a: undefined, b: undefined })).toBe(
    'ffffffff ffff 00000000 01'.replaceAll(' ', ''),
  )
  expect(write(fields, classic(0), { a: 0, b: '', d: false })).toBe('00000000 0000 00000000 00'.replaceAll(' ', ''))
})

test('nulls are read and written from the version on that has them', () => {
  const fields = { name: string.nullableSince(1), parts: array(int8).nullableSince(1) }
  expect(read(fields, classic(1), 'ffff ffffffff')).toEqual({ name: null, parts: null })
  expect(() => read(fields, classic(0), 'ffff 00000000')).toThrow(MalformedMessageError)
  expect(() => read(fields, classic(0), '0000 ffffffff')).toThrow(MalformedMessageError)
  expect(write(fields, classic(1), { name: null, parts: null })).toBe('ffffffffffff')
  expect(write(fields, classic(0), { name: null, parts: null })).toBe('000000000000')
})

test('a nullable struct begins with a byte that says whether it is there', () => {
  const fields = { inner: struct({ value: int8 }).nullable }
  expect(read(fields, flexible(0), 'ff 00')).toEqual({ inner: null })
  expect(read(fields, flexible(0), '01 07 00 00')).toEqual({ inner: { value: 7 } })
  expect(write(fields, flexible(0), { inner: null })).toBe('ff00')
  expect(write(fields, flexible(0), { inner: { value: 7 } })).toBe('01070000')
})

const TAGGED = {
  plain: int8,
  number: int64.tag(3).default(-1),
  text: string.nullable.tag(0).default(null),
  names: array(string).tag(1),
  inner: struct({ id: int32.default(-1), name: string.default('') }).tag(2),
  flag: bool.tag(4),
  id: uuid.tag(5),
}
const NOTHING_TAGGED = {
  plain: 7,
  number: -1,
  text: null,
  names: [],
  inner: { id: -1, name: '' },
  flag: false,
  id: '00000000-0000-0000-0000-000000000000',
}

test('tagged fields are written when they are not the default, by ascending tag', () => {
  expect(write(TAGGED, flexible(0), { plain: 7 })).toBe('0700')
  expect(write(TAGGED, flexible(0), NOTHING_TAGGED)).toBe('0700')
  const message = { plain: 7, number: 5, text: 'a', names: ['b'], inner: { id: 1 }, flag: true }
  expect(write(TAGGED, flexible(0), message)).toBe(
    '07 05 00 02 0261 01 03 020262 02 06 00000001 01 00 03 08 0000000000000005 04 01 01'.replaceAll(' ', ''),
  )
})

test('tagged fields are read in any order, the missing ones are defaults, unknown ones are passed over', () => {
  expect(read(TAGGED, flexible(0), '07 00')).toEqual(NOTHING_TAGGED)
  expect(read(TAGGED, flexible(0), '07 03 03 08 0000000000000005 c801 02 ffff 00 02 0261')).toEqual({
    ...NOTHING_TAGGED,
    number: 5,
    text: 'a',
  })
})

test('a tagged field ends where its size says', () => {
  // A newer client may have put more into it than we know of.
  expect(read(TAGGED, flexible(0), '07 02 02 09 00000001 0261 00 ffff 04 01 01')).toMatchObject({ flag: true })
  expect(() => read(TAGGED, flexible(0), '07 01 03 07 0000000000000005')).toThrow(MalformedMessageError)
  expect(() => read(TAGGED, flexible(0), '07 01 03 09 0000000000000005')).toThrow(MalformedMessageError)
})

test('bytes after the message are left alone', () => {
  const reader = new Reader(Buffer.from('050102', 'hex'))
  expect(compileReader({ value: int8 }, classic(0))(reader)).toEqual({ value: 5 })
  expect(reader.position).toBe(1)
})

test('tables that would not work are mistakes of ours', () => {
  expect(() => generateReader({ list: array({}) }, classic(0))).toThrow(AssertionError)
  expect(() => generateReader({ list: array({ later: int8.since(1) }) }, classic(0))).toThrow(AssertionError)
  expect(() => generateWriter({ tagged: int8.tag(0) }, classic(0))).toThrow(AssertionError)
  expect(() => int8.in('3-1')).toThrow(AssertionError)
  expect(() => int8.in('3+')).toThrow(AssertionError)
})

test('messages have the types of their tables', () => {
  type Example = Api<typeof EXAMPLE, typeof EXAMPLE>
  expectTypeOf<RequestOf<Example>>().branded.toEqualTypeOf<{
    readonly throttleTimeMs: number
    readonly topics: readonly {
      readonly name: string
      readonly partitions: readonly number[] | null
      readonly leader: { readonly id: number }
    }[]
  }>()
  expectTypeOf<ResponseOf<Example>>().branded.toEqualTypeOf<{
    readonly throttleTimeMs?: number | undefined
    readonly topics: readonly {
      readonly name: string
      readonly partitions: readonly number[] | null
      readonly leader?: { readonly id?: number | undefined } | undefined
    }[]
  }>()
})
