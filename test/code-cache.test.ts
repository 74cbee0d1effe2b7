import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'

const file = (name: string) => new URL(`../${name}`, import.meta.url).pathname
const directory = mkdtempSync(join(tmpdir(), 'cafelog-code-cache-'))
const chunk = join(directory, 'chunk.code.js')
const cache = `${chunk}.cache`

afterAll(() => {
  rmSync(directory, { recursive: true, force: true })
})

/** What the chunk exports in a process of its own, as far as modules are concerned. */
function run(): { readonly exported: unknown; readonly writeCaches: () => void } {
  const require = createRequire(import.meta.url)
  const path = file('scripts/code-cache.cjs')
  delete require.cache[path]
  const { runChunk, writeCaches } = require(path)
  const module = { exports: {} }
  runChunk(chunk, module, require)
  return { exported: module.exports, writeCaches }
}

test('a chunk is run from its cache, and never from that of another text', () => {
  writeFileSync(chunk, 'module.exports = { answer: () => 41 }\n')
  const first = run()
  expect(first.exported).toEqual({ answer: expect.any(Function) })
  first.writeCaches()
  expect(readFileSync(cache).length).toBeGreaterThan(100)
  expect((run().exported as { answer: () => number }).answer()).toBe(41)

  // As long as before, so V8 alone would take the old one for it.
  writeFileSync(chunk, 'module.exports = { answer: () => 42 }\n')
  expect((run().exported as { answer: () => number }).answer()).toBe(42)

  for (const damage of [Buffer.alloc(0), Buffer.alloc(500, 7), readFileSync(cache).subarray(0, 60)]) {
    writeFileSync(cache, damage)
    expect((run().exported as { answer: () => number }).answer()).toBe(42)
  }
})

test('the broker as built has a cache of its program', () => {
  const built = (name: string) => readFileSync(file(`dist/bin/cafelog/${name}`))
  expect(built('program.js').toString()).toContain('runChunk')
  expect(built('program.code.js.cache').length).toBeGreaterThan(built('program.code.js').length / 10)
})
