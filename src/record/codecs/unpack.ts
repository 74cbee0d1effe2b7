import { BrokerError } from '../../base/broker-error.ts'
import type { Codec } from '../batch-header.ts'
import { CodecError } from './codec-error.ts'
import { packGzip, unpackGzip, unpackGzipLater } from './gzip.ts'
import { packLz4, unpackLz4 } from './lz4.ts'
import { packSnappy, unpackSnappy } from './snappy.ts'
import { packZstd, unpackZstd, unpackZstdLater } from './zstd.ts'

/** Every codec but `none`. */
export type Compression = Exclude<Codec, 'none'>

/** The most that the records of a batch may grow to, unless an operator says otherwise: some kilobytes can hold gigabytes. */
export const UNPACKED_BYTES_MAX = 128 * 1024 * 1024

const UNPACK: Readonly<Record<Compression, (bytes: Buffer, bytesMax: number) => Buffer>> = {
  gzip: unpackGzip,
  snappy: unpackSnappy,
  lz4: unpackLz4,
  zstd: unpackZstd,
}

const PACK: Readonly<Record<Compression, (bytes: Buffer, level?: number) => Buffer>> = {
  gzip: packGzip,
  snappy: packSnappy,
  lz4: packLz4,
  zstd: packZstd,
}

/**
 * Decompresses the records of a batch.
 *
 * @throws CodecError if they are damaged, cut, or more than `bytesMax`; BrokerError UNSUPPORTED_COMPRESSION_TYPE if there
 * is no decoder for this platform
 */
export function unpackRecords(codec: Compression, bytes: Buffer, bytesMax: number): Buffer {
  return withLibrary('read', codec, () => UNPACK[codec](bytes, bytesMax))
}

/**
 * `unpackRecords` in the thread pool, where the codec is slow enough to be worth it and there is a way; undefined where
 * there is none.
 *
 * @throws CodecError as `unpackRecords` does
 */
export async function unpackRecordsLater(codec: Codec, bytes: Buffer, bytesMax: number): Promise<Buffer | undefined> {
  if (codec === 'gzip') return unpackGzipLater(bytes, bytesMax)
  return codec === 'zstd' ? unpackZstdLater(bytes, bytesMax) : undefined
}

/**
 * Compresses the records of a batch. `level` is the codec's own; snappy and lz4 have none.
 *
 * @throws BrokerError UNSUPPORTED_COMPRESSION_TYPE if there is no encoder for this platform
 */
export function packRecords(codec: Compression, bytes: Buffer, level?: number): Buffer {
  return withLibrary('write', codec, () => PACK[codec](bytes, level))
}

/** What a codec throws that is not about the bytes is about its library. */
function withLibrary(verb: 'read' | 'write', codec: Compression, work: () => Buffer): Buffer {
  try {
    return work()
  } catch (error) {
    if (error instanceof CodecError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new BrokerError(
      'UNSUPPORTED_COMPRESSION_TYPE',
      `Cannot ${verb} records compressed with ${codec}: its library does not work on this platform: ${reason}`,
      { cause: error },
    )
  }
}
