import { FRAME_HEADER_BYTES } from '../../src/protocols/json/wire.ts'
import { findFrameEnd } from '../wire.ts'

/** An answer that says `error` begins so; the broker writes it as the payload's only member. */
const ERROR_START = Buffer.from('{"error"')

/** Cuts what a connection receives into answers and finds the refusals among them. */
export class AnswerReader {
  #rest: Buffer = Buffer.alloc(0)

  /**
   * Calls `onAnswer` for every answer that is complete now: `code` is undefined for a success, else the error's code.
   * Payloads of successes are not looked into.
   */
  push(chunk: Buffer, onAnswer: (code: string | undefined) => void): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let at = 0
    for (let end = findFrameEnd(bytes); end !== undefined; end = findFrameEnd(bytes, at)) {
      onAnswer(findErrorCode(bytes, at + FRAME_HEADER_BYTES, end))
      at = end
    }
    this.#rest = bytes.subarray(at)
  }
}

function findErrorCode(bytes: Buffer, start: number, end: number): string | undefined {
  if (end - start < ERROR_START.length) return undefined
  if (bytes.compare(ERROR_START, 0, ERROR_START.length, start, start + ERROR_START.length) !== 0) return undefined
  try {
    const payload: { error: { code: unknown } } = JSON.parse(bytes.toString('utf8', start, end))
    return String(payload.error.code)
  } catch {
    return 'UNREADABLE_ANSWER'
  }
}
