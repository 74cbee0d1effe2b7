import { expect, test } from 'vitest'

import { hashKey, KeyOffsets } from './key-offsets.ts'

function hash(text: string): string {
  const words = new Int32Array(4)
  const key = Buffer.from(`..${text}..`)
  hashKey(key, 2, key.length - 2, words)
  return [...words].map((word) => (word >>> 0).toString(16).padStart(8, '0')).join('')
}

test('keys are hashed with MurmurHash3 x86 128', () => {
  expect(hash('')).toBe('00000000000000000000000000000000')
  expect(hash("I will not buy this tobacconist's, it is scratched.")).toBe('9b5b7ba2ef3f7866889adeaf00f3f98e')
})

test('the newest offset of every key is kept, beyond 32 bits too', () => {
  const offsets = new KeyOffsets(10_000, 1 << 20)
  const key = (index: number) => Buffer.from(`key ${'x'.repeat(index % 40)} ${index}`)
  const from = 2 ** 40
  for (let index = 0; index < 10_000; index++) offsets.set(key(index), 0, key(index).length, index)
  for (let index = 0; index < 10_000; index += 3) offsets.set(key(index), 0, key(index).length, from + index)
  const wrong = Array.from({ length: 10_000 }, (_, index) => index).filter((index) => {
    return offsets.get(key(index), 0, key(index).length) !== (index % 3 === 0 ? from + index : index)
  })
  expect(wrong).toEqual([])
  expect(offsets.count).toBe(10_000)
  expect(offsets.get(Buffer.from('none'), 0, 4)).toBe(-1)
  const edge = [2 ** 32 - 2, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 2, 0]
  for (const offset of edge) {
    offsets.set(Buffer.from('edge'), 0, 4, offset)
    expect(offsets.get(Buffer.from('edge'), 0, 4)).toBe(offset)
  }
})

test('it takes no more memory than it may, and says when it is full', () => {
  const offsets = new KeyOffsets(1_000_000, 24 * 1000)
  expect(offsets.room).toBe(800)
  let count = 0
  for (; offsets.room > 0; count++) offsets.set(Buffer.from(String(count)), 0, String(count).length, count)
  expect(count).toBe(800)
  expect(new KeyOffsets(10, 1 << 30).room).toBeLessThan(100)
})
