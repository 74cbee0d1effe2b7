import * as fc from 'fast-check'

/**
 * Checks a property with fast-check. A failure prints its seed; `FAST_CHECK_SEED=<seed>` in the environment runs that
 * one again.
 */
export function checkProperty<T>(property: fc.IProperty<T>, runs: number): void {
  const seed = process.env['FAST_CHECK_SEED']
  fc.assert(property, seed === undefined ? { numRuns: runs } : { numRuns: runs, seed: Number(seed) })
}

/** The same for a property that takes its time. */
export async function checkPropertyAsync<T>(property: fc.IAsyncProperty<T>, runs: number): Promise<void> {
  const seed = process.env['FAST_CHECK_SEED']
  await fc.assert(property, seed === undefined ? { numRuns: runs } : { numRuns: runs, seed: Number(seed) })
}
