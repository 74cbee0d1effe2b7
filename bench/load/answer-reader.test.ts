import { expect, test } from 'vitest'
import { encodeFrame } from '../wire.ts'
import { AnswerReader } from './answer-reader.ts'

const ANSWERS = Buffer.concat([
  encodeFrame(2, { topic: 'orders', partition: 0, baseOffset: 0, numRecords: 1, highWatermark: 1 }),
  encodeFrame(2, { error: { code: 'OFFSET_OUT_OF_RANGE', message: 'Cannot …' } }),
  encodeFrame(5, {}),
  Buffer.from([2, 0, 0, 0, 12, ...Buffer.from('{"error":tru')]),
  encodeFrame(2, { ok: true }),
])
const CODES = [undefined, 'OFFSET_OUT_OF_RANGE', undefined, 'UNREADABLE_ANSWER', undefined]

test.each([1, 2, 3, 7, 64, ANSWERS.length])('answers are found in pieces of %d bytes', (pieceBytes) => {
  const reader = new AnswerReader()
  const codes: (string | undefined)[] = []
  for (let at = 0; at < ANSWERS.length; at += pieceBytes) {
    reader.push(Buffer.from(ANSWERS.subarray(at, at + pieceBytes)), (code) => codes.push(code))
  }
  expect(codes).toEqual(CODES)
})
