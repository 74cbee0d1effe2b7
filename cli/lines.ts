const LF = 0x0a

/**
 * Cuts a stream into lines without their line feeds; yields the lines of one chunk together. A last line without a line
 * feed counts.
 *
 * @throws RangeError when a line is longer than `lineBytesMax`.
 */
export async function* splitLines(
  chunks: AsyncIterable<Buffer | string>,
  lineBytesMax: number,
): AsyncGenerator<Buffer[]> {
  let rest: Buffer[] = []
  let restBytes = 0
  for await (const data of chunks) {
    const chunk = typeof data === 'string' ? Buffer.from(data) : data
    const lines: Buffer[] = []
    let begin = 0
    for (let end = chunk.indexOf(LF); end >= 0; end = chunk.indexOf(LF, begin)) {
      const piece = chunk.subarray(begin, end)
      lines.push(rest.length === 0 ? piece : Buffer.concat([...rest, piece]))
      rest = []
      restBytes = 0
      begin = end + 1
    }
    if (begin < chunk.length) {
      rest.push(chunk.subarray(begin))
      restBytes += chunk.length - begin
      if (restBytes > lineBytesMax) throw new RangeError(`A line is longer than ${lineBytesMax} bytes`)
    }
    yield lines
  }
  if (restBytes > 0) yield [Buffer.concat(rest)]
}
