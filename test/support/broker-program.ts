import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const PROGRAM = `${ROOT}/dist/bin/cafelog.js`

/** How the program ended, and all that it said. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** The line of log that says that the broker is ready. */
export interface ReadyLine {
  readonly pid: number
  readonly ports: { readonly json: number; readonly kafka: number; readonly http: number }
  readonly [fact: string]: unknown
}

/**
 * The built program from its call on, whether it becomes a broker or not: for tests of how it starts, what it says and
 * how it ends. For tests that only want a broker there is `BrokerProcess`.
 */
export class BrokerProgram {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  stdout = ''
  stderr = ''
  #hasEnded = false
  readonly #watchers = new Set<() => void>()

  /** `prefix` is put before the call of node, such as `['sh', '-c', '"$@"', '--']`. */
  constructor(
    environment: Readonly<Record<string, string>>,
    args: readonly string[] = [],
    prefix: readonly string[] = [],
  ) {
    if (!existsSync(PROGRAM)) throw new Error(`There is no ${PROGRAM}: npm run build makes it`)
    const inherited = Object.entries(process.env).filter(([name]) => !/^CAFELOG_|^npm_lifecycle_event$/.test(name))
    const [command, ...words] = [...prefix, process.execPath, PROGRAM, ...args]
    this.child = spawn(command, words, {
      cwd: ROOT,
      env: {
        ...Object.fromEntries(inherited),
        CAFELOG_TCP_ADDR: '127.0.0.1:0',
        CAFELOG_KAFKA_ADDR: '127.0.0.1:0',
        CAFELOG_HTTP_ADDR: '127.0.0.1:0',
        CAFELOG_CONFIG_DIR: '/nowhere',
        ...environment,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
      this.stdout += piece
    })
    this.child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
      this.stderr += piece
      this.#tellWatchers()
    })
    this.ended = once(this.child, 'close').then(([code, signal]) => {
      this.#hasEnded = true
      this.#tellWatchers()
      return { code, signal, stdout: this.stdout, stderr: this.stderr }
    })
  }

  /** The lines of its log so far, those that are JSON. */
  get log(): Record<string, unknown>[] {
    const lines = this.stderr.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}'))
    return lines.map((line) => JSON.parse(line))
  }

  /** The first line of log from number `from` on that fits, as soon as it is there; fails when the program ends without. */
  async logged(fits: (line: Record<string, unknown>) => boolean, from = 0): Promise<Record<string, unknown>> {
    for (;;) {
      const line = this.log.slice(from).find((candidate) => fits(candidate))
      if (line !== undefined) return line
      if (this.#hasEnded) throw new Error(`the program ended without saying that:\n${this.stderr}`)
      await new Promise<void>((resolve) => this.#watchers.add(resolve))
    }
  }

  async ready(): Promise<ReadyLine> {
    return (await this.logged((line) => line['event'] === 'ready')) as ReadyLine
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    this.child.kill(signal)
    return this.ended
  }

  #tellWatchers(): void {
    for (const resolve of this.#watchers) resolve()
    this.#watchers.clear()
  }
}
