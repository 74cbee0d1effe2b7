import { execFile, execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { findProgram } from './processes.ts'
import { findProjectRoot } from './project-root.ts'

/** What the load client saw. Times are microseconds, cores are CPU seconds per second. */
export interface LoadFigures {
  readonly requests: number
  readonly seconds: number
  readonly p50Us: number
  readonly p99Us: number
  readonly maxUs: number
  readonly clientCores: number
  readonly serverCores: number
}

/** What a consumer saw; `records` came in `wireBytes` bytes of answers. */
export interface FetchFigures extends LoadFigures {
  readonly records: number
  readonly wireBytes: number
}

/** How long after a PRODUCE was sent the fetches that waited for it were answered, and what the server did before. */
export interface WakeFigures {
  readonly waiters: number
  readonly p50Us: number
  readonly p99Us: number
  readonly maxUs: number
  readonly parkedCores: number
  /** CPU time of the server from the PRODUCE to the last answer: does not depend on what else the machine does. */
  readonly wakeCpuMs: number
}

export interface PublishOptions {
  readonly protocol: 'json' | 'nats' | 'redis'
  readonly port: number
  /** File with the one request that is sent over and over. */
  readonly requestPath: string
  /** File with what is sent once after connecting. */
  readonly preludePath: string | undefined
  /** How many requests may be unanswered at any time. */
  readonly window: number
  readonly warmUpRequests: number
  readonly requests: number
  readonly serverPid: number
}

/** The load client in C (bench/native/load.c). Every call runs it once, alone, and resolves with what it measured. */
export class NativeClient {
  readonly #program: string

  private constructor(program: string) {
    this.#program = program
  }

  /** Compiles the client into `directory`; undefined when there is no C compiler. */
  static build(directory: string): NativeClient | undefined {
    const compiler = findProgram('gcc') ?? findProgram('cc')
    if (compiler === undefined) return undefined
    const program = join(directory, 'load')
    execFileSync(compiler, ['-O2', '-o', program, join(findProjectRoot(), 'bench/native/load.c')])
    return new NativeClient(program)
  }

  publish(options: PublishOptions): Promise<LoadFigures> {
    return this.#run([
      'publish',
      options.protocol,
      options.port,
      options.requestPath,
      options.preludePath ?? '-',
      options.window,
      options.warmUpRequests,
      options.requests,
      options.serverPid,
    ])
  }

  /** Reads a topic's partition 0 from offset 0 until `records` have come. */
  fetch(options: {
    port: number
    topic: string
    bytesMax: number
    records: number
    serverPid: number
  }): Promise<FetchFigures> {
    return this.#run(['fetch', options.port, options.topic, options.bytesMax, options.records, options.serverPid])
  }

  /** Parks `waiters` fetches at `offset`, each on its own connection, for `parkMs`; then sends the PRODUCE. */
  wake(options: {
    port: number
    topic: string
    offset: number
    waiters: number
    parkMs: number
    producePath: string
    serverPid: number
  }): Promise<WakeFigures> {
    return this.#run([
      'wake',
      options.port,
      options.topic,
      options.offset,
      options.waiters,
      options.parkMs,
      options.producePath,
      options.serverPid,
    ])
  }

  /**
   * Uses so much memory once and gives it back. A virtual machine gets memory that it has not touched lately at a
   * tenth of the usual speed; whoever is measured first would pay for it.
   */
  touch(megabytes: number): Promise<{ seconds: number; megabytesPerSecond: number }> {
    return this.#run(['touch', megabytes])
  }

  #run<T>(words: readonly (string | number)[]): Promise<T> {
    return new Promise((resolve, reject) => {
      execFile(this.#program, words.map(String), { timeout: 300_000 }, (error, stdout, stderr) => {
        if (error) return reject(new Error(`load ${words[0]}: ${stderr.trim() || error.message}`))
        const figures: T = JSON.parse(stdout)
        resolve(figures)
      })
    })
  }
}
