/**
 * The part of the tar format that snapshots need: plain files, one after the other, in POSIX's form of 1988 (ustar), with an
 * extended header of 2001 (pax) before a file whose path or size does not fit there. Every tar reads it.
 */

// Header, text padded with zeros, numbers in octal digits:
//   0 name 100 │ 100 mode 8 │ 108 uid 8 │ 116 gid 8 │ 124 size 12 │ 136 mtime 12 │ 148 checksum 8 │ 156 type 1
// 157 link name 100 │ 257 "ustar\0" "00" │ 265 user 32 │ 297 group 32 │ 329 device 16 │ 345 prefix 155
const BLOCK_BYTES = 512
const NAME_BYTES_MAX = 100
const SIZE_AT = 124
const SIZE_MAX = 0o77777777777
const CHECKSUM_AT = 148
const TYPE_AT = 156
const FILE_TYPE = '0'
const PAX_TYPE = 'x'
/** Of the extended header of a file: a path and a size need less than a thousand. */
const PAX_BYTES_MAX = 64 * 1024

/** What stands before the contents of a file. */
export interface TarEntry {
  readonly path: string
  readonly sizeBytes: number
}

/** Something that should be a tar of ours is none, or not all of it. */
export class TarDamaged extends Error {
  override readonly name = 'TarDamaged'
}

/** The bytes that go before the contents of a file. */
export function tarHeader({ path, sizeBytes }: TarEntry, mtimeMs: number): Buffer {
  const fits = Buffer.byteLength(path) <= NAME_BYTES_MAX && sizeBytes <= SIZE_MAX
  const short = Buffer.from(path).subarray(0, NAME_BYTES_MAX)
  const header = block(short, Math.min(sizeBytes, SIZE_MAX), mtimeMs, FILE_TYPE)
  if (fits) return header
  const pax = Buffer.from(`${paxRecord('path', path)}${paxRecord('size', String(sizeBytes))}`)
  return Buffer.concat([
    block(Buffer.from('@pax'), pax.length, mtimeMs, PAX_TYPE),
    pax,
    Buffer.alloc(paddingOf(pax.length)),
    header,
  ])
}

/** How many zeros follow the contents of a file. */
export function paddingOf(sizeBytes: number): number {
  return (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES
}

/** What ends a tar. */
export const TAR_END = Buffer.alloc(2 * BLOCK_BYTES)

function block(name: Buffer, sizeBytes: number, mtimeMs: number, type: string): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES)
  name.copy(header)
  header.write('0000640\0', 100)
  header.write('0000000\0', 108)
  header.write('0000000\0', 116)
  header.write(`${octal(sizeBytes, 11)}\0`, SIZE_AT)
  header.write(`${octal(Math.floor(mtimeMs / 1000), 11)}\0`, 136)
  header.write(type, TYPE_AT)
  header.write('ustar\u000000', 257)
  header.write(`${octal(checksumOf(header), 6)}\0 `, CHECKSUM_AT)
  return header
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0')
}

/** The sum of all bytes, those of the checksum itself taken as spaces. */
function checksumOf(header: Buffer): number {
  let sum = 0
  for (let i = 0; i < BLOCK_BYTES; i++) sum += i >= CHECKSUM_AT && i < CHECKSUM_AT + 8 ? 0x20 : header[i]
  return sum
}

/** `27 path=…\n`: the number counts the whole line, its own digits too. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`
  const restBytes = Buffer.byteLength(rest)
  let bytes = restBytes + 1
  while (restBytes + String(bytes).length !== bytes) bytes = restBytes + String(bytes).length
  return `${bytes}${rest}`
}

/** Reads a tar from front to end. */
export class TarReader {
  readonly #chunks: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)
  #padding = 0

  constructor(stream: AsyncIterable<Buffer>) {
    this.#chunks = stream[Symbol.asyncIterator]()
  }

  /**
   * The next file; its contents must then be read. Undefined at the end.
   *
   * @throws TarDamaged
   */
  async next(): Promise<TarEntry | undefined> {
    await this.#skip(this.#padding)
    this.#padding = 0
    let pax: Partial<TarEntry> = {}
    for (;;) {
      const header = await this.#take(BLOCK_BYTES)
      if (header.every((byte) => byte === 0)) return undefined
      const checksum = parseOctal(header.subarray(CHECKSUM_AT, CHECKSUM_AT + 8))
      if (checksum !== checksumOf(header)) throw new TarDamaged('a header does not match its checksum')
      const sizeBytes = parseOctal(header.subarray(SIZE_AT, SIZE_AT + 12))
      const type = header.toString('latin1', TYPE_AT, TYPE_AT + 1)
      if (type === PAX_TYPE) {
        if (sizeBytes > PAX_BYTES_MAX) throw new TarDamaged(`an extended header has ${sizeBytes} bytes`)
        pax = parsePax(await this.#take(sizeBytes))
        await this.#skip(paddingOf(sizeBytes))
        continue
      }
      if (type !== FILE_TYPE)
        throw new TarDamaged(`an entry is of type ${JSON.stringify(type)}: plain files are wanted`)
      const entry = { path: textOf(header.subarray(0, NAME_BYTES_MAX)), sizeBytes, ...pax }
      this.#padding = paddingOf(entry.sizeBytes)
      return entry
    }
  }

  /**
   * Hands out the contents of a file, piece by piece.
   *
   * @throws TarDamaged when it ends before
   */
  async *contents({ sizeBytes }: TarEntry): AsyncGenerator<Buffer> {
    let left = sizeBytes
    while (left > 0) {
      if (this.#rest.length === 0) await this.#more()
      const piece = this.#rest.subarray(0, left)
      this.#rest = this.#rest.subarray(piece.length)
      left -= piece.length
      yield piece
    }
  }

  /** The contents of a small file at once. */
  async whole(entry: TarEntry, bytesMax: number): Promise<Buffer> {
    if (entry.sizeBytes > bytesMax) throw new TarDamaged(`${entry.path} has ${entry.sizeBytes} bytes`)
    return this.#take(entry.sizeBytes)
  }

  async #take(bytes: number): Promise<Buffer> {
    while (this.#rest.length < bytes) await this.#more()
    const taken = this.#rest.subarray(0, bytes)
    this.#rest = this.#rest.subarray(bytes)
    return taken
  }

  async #skip(bytes: number): Promise<void> {
    if (bytes > 0) await this.#take(bytes)
  }

  async #more(): Promise<void> {
    const { done, value } = await this.#chunks.next()
    if (done === true) throw new TarDamaged('it ends too early')
    this.#rest = this.#rest.length === 0 ? value : Buffer.concat([this.#rest, value])
  }
}

function textOf(bytes: Buffer): string {
  const end = bytes.indexOf(0)
  return bytes.toString('utf8', 0, end === -1 ? bytes.length : end)
}

function parseOctal(bytes: Buffer): number {
  const text = textOf(bytes).trim()
  if (!/^[0-7]{1,12}$/.test(text)) throw new TarDamaged(`a number is ${JSON.stringify(text)}: octal digits are wanted`)
  return Number.parseInt(text, 8)
}

function parsePax(bytes: Buffer): Partial<TarEntry> {
  const found: { path?: string; sizeBytes?: number } = {}
  for (const line of bytes.toString().split('\n')) {
    const [, key, value = ''] = /^\d+ (path|size)=(.*)$/.exec(line) ?? []
    if (key === 'path') found.path = value
    if (key === 'size' && /^\d{1,15}$/.test(value)) found.sizeBytes = Number(value)
  }
  return found
}
