import { expect, test } from 'vitest'

import { buildBatch, compressBatch, editBatch } from '../../test/support/batches.ts'
import { BATCH_HEADER_BYTES, setBaseOffset, UNPACKED_BYTES_MAX } from './record-batch.ts'
import { AheadUnpacker } from './ahead-unpacker.ts'

/** A batch that stays large however it is compressed. */
function largeBatch(baseOffset = 0): Buffer {
  let seed = 7
  const numbers = Array.from({ length: 30_000 }, () => (seed = (seed * 48_271) % 2_147_483_647))
  const batch = buildBatch([{ value: numbers.join(), timestamp: 1.7e12 }])
  setBaseOffset(batch, 0, baseOffset)
  return batch
}

const plainRecords = largeBatch().subarray(BATCH_HEADER_BYTES)

test('large batches of gzip are decompressed, from the offset on that is asked for', async () => {
  const unpacker = new AheadUnpacker(UNPACKED_BYTES_MAX)
  const first = compressBatch(largeBatch(0), 'gzip')
  const second = compressBatch(largeBatch(1), 'gzip')
  const small = compressBatch(buildBatch([{ value: 'small', timestamp: 1.7e12 }]), 'gzip')
  const batches = Buffer.concat([first, second, small])
  const all = await unpacker.unpack(batches, 0)
  expect([...(all ?? [])].map(([at]) => at)).toEqual([0, first.length])
  expect(all?.get(0)?.equals(plainRecords)).toBe(true)
  const later = await unpacker.unpack(batches, 1)
  expect([...(later ?? [])].map(([at]) => at)).toEqual([first.length])
  expect(unpacker.unpack(batches, 2)).toBeUndefined()
})

test('what is quick, not compressed, or a mark is left to the encoder', () => {
  const unpacker = new AheadUnpacker(UNPACKED_BYTES_MAX)
  for (const codec of ['none', 'snappy', 'lz4'] as const) {
    expect(unpacker.unpack(compressBatch(largeBatch(), codec), 0)).toBeUndefined()
  }
  const mark = editBatch(compressBatch(largeBatch(), 'gzip'), (bytes) => bytes.writeInt16BE(0x21, 21))
  expect(unpacker.unpack(mark, 0)).toBeUndefined()
})

test('who asks for the same shares it, and no more than four are at work', async () => {
  const unpacker = new AheadUnpacker(UNPACKED_BYTES_MAX)
  const batch = compressBatch(largeBatch(), 'gzip')
  const done = unpacker.unpack(batch, 0)
  expect(unpacker.unpack(batch, 0)).toBe(done)
  const others = Array.from({ length: 5 }, () => unpacker.unpack(Buffer.from(batch), 0))
  expect(others.map((other) => other !== undefined)).toEqual([true, true, true, false, false])
  await Promise.all([done, ...others])
  expect(unpacker.unpack(batch, 0)).toBeDefined()
})

test('batches that are damaged or grow too large are left to the encoder, which complains', async () => {
  const batch = compressBatch(largeBatch(), 'gzip')
  const damaged = editBatch(batch, (bytes) => bytes.fill(0x7f, BATCH_HEADER_BYTES + 20))
  expect(await new AheadUnpacker(UNPACKED_BYTES_MAX).unpack(damaged, 0)).toEqual(new Map())
  expect(await new AheadUnpacker(1000).unpack(batch, 0)).toEqual(new Map())
})
