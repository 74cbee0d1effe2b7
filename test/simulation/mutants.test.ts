import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type CompiledSimulation, compileSimulation } from './compiled.ts'
import { type Mutant, MUTANTS } from './mutants.ts'

// The proof of the proof: every mistake in the bank is made, one at a time, and the simulation has to find it.

const SEEDS = 200

let compiled: CompiledSimulation
beforeAll(() => {
  compiled = compileSimulation()
}, 60_000)
afterAll(() => compiled.remove())

/** Makes the mistake in a copy of the compiled broker and returns the copy's program. */
function makeMutant(mutant: Mutant, directory: string): string {
  mkdirSync(directory)
  for (const part of ['src', 'test', 'package.json']) {
    cpSync(join(compiled.directory, part), join(directory, part), { recursive: true })
  }
  symlinkSync(join(compiled.directory, 'node_modules'), join(directory, 'node_modules'))
  const path = join(directory, 'src/log', mutant.file)
  const parts = readFileSync(path, 'utf8').split(mutant.find)
  expect(parts.length - 1, `Stale: the text to replace must be in src/log/${mutant.file} once`).toBe(1)
  writeFileSync(path, parts.join(mutant.replace))
  return join(directory, 'test/simulation/main.js')
}

function run(main: string, habit: string | undefined): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [main, '--seeds', String(SEEDS), '--lines', '1', ...(habit ? ['--habit', habit] : [])],
      { timeout: 60_000, killSignal: 'SIGKILL', maxBuffer: 16 * 1024 * 1024 },
      (_error, stdout, stderr) => resolve({ code: child.exitCode, output: stdout + stderr }),
    )
  })
}

test('the bank holds at least twenty mistakes, each under its own name', () => {
  expect(MUTANTS.length).toBeGreaterThanOrEqual(20)
  expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length)
})

/** How many of them run at a time: one for each core of a small machine. */
let free = 2
const waiting: (() => void)[] = []

async function inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
  if (free === 0) await new Promise<void>((resolve) => waiting.push(resolve))
  else free -= 1
  try {
    return await work()
  } finally {
    const next = waiting.shift()
    if (next) next()
    else free += 1
  }
}

describe.concurrent('the simulation finds', () => {
  test.each(MUTANTS.map((mutant, index) => ({ ...mutant, index })))(
    '$name',
    async ({ index, ...mutant }) => {
      const directory = join(compiled.directory, `mutant-${index}`)
      const { code, output } = await inTurn(() => run(makeMutant(mutant, directory), mutant.habit))
      rmSync(directory, { recursive: true })
      expect(output).toMatch(/Again with: npm run sim -- --seed \d+|broke the simulation itself/)
      expect(code).toBe(1)
    },
    120_000,
  )
})
