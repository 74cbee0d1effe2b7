import { BASE64_SLACK_BYTES, encodeBase64 } from '../src/base/base64.ts'
import { viewBytes } from '../src/base/bytes.ts'
import { FRAME_PAYLOAD_BYTES_MAX } from '../src/protocols/json/wire.ts'
import type { ProducerBatch } from './partition-queue.ts'

/** When a batch counts as in the log: never asked, when it is written, or when it is on stable storage. */
export type Acks = 0 | 1 | 'all'

/** What a batch costs in the text of a request besides its base64: topic names have at most 249 characters. */
const ENTRY_TEXT_BYTES_MAX = 320
/** The largest batch that fits into a frame. */
export const BATCH_BYTES_MAX = Math.floor(((FRAME_PAYLOAD_BYTES_MAX - 2 * ENTRY_TEXT_BYTES_MAX) * 3) / 4)

/** The payload of a PRODUCE_BATCHES, as text in bytes; the batches are finished, and lie in it as base64. */
export function encodeProduceBatches(acks: Acks, batches: readonly ProducerBatch[]): Buffer {
  const head = `{"acks":${JSON.stringify(acks)},"batches":[`
  let bytesMax = head.length + 2 + BASE64_SLACK_BYTES
  for (const { sizeBytes } of batches) bytesMax += ENTRY_TEXT_BYTES_MAX + Math.ceil(sizeBytes / 3) * 4
  const target = viewBytes(Buffer.allocUnsafeSlow(bytesMax))
  const { buffer } = target
  let at = buffer.latin1Write(head, 0, head.length)
  batches.forEach(({ queue, bytes }, index) => {
    if (bytes === undefined) return
    const comma = index === 0 ? '' : ','
    const start = `${comma}{"topic":${JSON.stringify(queue.topic)},"partition":${queue.partition},"batch":"`
    at += buffer.latin1Write(start, at, start.length)
    at = encodeBase64(viewBytes(bytes), 0, bytes.length, target, at)
    at += buffer.latin1Write('"}', at, 2)
  })
  at += buffer.latin1Write(']}', at, 2)
  return buffer.subarray(0, at)
}
