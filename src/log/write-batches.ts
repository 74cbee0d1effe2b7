import type { File } from '../base/file-system.ts'

/**
 * Writes batches at `position`, `bytes` in all, and returns how many of them are wholly in the file. After an error those
 * stay and count as written: were they cut off and refused, a power cut could bring them back. Only the rest of the one in
 * which it happened is cut.
 */
export function writeBatches(
  file: File,
  batches: readonly Buffer[],
  bytes: number,
  position: number,
): { count: number; error?: Error } {
  let rest = joinNeighbours(batches)
  let taken = 0
  try {
    for (;;) {
      const written = file.write(rest, position + taken)
      taken += written
      if (taken === bytes) return { count: batches.length }
      if (written === 0) throw new Error(`the system took none of ${bytes - taken} bytes`)
      rest = dropFront(rest, written)
    }
  } catch (error) {
    let count = 0
    let whole = 0
    while (whole + batches[count].length <= taken) whole += batches[count++].length
    try {
      file.truncate(position + whole)
    } catch (cause) {
      return { count, error: new Error('a partial write could not be cut off', { cause }) }
    }
    return { count, error: error as Error }
  }
}

/** Joins buffers that lie one behind the other in the same memory: one write for a run of small batches. */
function joinNeighbours(buffers: readonly Buffer[]): readonly Buffer[] {
  if (buffers.length === 1) return buffers
  const joined: Buffer[] = []
  let first = buffers[0]
  let bytes = first.length
  for (let i = 1; i < buffers.length; i++) {
    const next = buffers[i]
    if (next.buffer === first.buffer && next.byteOffset === first.byteOffset + bytes) {
      bytes += next.length
      continue
    }
    joined.push(bytes === first.length ? first : Buffer.from(first.buffer, first.byteOffset, bytes))
    first = next
    bytes = next.length
  }
  joined.push(bytes === first.length ? first : Buffer.from(first.buffer, first.byteOffset, bytes))
  return joined
}

function dropFront(buffers: readonly Buffer[], count: number): readonly Buffer[] {
  let first = 0
  while (count >= buffers[first].length) count -= buffers[first++].length
  return [buffers[first].subarray(count), ...buffers.slice(first + 1)]
}
