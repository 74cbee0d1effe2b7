import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { checkProperty } from '../../test/support/property.ts'
import { BASE64_SLACK_BYTES, countDecodedBytes, countEncodedCharacters, decodeBase64, encodeBase64 } from './base64.ts'
import { viewBytes } from './bytes.ts'

/** Decodes `text`, with something before and a quotation mark behind it; undefined if it is not well formed. */
function decode(text: string): Buffer | undefined {
  const source = viewBytes(Buffer.from(`{"${text}"}`, 'latin1'))
  const target = viewBytes(Buffer.alloc(Math.ceil(text.length * 0.75) + BASE64_SLACK_BYTES + 3, 0x55))
  const end = decodeBase64(source, 2, source.buffer.length, target, 3)
  expect(target.buffer.toString('latin1', 0, 3)).toBe('UUU')
  if (end !== 2 + text.length) return undefined
  // The same when the text is all there is.
  expect(decodeBase64(source, 2, end, target, 3)).toBe(end)
  return target.buffer.subarray(3, 3 + countDecodedBytes(source.buffer, 2, end))
}

/** What Node makes of the text, if that is the one text for these bytes. */
function decodeByNode(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : undefined
}

function encode(bytes: Buffer): string {
  const source = viewBytes(Buffer.concat([Buffer.from('<'), bytes, Buffer.from('>')]))
  const characters = countEncodedCharacters(bytes.length)
  const target = viewBytes(Buffer.alloc(characters + BASE64_SLACK_BYTES + 3, 0x55))
  expect(encodeBase64(source, 1, 1 + bytes.length, target, 3)).toBe(3 + characters)
  return target.buffer.toString('latin1', 3, 3 + characters)
}

// RFC 4648, section 10.
test.each([
  ['', ''],
  ['f', 'Zg=='],
  ['fo', 'Zm8='],
  ['foo', 'Zm9v'],
  ['foob', 'Zm9vYg=='],
  ['fooba', 'Zm9vYmE='],
  ['foobar', 'Zm9vYmFy'],
])('%j is %j', (text, encoded) => {
  expect(encode(Buffer.from(text))).toBe(encoded)
  expect(decode(encoded)?.toString()).toBe(text)
})

test.each([
  ['Zg', 'no padding'],
  ['Zg=', 'half the padding'],
  ['Zm8', 'no padding'],
  ['Zg===', 'too much padding'],
  ['====', 'nothing but padding'],
  ['Z===', 'one character'],
  ['Zg==Zg==', 'padding in the middle'],
  ['Zm8=Zm8=', 'padding in the middle'],
  ['Zh==', 'bits that no byte holds'],
  ['Zm9=', 'bits that no byte holds'],
  ['Zm9v\n', 'a line end'],
  ['Zm 9', 'a space'],
  ['Zm-_', 'the alphabet for URLs'],
  ['Zm9é', 'a letter that is none'],
  ['Zm9\0', 'a zero byte'],
])('%j is refused: %s', (text) => {
  expect(decode(text)).toBeUndefined()
})

// Short texts take another way than long ones: some lengths on each side of each border.
const LENGTHS = [0, 1, 2, 3, 4, 5, 100, 383, 384, 385, 386, 765, 766, 767, 768, 769, 770, 771, 1500, 5000]

test.each(LENGTHS)('%d bytes there and back', (length) => {
  const bytes = Buffer.from(Array.from({ length }, (_, index) => (index * 197 + (index >> 8)) & 0xff))
  expect(encode(bytes)).toBe(bytes.toString('base64'))
  expect(decode(bytes.toString('base64'))).toEqual(bytes)
})

// What is longer than 49,152 bytes is done in pieces.
test.each([49_151, 49_152, 49_153, 49_155, 98_304, 150_001])('%d bytes there and back', (length) => {
  const bytes = Buffer.alloc(length, 'any text')
  expect(encode(bytes) === bytes.toString('base64')).toBe(true)
  expect(decode(bytes.toString('base64'))?.equals(bytes)).toBe(true)
})

test('a fault in any piece of a long text is found', () => {
  const text = Buffer.alloc(150_000, 0xa7).toString('base64')
  for (const at of [0, 65_535, 65_536, 65_537, 131_072, text.length - 5, text.length - 1]) {
    for (const wrong of ['-', '=', '\n', '!']) {
      expect(decode(text.slice(0, at) + wrong + text.slice(at + 1))).toBeUndefined()
    }
  }
})

test('any bytes come back', () => {
  checkProperty(
    fc.property(fc.uint8Array({ maxLength: 2000, size: 'max' }), (array) => {
      const bytes = Buffer.from(array)
      expect(encode(bytes)).toBe(bytes.toString('base64'))
      expect(decode(encode(bytes))).toEqual(bytes)
    }),
    100,
  )
})

test('a text is taken if Node makes it again of the bytes it stands for, wherever it was changed', () => {
  const characters = fc.constantFrom('A', 'z', 'Q', '/', '+', '=', '-', '_', ' ', '\n', '"', 'é', '\0', '\\')
  const texts = fc.tuple(fc.constantFrom(...LENGTHS), fc.array(fc.tuple(fc.nat(), characters), { maxLength: 3 }))
  checkProperty(
    fc.property(texts, ([length, changes]) => {
      const text = Buffer.alloc(length, 0xa7).toString('base64').split('')
      for (const [at, character] of changes) if (text.length > 0) text[at % text.length] = character
      // A quotation mark ends the text, so there is another one.
      const changed = text.join('').replaceAll('"', '!')
      expect(decode(changed)).toEqual(decodeByNode(changed))
    }),
    500,
  )
})

test('arbitrary characters are never read over the end', () => {
  checkProperty(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.nat(40), (array, nearEnd) => {
      const source = viewBytes(Buffer.from(array))
      const end = Math.min(nearEnd, array.length)
      const target = viewBytes(Buffer.alloc(30 + BASE64_SLACK_BYTES))
      const textEnd = decodeBase64(source, 0, end, target, 0)
      expect(textEnd).toBeLessThanOrEqual(end)
    }),
    500,
  )
})
