import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { NativeClient } from '../native-client.ts'
import { findFreePort, pause, startProcess, type ServerProcess } from '../processes.ts'
import type { Startable } from '../servers/server.ts'

/** What all experiments share. */
export interface BenchContext {
  /** Undefined when there is no C compiler: what needs the load client is then skipped, visibly. */
  readonly client: NativeClient | undefined
  /** A folder of this run; removed at its end. */
  readonly directory: string
  readonly rounds: number
  /** A quick run does a tenth of the work: figures to see that all works, not to quote. */
  readonly isQuick: boolean
  /** Servers that run right now, to be killed when the benchmark is interrupted. */
  readonly running: Set<ServerProcess>
  /** Tells a waiting reader what is being done. */
  note(line: string): void
}

/** A promise about speed. */
export interface Floor {
  readonly name: string
  /** Undefined: it could not be measured, `skipped` says why. */
  readonly measured: number | undefined
  readonly skipped?: string | undefined
  readonly bound: { readonly atLeast: number } | { readonly below: number }
  readonly unit: string
}

/** One table of the output. */
export interface ExperimentResult {
  readonly title: string
  readonly columns: readonly string[]
  readonly rows: readonly (readonly string[])[]
  readonly notes: readonly string[]
  readonly floors: readonly Floor[]
  /** Everything that was measured, for `--json`. */
  readonly data: unknown
}

/** A server with a fresh log that has answered its first PRODUCE. */
export interface RunningServer {
  readonly process: ServerProcess
  readonly port: number
  /** From the moment the process was asked for to the answer to its first PRODUCE, in milliseconds. */
  readonly firstAnswerMs: number
  /** A folder for files of this run. */
  readonly directory: string
}

/** Whether a floor is kept; undefined when it was not measured. */
export function isKept(floor: Floor): boolean | undefined {
  if (floor.measured === undefined) return undefined
  return 'atLeast' in floor.bound ? floor.measured >= floor.bound.atLeast : floor.measured < floor.bound.below
}

/** A JVM takes its time. */
const START_MS_MAX = 60_000

/**
 * Starts a contender in a folder of its own, lets `use` work with it, stops it, removes its files. It is alone: no
 * other server of the benchmark runs meanwhile.
 */
export async function withServer<T>(
  context: BenchContext,
  contender: Startable,
  use: (server: RunningServer) => Promise<T>,
): Promise<T> {
  const directory = mkdtempSync(join(context.directory, 'server-'))
  const port = await findFreePort()
  await contender.prepare?.(directory, port)
  const server = startProcess(contender.command(directory, port), join(directory, 'output.txt'))
  context.running.add(server)
  try {
    await publishFirst(contender, server, port)
    const firstAnswerMs = performance.now() - server.startedAt
    return await use({ process: server, port, firstAnswerMs, directory })
  } finally {
    await server.stop()
    context.running.delete(server)
    rmSync(directory, { recursive: true, force: true })
  }
}

async function publishFirst(contender: Startable, server: ServerProcess, port: number): Promise<void> {
  const deadline = performance.now() + START_MS_MAX
  for (;;) {
    try {
      return await contender.publishFirst(port)
    } catch (error) {
      const reason = server.ended()
      if (reason !== undefined) throw new Error(`${contender.name} did not start: ${reason}`, { cause: error })
      if (performance.now() > deadline) throw new Error(`${contender.name} did not answer`, { cause: error })
      await pause(2)
    }
  }
}

/** Makes memory warm for whoever is measured next, so that nobody pays for what an earlier run gave back. */
export async function warmMemory(context: BenchContext): Promise<void> {
  await context.client?.touch(context.isQuick ? 256 : 1024)
}

/** The same list, begun one place later in every round: nobody always comes first or last. */
export function rotate<T>(list: readonly T[], round: number): T[] {
  const start = list.length === 0 ? 0 : round % list.length
  return [...list.slice(start), ...list.slice(0, start)]
}
