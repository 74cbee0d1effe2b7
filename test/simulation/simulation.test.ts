import { execFile } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type CompiledSimulation, compileSimulation } from './compiled.ts'
import savedSeeds from './seeds.json' with { type: 'json' }

// The storage engine lives through thousands of power cuts, kills, full and failing disks on a disk that forgets. Half of
// the seeds are the same every time; the others are new every day. A failure prints the command that repeats it.

const POWER_CUTS = 10_000
const COMPACTION_CUTS = 2_000
const DAY_MS = 86_400_000
const LIMIT_MS = 400_000

let simulation: CompiledSimulation
beforeAll(() => {
  simulation = compileSimulation()
}, 60_000)
afterAll(() => simulation.remove())

function simulate(...options: string[]): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [simulation.main, ...options],
      { timeout: LIMIT_MS, killSignal: 'SIGKILL', maxBuffer: 64 * 1024 * 1024 },
      (_error, stdout, stderr) => resolve({ code: child.exitCode, output: stdout + stderr }),
    )
  })
}

/** A figure of the simulation's report. */
function figure(output: string, name: string): number {
  const match = new RegExp(`([\\d,]+) {2}${name}$`, 'm').exec(output)
  if (match === null) throw new Error(`no figure "${name}" in:\n${output}`)
  return Number(match[1].replaceAll(',', ''))
}

describe.concurrent('the storage engine keeps its promises', () => {
  const freshSeed = 1_000_000 + Math.floor(Date.now() / DAY_MS) * 10_000
  test.each([
    ['seeds that are always the same', 1_000],
    ['seeds of this day', freshSeed],
  ])(
    'through 10,000 power cuts: %s',
    async (_name, seed) => {
      const { code, output } = await simulate('--seed', String(seed), '--cuts', String(POWER_CUTS))
      expect(code, output).toBe(0)
      console.info(`simulation from seed ${seed}:\n${output}`)
      expect(figure(output, 'power cuts')).toBeGreaterThanOrEqual(POWER_CUTS)
      expect(figure(output, 'records compared after a restart')).toBeGreaterThan(100_000)
      expect(figure(output, 'disk faults met')).toBeGreaterThan(1_000)
    },
    LIMIT_MS,
  )

  test(
    'through 2,000 power cuts with topics that are compacted',
    async () => {
      const ends = ['--seed', String(freshSeed), '--cuts', String(COMPACTION_CUTS)]
      const { code, output } = await simulate(...ends, '--habit', 'compaction')
      expect(code, output).toBe(0)
      console.info(`compaction from seed ${freshSeed}:\n${output}`)
      expect(figure(output, 'records compacted away')).toBeGreaterThan(2_000)
    },
    LIMIT_MS,
  )

  test(
    'through the seeds that are known to find something',
    async () => {
      for (const habit of new Set(savedSeeds.map((saved) => saved.habit))) {
        const seeds = savedSeeds.filter((saved) => saved.habit === habit).map(({ seed }) => seed)
        // A list has a comma in it.
        const { code, output } = await simulate('--seed', `${seeds.join(',')},`, ...(habit ? ['--habit', habit] : []))
        expect(code, output).toBe(0)
        expect(figure(output, 'schedules')).toBe(seeds.length)
      }
    },
    LIMIT_MS,
  )

  test(
    'broken off, and disturbed, at each single operation of a fixed piece of work',
    async () => {
      const { code, output } = await simulate('--sweep')
      expect(code, output).toBe(0)
      expect(figure(output, 'schedules')).toBeGreaterThan(2_000)
    },
    LIMIT_MS,
  )

  test(
    'and a seed goes the same way every time',
    async () => {
      const [first, second, other] = await Promise.all(['7', '7', '8'].map((seed) => simulate('--seed', seed)))
      const traceOf = (output: string) => /[0-9a-f]+ {2}trace$/m.exec(output)?.[0]
      expect(traceOf(first.output)).toBeDefined()
      expect(traceOf(second.output)).toBe(traceOf(first.output))
      expect(traceOf(other.output)).not.toBe(traceOf(first.output))
    },
    LIMIT_MS,
  )
})
