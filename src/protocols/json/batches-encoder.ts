import { assert } from '../../base/assert.ts'
import { BASE64_SLACK_BYTES, countEncodedCharacters, encodeBase64 } from '../../base/base64.ts'
import type { BufferPool } from '../../base/buffer-pool.ts'
import { viewBytes } from '../../base/bytes.ts'
import { FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX, FRAME_TYPES } from './wire.ts'

// {"partitions":[{"topic":"orders","partition":0,"highWatermark":9,"logStartOffset":0,"batches":"AAAA…"},
// {"topic":"orders","partition":7,"error":{…}}]}
const BEGINS = '{"partitions":['
const ENDS = ']}'

/** A partition in the answer to a FETCH_BATCHES: ASCII JSON before and after the base64 of `batches`. */
export interface AnswerPart {
  readonly before: string
  readonly batches: Buffer
  readonly after: string
}

/** An answer in memory that is only lent. */
export interface EncodedBatches {
  /** The whole frame, header and payload. Good until `release`. */
  readonly frame: Buffer
  release(): void
}

/** Writes the answer to a FETCH_BATCHES, whose parts fit into a frame. */
export function encodeBatches(pool: BufferPool, parts: readonly AnswerPart[]): EncodedBatches {
  const payloadBytes = countPayloadBytes(parts)
  assert(payloadBytes <= FRAME_PAYLOAD_BYTES_MAX, 'limits.ts leaves room for what stands beside the batches')
  const buffer = pool.take(FRAME_HEADER_BYTES + payloadBytes + BASE64_SLACK_BYTES)
  const target = viewBytes(buffer)
  const putText = (text: string) => {
    at += buffer.latin1Write(text, at, text.length)
  }
  buffer[0] = FRAME_TYPES.FETCH_BATCHES
  buffer.writeUInt32BE(payloadBytes, 1)
  let at = FRAME_HEADER_BYTES
  putText(BEGINS)
  for (const [index, { before, batches, after }] of parts.entries()) {
    putText(index === 0 ? before : `,${before}`)
    if (batches.length > 0) at = encodeBase64(viewBytes(batches), 0, batches.length, target, at)
    putText(after)
  }
  putText(ENDS)
  return { frame: buffer.subarray(0, at), release: () => pool.giveBack(buffer) }
}

function countPayloadBytes(parts: readonly AnswerPart[]): number {
  let bytes = BEGINS.length + Math.max(0, parts.length - 1) + ENDS.length
  for (const { before, batches, after } of parts) {
    bytes += before.length + countEncodedCharacters(batches.length) + after.length
  }
  return bytes
}
