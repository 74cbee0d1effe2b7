import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { formatMicroseconds, formatSpread } from '../format.ts'
import { findProjectRoot } from '../project-root.ts'
import { spread } from '../statistics.ts'
import { warmMemory, type BenchContext, type ExperimentResult } from './experiment.ts'

/** What bench/read-log-process.ts prints. */
export interface ReadLogFigures {
  readonly bytesPerSecond: number
  readonly p50Us: number
  readonly p99Us: number
  readonly cores: number
}

/**
 * Reads of 1 MiB straight from the storage engine, checksums compared, no door and no socket: what any door can give
 * at most. In a process of its own, from the page cache.
 */
export async function measureReadLog(context: BenchContext): Promise<ExperimentResult> {
  const program = join(findProjectRoot(), 'dist/bench/read-log-process.js')
  const skipped = existsSync(program) ? undefined : 'dist/bench/read-log-process.js is not there: npm run build'
  const runs: ReadLogFigures[] = []
  const rounds = skipped === undefined ? context.rounds : 0
  for (let round = 0; round < rounds; round++) {
    context.note(`read, round ${round + 1} of ${rounds}`)
    await warmMemory(context)
    const directory = mkdtempSync(join(context.directory, 'log-'))
    runs.push(await readLog(program, directory, context.isQuick ? 1 : 10))
    rmSync(directory, { recursive: true, force: true })
  }
  const rate = spread(runs.map((run) => run.bytesPerSecond / 1e9))
  const middle = (pick: (run: ReadLogFigures) => number) => spread(runs.map(pick)).median
  return {
    title: 'Reads of 1 MiB below the doors (storage engine, page cache, checksums compared)',
    columns: ['what', 'GB/s (min – max)', 'p50', 'p99', 'cores'],
    rows: skipped
      ? [['storage engine', `skipped: ${skipped}`]]
      : [
          [
            'storage engine',
            formatSpread(rate, (value) => value.toFixed(2)),
            formatMicroseconds(middle((run) => run.p50Us)),
            formatMicroseconds(middle((run) => run.p99Us)),
            middle((run) => run.cores).toFixed(2),
          ],
        ],
    notes: [],
    floors: [
      {
        name: 'reads of 1 MiB below the doors',
        measured: skipped ? undefined : rate.median,
        skipped,
        bound: { atLeast: 1 },
        unit: 'GB/s',
      },
    ],
    data: runs,
  }
}

function readLog(program: string, directory: string, gigabytes: number): Promise<ReadLogFigures> {
  return new Promise((resolve, reject) => {
    execFile(
      process.execPath,
      [program, directory, String(gigabytes)],
      { timeout: 120_000 },
      (error, stdout, stderr) => {
        if (error) return reject(new Error(`read-log-process: ${stderr.trim() || error.message}`))
        const figures: ReadLogFigures = JSON.parse(stdout)
        resolve(figures)
      },
    )
  })
}
