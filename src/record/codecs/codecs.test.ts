import { execFileSync, spawnSync } from 'node:child_process'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { checkProperty } from '../../../test/support/property.ts'
import { CodecError } from './codec-error.ts'
import { packLz4, unpackLz4 } from './lz4.ts'
import { packSnappy, unpackSnappy } from './snappy.ts'
import type { Compression } from './unpack.ts'
import { packRecords, UNPACKED_BYTES_MAX, unpackRecords } from './unpack.ts'
import { loadZstdWasm } from './zstd-wasm.ts'
import { nodeZstd, unpackZstd } from './zstd.ts'

const CODECS = ['gzip', 'snappy', 'lz4', 'zstd'] as const satisfies readonly Compression[]
const KIB = 1024
const MIB = KIB * KIB

/** Bytes like those of records: parts of them repeat. */
const anyBytes = fc
  .array(fc.tuple(fc.uint8Array({ maxLength: 40 }), fc.nat(30)), { maxLength: 30 })
  .map((parts) => Buffer.concat(parts.flatMap(([bytes, times]) => Array<Uint8Array>(times + 1).fill(bytes))))

/** Text that compresses well and is long enough for several blocks. */
function longText(bytes: number): Buffer {
  const text = Array.from({ length: Math.ceil(bytes / 20) }, (_, index) => `line ${(index * 7919) % 1_000_003},`)
  return Buffer.from(text.join('').padEnd(bytes, '.').slice(0, bytes))
}

/** The message of a CodecError; anything else fails the test. */
function refusalOf(act: () => unknown): string {
  try {
    act()
  } catch (error) {
    if (error instanceof CodecError) return error.message
    throw error
  }
  throw new Error('nothing was refused')
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

test.each(CODECS)('%s: whatever is packed comes back', (codec) => {
  checkProperty(
    fc.property(anyBytes, (bytes) => {
      expect(unpackRecords(codec, packRecords(codec, bytes), UNPACKED_BYTES_MAX).equals(bytes)).toBe(true)
    }),
    200,
  )
  const long = longText(3 * MIB)
  const packed = packRecords(codec, long)
  expect(packed.length).toBeLessThan(long.length)
  expect(unpackRecords(codec, packed, long.length).equals(long)).toBe(true)
})

test.each(CODECS)('%s: cut anywhere, it is refused', (codec) => {
  const packed = packRecords(codec, longText(3000))
  for (let end = 0; end < packed.length; end++) {
    try {
      // Framed snappy may be cut between two blocks: what is missing then are records, which their count tells.
      const unpacked = unpackRecords(codec, packed.subarray(0, end), UNPACKED_BYTES_MAX)
      expect(unpacked.length).toBeLessThan(3000)
      expect(codec).toBe('snappy')
    } catch (error) {
      expect(error).toBeInstanceOf(CodecError)
    }
  }
})

test.each(CODECS)(
  '%s: with bytes changed it is refused or unpacked, within the limit, and goes on working',
  (codec) => {
    const packed = packRecords(codec, longText(5000))
    checkProperty(
      fc.property(
        fc.array(fc.tuple(fc.nat(packed.length - 1), fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 4 }),
        (flips) => {
          const damaged = Buffer.from(packed)
          for (const [at, mask] of flips) damaged[at] ^= mask
          try {
            expect(unpackRecords(codec, damaged, 10_000).length).toBeLessThanOrEqual(10_000)
          } catch (error) {
            expect(error).toBeInstanceOf(CodecError)
          }
        },
      ),
      1000,
    )
    expect(unpackRecords(codec, packed, 10_000)).toHaveLength(5000)
  },
)

test.each(CODECS)('%s: arbitrary bytes are refused', (codec) => {
  checkProperty(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      try {
        unpackRecords(codec, Buffer.from(bytes), 10_000)
      } catch (error) {
        expect(error).toBeInstanceOf(CodecError)
      }
    }),
    1000,
  )
})

