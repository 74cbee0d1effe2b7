import { expect, test } from 'vitest'
import { splitLines } from './lines.ts'

async function linesOf(chunks: readonly string[], bytesMax = 100): Promise<string[]> {
  async function* source() {
    for (const chunk of chunks) yield Buffer.from(chunk)
  }
  const lines: string[] = []
  for await (const some of splitLines(source(), bytesMax)) lines.push(...some.map(String))
  return lines
}

test.each([
  [['a\nb\n'], ['a', 'b']],
  [['a\nb'], ['a', 'b']],
  [
    ['a', 'b\nc', '\n', '\n'],
    ['ab', 'c', ''],
  ],
  [['\n\n'], ['', '']],
  [['a\r\n'], ['a\r']],
  [[], []],
  [['ä\n'], ['ä']],
])('the lines of %j', async (chunks, expected) => {
  expect(await linesOf(chunks)).toEqual(expected)
  expect(await linesOf(Array.from(chunks.join('')))).toEqual(expected)
})

test('a line without end does not fill the memory', async () => {
  await expect(linesOf(['x'.repeat(60), 'x'.repeat(60)])).rejects.toThrow(RangeError)
})
