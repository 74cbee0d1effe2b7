import { assert } from '../../base/assert.ts'
import { forgetLibrary, pathInLibrary, readLibraryFile, requireLibrary } from '../../base/library.ts'
import type { ZstdEngine } from './zstd.ts'

// Zstandard compiled to WebAssembly, for Node before 22.15. The library's own `decompress` takes a fixed guess where a
// frame does not say how long it is, and its `init` is a promise, which the reading of records has no place for. So its
// module is used directly: compiled and started at once, each call with exactly the room it needs.

const LIBRARY = '@bokuweb/zstd-wasm'
/** Its memory only grows. An instance that has grown beyond this is let go after use. */
const MEMORY_BYTES_KEPT = 32 * 1024 * 1024

type Imports = Record<string, Record<string, unknown>>

/** What is used of WebAssembly: its types are those of a browser, which the sources are compiled without. */
interface WebAssemblyOfNode {
  Module: new (bytes: Buffer) => object
  Instance: new (program: object, imports: Imports) => object
}

interface ZstdModule {
  HEAPU8: Uint8Array
  instantiateWasm(imports: Imports, receive: (instance: object) => object): object
  init(): void
  _malloc(bytes: number): number
  _free(at: number): void
  _ZSTD_isError(code: number): number
  _ZSTD_compressBound(bytes: number): number
  _ZSTD_compress(to: number, toBytes: number, from: number, fromBytes: number, level: number): number
  _ZSTD_decompress(to: number, toBytes: number, from: number, fromBytes: number): number
}

let program: object | undefined
let loaded: ZstdModule | undefined

/**
 * Zstandard in WebAssembly.
 *
 * @throws Error if the library is not there, or is not the one that is known
 */
export function loadZstdWasm(): ZstdEngine {
  loaded ??= start()
  return ENGINE
}

const ENGINE: ZstdEngine = {
  unpack: (frame, bytesMax) =>
    run(frame, bytesMax, (zstd, to, from) => zstd._ZSTD_decompress(to, bytesMax, from, frame.length)),
  pack: (bytes, level) => {
    loaded ??= start()
    const room = loaded._ZSTD_compressBound(bytes.length)
    return run(bytes, room, (zstd, to, from) => zstd._ZSTD_compress(to, room, from, bytes.length, level))
  },
}

/** Copies the input into the memory of the instance, and the output out of it. */
function run(
  input: Buffer,
  outputBytesMax: number,
  work: (zstd: ZstdModule, to: number, from: number) => number,
): Buffer {
  const zstd = (loaded ??= start())
  const from = zstd._malloc(Math.max(1, input.length))
  const to = from === 0 ? 0 : zstd._malloc(Math.max(1, outputBytesMax))
  try {
    if (to === 0) throw new Error(`there is no memory for ${outputBytesMax} bytes`)
    zstd.HEAPU8.set(input, from)
    const written = work(zstd, to, from)
    // Errors are small negative numbers as 32 bits without a sign: -1 is ZSTD_error_GENERIC, -70 a target too small.
    if (zstd._ZSTD_isError(written) !== 0)
      throw new Error(`the data is damaged or longer than it says (${written | 0})`)
    return Buffer.from(zstd.HEAPU8.subarray(to, to + written))
  } finally {
    zstd._free(to)
    zstd._free(from)
    if (zstd.HEAPU8.length > MEMORY_BYTES_KEPT) loaded = undefined
  }
}

function start(): ZstdModule {
  const { Module, Instance } = (globalThis as unknown as { WebAssembly: WebAssemblyOfNode }).WebAssembly
  program ??= new Module(readLibraryFile(pathInLibrary(LIBRARY, 'zstd.wasm')))
  const compiled = program
  // The module keeps its instance for good, so each instance needs a module of its own.
  const path = pathInLibrary(LIBRARY, 'zstd.js')
  forgetLibrary(path)
  const { Module: zstd } = requireLibrary(path) as { Module: ZstdModule }
  zstd.instantiateWasm = (imports, receive) => receive(new Instance(compiled, imports))
  zstd.init()
  assert(typeof zstd._ZSTD_decompress === 'function' && zstd.HEAPU8.length > 0, 'the WebAssembly module has started')
  return zstd
}