test.each(CODECS)('%s: what grows beyond the limit is refused, at the limit it is not', (codec) => {
  const bomb = packRecords(codec, Buffer.alloc(20 * MIB))
  expect(bomb.length).toBeLessThan(1.1 * MIB)
  expect(refusalOf(() => unpackRecords(codec, bomb, 20 * MIB - 1))).toBe(`they grow to more than ${20 * MIB - 1} bytes`)
  expect(refusalOf(() => unpackRecords(codec, bomb, 1))).toBe('they grow to more than 1 bytes')
  expect(unpackRecords(codec, bomb, 20 * MIB)).toHaveLength(20 * MIB)
})

// -------------------------------------------------------------------------------------------------------- snappy

test('snappy: one raw block, and the framing of Java around several', () => {
  const raw = (text: string) => Buffer.concat([Buffer.from([text.length, (text.length - 1) << 2]), Buffer.from(text)])
  const header = Buffer.concat([Buffer.from('\x82SNAPPY\0', 'latin1'), int32(1), int32(1)])
  const block = (text: string) => Buffer.concat([int32(raw(text).length), raw(text)])
  expect(String(unpackSnappy(raw('records'), 100))).toBe('records')
  expect(String(unpackSnappy(Buffer.concat([header, block('rec'), block('ords')]), 100))).toBe('records')
  // Streams that were put together.
  expect(String(unpackSnappy(Buffer.concat([header, block('rec'), header, block('ords')]), 100))).toBe('records')
  expect(unpackSnappy(header, 100)).toHaveLength(0)
  expect(packSnappy(Buffer.from('x')).subarray(0, 16)).toEqual(header)
})

test('snappy: claims that do not fit are refused before anything is taken', () => {
  const header = Buffer.concat([Buffer.from('\x82SNAPPY\0', 'latin1'), int32(1), int32(1)])
  expect(refusalOf(() => unpackSnappy(Buffer.concat([header, int32(100), Buffer.from('x')]), 100))).toBe(
    'a block at byte 16 claims 100 bytes, 1 are left',
  )
  expect(refusalOf(() => unpackSnappy(Buffer.concat([header, int32(-5)]), 100))).toContain('claims -5 bytes')
  expect(refusalOf(() => unpackSnappy(Buffer.concat([header, Buffer.from('ab')]), 100))).toContain('at byte 16')
  expect(refusalOf(() => unpackSnappy(Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f, 0]), 1000))).toContain(
    'more than 1000',
  )
  expect(refusalOf(() => unpackSnappy(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0]), 1000))).toContain(
    'how long it is',
  )
  expect(refusalOf(() => unpackSnappy(Buffer.alloc(0), 1000))).toContain('how long it is')
})

// ----------------------------------------------------------------------------------------------------------- lz4

test('lz4: what is written has independent blocks and no content size, as Java reads it', () => {
  const frame = packLz4(longText(200 * KIB))
  expect(frame.readUInt32LE(0)).toBe(0x184d2204)
  expect(frame[4] & 0xe0).toBe(0x60)
})

test('lz4: several frames, and frames to be skipped', () => {
  const skipped = Buffer.from('502a4d1803000000aabbcc', 'hex')
  const frames = Buffer.concat([packLz4(Buffer.from('rec')), skipped, packLz4(Buffer.from('ords'))])
  expect(String(unpackLz4(frames, 100))).toBe('records')
  expect(refusalOf(() => unpackLz4(skipped, 100))).toBe('there is no frame')
  expect(refusalOf(() => unpackLz4(Buffer.concat([frames, Buffer.from('rest of it')]), 100))).toContain(
    'begins no frame',
  )
})

const hasLz4 = spawnSync('lz4', ['--version']).error === undefined
const hasZstd = spawnSync('zstd', ['--version']).error === undefined
const run = (program: string, args: readonly string[], input: Buffer) =>
  execFileSync(program, args, { input, maxBuffer: 64 * MIB, stdio: ['pipe', 'pipe', 'ignore'] })

