/** Compressed bytes that cannot be unpacked: cut, damaged, or grown beyond the limit. The message says what is wrong. */
export class CodecError extends Error {
  override readonly name = 'CodecError'
}

/** Unpacked, the records would be more than the reader takes. */
export function tooLong(bytesMax: number): CodecError {
  return new CodecError(`they grow to more than ${bytesMax} bytes`)
}
