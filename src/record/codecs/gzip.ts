import { constants, gunzip, gunzipSync, gzipSync } from 'node:zlib'

import { CodecError, tooLong } from './codec-error.ts'

/** One member after another, as Kafka's clients write it: RFC 1952. */
export function unpackGzip(bytes: Buffer, bytesMax: number): Buffer {
  try {
    return gunzipSync(bytes, { maxOutputLength: bytesMax })
  } catch (error) {
    throw explain(error, bytesMax)
  }
}

/** `unpackGzip` in the thread pool. */
export function unpackGzipLater(bytes: Buffer, bytesMax: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    gunzip(bytes, { maxOutputLength: bytesMax }, (error, unpacked) => {
      if (error === null) resolve(unpacked)
      else reject(explain(error, bytesMax))
    })
  })
}

/** `level` is 1 to 9, or -1 for zlib's own choice. */
export function packGzip(bytes: Buffer, level = constants.Z_DEFAULT_COMPRESSION): Buffer {
  return gzipSync(bytes, { level })
}

function explain(error: unknown, bytesMax: number): Error {
  const { code, message } = error as NodeJS.ErrnoException
  return code === 'ERR_BUFFER_TOO_LARGE' ? tooLong(bytesMax) : new CodecError(message, { cause: error })
}