const LZ4_FLAGS = [
  '-B4',
  '-B5',
  '-B6',
  '-B7',
  '-BD',
  '-BD -B4',
  '-BX',
  '-BX -BD -B5',
  '--content-size',
  '--no-frame-crc',
  '-9',
  '-1',
]
test.skipIf(!hasLz4).each(LZ4_FLAGS)(
  'lz4: what the lz4 program writes with %s (skipped without lz4: apt-get install lz4)',
  (flags) => {
    for (const bytes of [Buffer.alloc(0), Buffer.from('x'), longText(300 * KIB), longText(5 * MIB)]) {
      const frame = run('lz4', ['-c', ...flags.split(' ')], bytes)
      expect(unpackLz4(frame, 10 * MIB).equals(bytes)).toBe(true)
    }
  },
)

test.skipIf(!hasLz4)('lz4: the lz4 program reads what is written (skipped without lz4: apt-get install lz4)', () => {
  for (const bytes of [Buffer.from('x'), longText(300 * KIB)]) {
    expect(run('lz4', ['-dc'], packLz4(bytes)).equals(bytes)).toBe(true)
  }
})

// ---------------------------------------------------------------------------------------------------------- zstd

const ENGINES = [
  ['WebAssembly', loadZstdWasm()],
  ["Node's own (skipped before Node 22.15)", nodeZstd()],
] as const

test.each(ENGINES.filter(([, engine]) => engine !== undefined))('zstd by %s: frames of every kind', (_, engine) => {
  // "records" as one raw block: without its size, and with it in one, four and eight bytes.
  const frames = [
    '28b52ffd 00 58 390000 7265636f726473',
    '28b52ffd 20 07 390000 7265636f726473',
    '28b52ffd a0 07000000 390000 7265636f726473',
    '28b52ffd e0 0700000000000000 390000 7265636f726473',
  ].map((hex) => Buffer.from(hex.replaceAll(' ', ''), 'hex'))
  for (const frame of frames) expect(String(unpackZstd(frame, 100, engine))).toBe('records')
  const skipped = Buffer.from('502a4d1803000000aabbcc', 'hex')
  expect(String(unpackZstd(Buffer.concat([...frames, skipped, ...frames]), 100, engine))).toBe('records'.repeat(8))
  expect(refusalOf(() => unpackZstd(Buffer.concat([...frames, ...frames]), 55, engine))).toContain('more than 55')
  expect(refusalOf(() => unpackZstd(skipped, 100, engine))).toBe('there is no frame')
  expect(refusalOf(() => unpackZstd(Buffer.concat([frames[0], Buffer.from('rest of it')]), 100, engine))).toContain(
    'no frame',
  )
  // It says eight bytes and has seven.
  const wrong = Buffer.from('28b52ffd20083900007265636f726473', 'hex')
  refusalOf(() => unpackZstd(wrong, 100, engine))
})

const ZSTD_FLAGS = [
  '-1',
  '-3',
  '-12',
  '--check',
  '--no-check',
  '--long=24',
  '--fast',
  '--no-content-size',
  '-3 --long=20',
]
test.skipIf(!hasZstd).each(ZSTD_FLAGS)(
  'zstd: what the zstd program writes with %s (skipped without zstd: apt-get install zstd)',
  (flags) => {
    for (const [, engine] of ENGINES) {
      if (engine === undefined) continue
      for (const bytes of [Buffer.alloc(0), Buffer.from('x'), longText(300 * KIB), longText(3 * MIB)]) {
        // From a pipe, it does not know how long its input is: neither does the frame. With --stream-size it does.
        const open = run('zstd', ['-c', ...flags.split(' ')], bytes)
        const closed = run('zstd', ['-c', ...flags.split(' '), `--stream-size=${bytes.length}`], bytes)
        expect(unpackZstd(open, 4 * MIB, engine).equals(bytes)).toBe(true)
        expect(unpackZstd(closed, 4 * MIB, engine).equals(bytes)).toBe(true)
        expect(unpackZstd(Buffer.concat([open, closed]), 8 * MIB, engine).length).toBe(2 * bytes.length)
      }
    }
  },
)

test.skipIf(!hasZstd)(
  'zstd: the zstd program reads what is written (skipped without zstd: apt-get install zstd)',
  () => {
    for (const bytes of [Buffer.from('x'), longText(300 * KIB)]) {
      expect(run('zstd', ['-dc'], packRecords('zstd', bytes)).equals(bytes)).toBe(true)
    }
  },
)
