// Building a record batch: the arena builder against the plainest way, one Buffer a record and Buffer.concat.
import { crc32c } from '../../src/base/crc32c.ts'
import { varintBytes, writeVarint } from '../../src/base/varint.ts'
import { BATCH_HEADER_BYTES, RecordBatchBuilder } from '../../src/record/record-batch.ts'
import { compare } from './compare.ts'

const TIMESTAMP = 1_700_000_000_000

for (const [records, valueBytes] of [
  [1, 100],
  [100, 100],
  [100, 1024],
] as const) {
  const key = Buffer.from('key-0001')
  const value = Buffer.alloc(valueBytes, 'v')
  const builder = new RecordBatchBuilder()
  const build = () => {
    builder.reset()
    builder.begin()
    for (let index = 0; index < records; index++) builder.add(key, value, TIMESTAMP + index)
    return builder.finish()
  }
  if (buildPlainly(key, value, records).length !== build().length) throw new Error('the two ways do not agree')
  compare(`Batch of ${records} × ${valueBytes} B`, { name: 'record', perRun: records }, [
    { name: 'one Buffer a record', run: () => buildPlainly(key, value, records) },
    { name: 'RecordBatchBuilder', run: build },
  ])
}

function buildPlainly(key: Buffer, value: Buffer, count: number): Buffer {
  const records = Array.from({ length: count }, (_, index) => {
    const body = Buffer.concat([
      Buffer.from([0]),
      varint(index),
      varint(index),
      varint(key.length),
      key,
      varint(value.length),
      value,
      varint(0),
    ])
    return Buffer.concat([varint(body.length), body])
  })
  const batch = Buffer.concat([Buffer.alloc(BATCH_HEADER_BYTES), ...records])
  batch.writeInt32BE(batch.length - 12, 8)
  batch.writeBigInt64BE(BigInt(TIMESTAMP), 27)
  batch.writeUInt32BE(crc32c(batch, 21, batch.length), 17)
  return batch
}

function varint(value: number): Buffer {
  const bytes = Buffer.alloc(varintBytes(value))
  writeVarint(bytes, 0, value)
  return bytes
}
