import { BATCH_HEADER_BYTES, getCodec } from './batch-header.ts'
import type { Codec } from './batch-header.ts'
import { packRecords, unpackRecords } from './codecs/unpack.ts'

/**
 * A copy of a batch with its records compressed with another codec. Its header is still the old one's:
 * `changeBatchHeader` has to say what is new.
 *
 * @throws CodecError if the records cannot be decompressed to at most `unpackedBytesMax`; BrokerError
 * UNSUPPORTED_COMPRESSION_TYPE if a codec's library does not load
 */
export function repackRecords(
  batch: Buffer,
  target: { readonly codec: Codec; readonly level: number | undefined },
  unpackedBytesMax: number,
): Buffer {
  const source = getCodec(batch, 0) ?? 'none'
  const records = batch.subarray(BATCH_HEADER_BYTES)
  const plain = source === 'none' ? records : unpackRecords(source, records, unpackedBytesMax)
  const packed = target.codec === 'none' ? plain : packRecords(target.codec, plain, target.level)
  return Buffer.concat([batch.subarray(0, BATCH_HEADER_BYTES), packed])
}
