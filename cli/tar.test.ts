import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { paddingOf, TAR_END, tarHeader, TarReader, type TarEntry } from './tar.ts'

const LONG = `${'t'.repeat(240)}/partition-0/00000000000000000000.log`
const FILES: readonly (readonly [path: string, text: string])[] = [
  ['empty', ''],
  ['a/b/short', 'text'],
  [LONG, 'x'.repeat(512)],
  ['ends/in/a/block', 'y'.repeat(1300)],
]

function pack(files = FILES): Buffer {
  const parts = files.flatMap(([path, text]) => {
    const header = tarHeader({ path, sizeBytes: text.length }, 1_700_000_000_000)
    return [header, Buffer.from(text), Buffer.alloc(paddingOf(text.length))]
  })
  return Buffer.concat([...parts, TAR_END])
}

async function* pieces(bytes: Buffer, size: number) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function unpack(bytes: Buffer, size = 700): Promise<[string, string][]> {
  const tar = new TarReader(pieces(bytes, size))
  const found: [string, string][] = []
  for (let entry: TarEntry | undefined; (entry = await tar.next()) !== undefined;) {
    let text = ''
    for await (const piece of tar.contents(entry)) text += piece.toString()
    found.push([entry.path, text])
  }
  return found
}

test.each([1, 512, 700, 100_000])('what is packed comes out, in pieces of %i bytes', async (size) => {
  expect(await unpack(pack(), size)).toEqual(FILES)
})

test('a file of a size that does not fit into eleven octal digits has it in its extended header', async () => {
  const sizeBytes = 20 * 2 ** 30
  const tar = new TarReader(pieces(tarHeader({ path: '@store/data.mdb', sizeBytes }, 0), 512))
  expect(await tar.next()).toEqual({ path: '@store/data.mdb', sizeBytes })
})

test.each([
  ['cut in a header', (bytes: Buffer) => bytes.subarray(0, 300), 'it ends too early'],
  ['cut in a file', (bytes: Buffer) => bytes.subarray(0, 512 + 512 + 2), 'it ends too early'],
  ['another type', (bytes: Buffer) => edit(bytes, 156, '2'), 'a header does not match its checksum'],
  ['no tar', () => Buffer.alloc(2000, 'cafelog '), 'a number is'],
])('%s: refused', async (_what, change, message) => {
  await expect(unpack(change(pack()))).rejects.toThrow(message)
})

test('other things than files are refused', async () => {
  const bytes = pack([['link', '']])
  const link = edit(edit(bytes, 156, '2'), 148, '')
  let sum = 0
  for (let i = 0; i < 512; i++) sum += i >= 148 && i < 156 ? 0x20 : link[i]
  await expect(unpack(edit(link, 148, `${sum.toString(8).padStart(6, '0')}\0 `))).rejects.toThrow(
    'an entry is of type "2": plain files are wanted',
  )
})

const hasTar = spawnSync('tar', ['--version']).status === 0
test.skipIf(!hasTar)('tar reads it', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cafelog-tar-'))
  try {
    const { status, stderr } = spawnSync('tar', ['xf', '-'], { cwd: directory, input: pack() })
    expect([status, stderr.toString()]).toEqual([0, ''])
    for (const [path, text] of FILES) expect(readFileSync(join(directory, path), 'utf8')).toBe(text)
  } finally {
    rmSync(directory, { recursive: true })
  }
})

function edit(bytes: Buffer, at: number, text: string): Buffer {
  const copy = Buffer.from(bytes)
  copy.write(text, at, 'latin1')
  return copy
}
