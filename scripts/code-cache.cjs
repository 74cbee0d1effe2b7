// Runs the large chunks of a program with what V8 compiled of them when they were built, which saves a quarter of the
// start-up time. The cache is V8's own (`Script.createCachedData`): another version of V8 refuses it, and then the chunk is
// compiled as always. V8 knows the source only by its length, so a cache begins with a hash of it.
const { createHash } = require('node:crypto')
const { readFileSync, writeFileSync } = require('node:fs')
const { Module } = require('node:module')
const { dirname } = require('node:path')
const { Script, constants } = require('node:vm')

const HASH_BYTES = 32

/** Every chunk that was run: its file, the hash of its text, its compiled code. */
const chunks = []

/** Runs the chunk in `codeFile` as the body of `module`, which another file stands for. */
function runChunk(codeFile, module, require) {
  const code = readFileSync(codeFile, 'utf8')
  const hash = createHash('sha256').update(code).digest()
  const script = new Script(Module.wrap(code), {
    filename: codeFile,
    cachedData: readCache(codeFile, hash),
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  })
  chunks.push({ codeFile, hash, script })
  script.runInThisContext()(module.exports, require, module, codeFile, dirname(codeFile))
}

function readCache(codeFile, hash) {
  try {
    const cache = readFileSync(`${codeFile}.cache`)
    return hash.equals(cache.subarray(0, HASH_BYTES)) ? cache.subarray(HASH_BYTES) : undefined
  } catch {
    return undefined
  }
}

/** Keeps what was compiled of every chunk that was run, for the next process. */
function writeCaches() {
  for (const { codeFile, hash, script } of chunks) {
    writeFileSync(`${codeFile}.cache`, Buffer.concat([hash, script.createCachedData()]))
  }
}

module.exports = { runChunk, writeCaches }
