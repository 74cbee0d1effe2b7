// Writing a FETCH answer: the encoder's bytes against decoding into objects and JSON.stringify.
import { decodeRecords, getBatchBytes, RecordBatchBuilder } from '../../src/record/record-batch.ts'
import { RecordEncoder } from '../../src/protocols/json/record-encoder.ts'
import { FRAME_HEADER_BYTES } from '../../src/protocols/json/wire.ts'
import { compare } from './compare.ts'

const NOW = 1_700_000_000_000
const PARTITION = { highWatermark: 1000, logStartOffset: 0 }
const PAYLOAD_BYTES_MAX = 10 * 1024 * 1024

for (const [batchCount, records, valueBytes] of [
  [1, 1, 100],
  [1, 100, 100],
  [90, 100, 100],
  [10, 100, 1024],
] as const) {
  const builder = new RecordBatchBuilder(4 << 20)
  const value = Buffer.alloc(valueBytes, 'cafelog')
  const batches = Buffer.concat(
    Array.from({ length: batchCount }, () => {
      builder.begin()
      for (let index = 0; index < records; index++) builder.add(Buffer.from(`key-${index}`), value, NOW + index)
      return builder.finish()
    }),
  )
  // Two of the same, in turns: the encoder gives the last answer again to whoever asks for the same batches.
  const twins = [batches, Buffer.from(batches)]
  let turn = 0
  const encoder = new RecordEncoder()
  const encode = () => {
    turn ^= 1
    const answer = encoder.encode(twins[turn], 0, PARTITION, PAYLOAD_BYTES_MAX)
    answer.release()
    return answer.frame.subarray(FRAME_HEADER_BYTES)
  }
  if (!encode().equals(encodePlainly(batches))) throw new Error('the two ways do not agree')
  const title = `FETCH answer of ${batchCount} × ${records} × ${valueBytes} B, ${encode().length} bytes of JSON`
  compare(title, { name: 'record', perRun: batchCount * records }, [
    { name: 'objects and JSON.stringify', run: () => encodePlainly(batches) },
    { name: 'RecordEncoder', run: encode },
  ])
}

function encodePlainly(batches: Buffer): Buffer {
  const records: object[] = []
  for (let at = 0; at < batches.length; at += getBatchBytes(batches, at)) {
    for (const { offset, key, value, timestamp } of decodeRecords(batches, at)) {
      records.push({
        offset,
        key: key?.toString('base64') ?? null,
        value: value?.toString('base64') ?? null,
        ts: timestamp,
      })
    }
  }
  return Buffer.from(JSON.stringify({ records, ...PARTITION }))
}
