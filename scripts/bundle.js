import { copyFileSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename } from 'node:path'
import { build } from 'rolldown'

// The two programs as one file each: Node then opens a dozen files at start instead of five hundred, which is a third
// of the start-up time. CommonJS, because Node is 20 ms faster at it, and because Node 20's loader of modules uses the
// thread pool, whose size the broker must choose before. Libraries with native parts stay outside, and so does OpenTelemetry,
// which is loaded only if tracing is on.
const OUTSIDE = ['lmdb', '@node-rs/crc32', 'snappy', 'lz4-napi', '@bokuweb/zstd-wasm']

/** The metrics library has a use for a part of OpenTelemetry too, and is loaded always: its part is bundled with it. */
function external(id, importer = '') {
  if (id.startsWith('@opentelemetry/')) return !importer.includes('node_modules')
  return id.startsWith('node:') || OUTSIDE.includes(id)
}

/** Tells Node that the files beside it are CommonJS, unlike the rest of the package. */
const markAsCommonJs = {
  name: 'mark-as-commonjs',
  generateBundle() {
    this.emitFile({ type: 'asset', fileName: 'package.json', source: '{ "type": "commonjs" }\n' })
  },
}

const program = (input, name) => ({
  input,
  platform: 'node',
  external,
  plugins: [markAsCommonJs],
  output: {
    dir: 'dist/bin',
    format: 'cjs',
    entryFileNames: `${name}.js`,
    // Without a hash, so that a build replaces the files of the one before.
    chunkFileNames: `${name}/[name].js`,
    sourcemap: true,
  },
})

/** From this size on, in characters, compiling a chunk takes longer than reading what was compiled of it. */
const CACHED_CHUNK_LENGTH = 100_000

/** Puts a file in the place of each large chunk that runs it through its code cache, and makes these caches. */
function cacheCode({ output }) {
  const built = createRequire(new URL('../dist/bin/', import.meta.url))
  const files = output
    .filter(({ type, isEntry, code }) => type === 'chunk' && !isEntry && code.length >= CACHED_CHUNK_LENGTH)
    .map(({ fileName }) => built.resolve(`./${fileName}`))
  for (const file of files) {
    const codeFile = file.replace(/\.js$/, '.code.js')
    renameSync(file, codeFile)
    writeFileSync(
      file,
      `require('../code-cache.js').runChunk(require.resolve('./${basename(codeFile)}'), module, require)\n`,
    )
  }
  copyFileSync(new URL('code-cache.cjs', import.meta.url), new URL('../dist/bin/code-cache.js', import.meta.url))
  for (const file of files) built(file)
  built('./code-cache.js').writeCaches()
}

const [broker] = await build([program('dist/src/bin.js', 'cafelog'), program('dist/cli/bin.js', 'brokerctl')])
cacheCode(broker)
