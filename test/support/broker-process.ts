import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { RawClient } from './raw-client.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
// The benchmarks use this file as it was built, in dist/test.
const PROGRAM = join(ROOT, basename(ROOT) === 'dist' ? '' : 'dist', 'bin/cafelog.js')

/** How a broker is started, besides its home. */
export interface StartOptions {
  /** Settings, with their CAFELOG_ prefix. Those of this process are not passed on. */
  readonly environment?: Readonly<Record<string, string>>
  /** Put before the call of node, such as `['bash', '-c', 'ulimit -n 128; exec "$@"', '--']`. */
  readonly prefix?: readonly string[]
}

/** A line of the broker's log. */
export interface LogLine {
  readonly level: string
  readonly msg: string
  readonly [field: string]: unknown
}

/** The broker ended before it was ready. */
export class BrokerDidNotStart extends Error {
  override readonly name = 'BrokerDidNotStart'
  readonly exitCode: number | null
  readonly stderr: string

  constructor(exitCode: number | null, stderr: string) {
    super(`The broker ended with exit code ${exitCode} before it was ready: ${stderr}`)
    this.exitCode = exitCode
    this.stderr = stderr
  }
}

/**
 * A temporary directory in which the built broker can be started again and again: `data` and `configs` are in it, and it
 * is the working directory.
 */
export class BrokerHome {
  readonly path = mkdtempSync(join(tmpdir(), 'cafelog-'))
  readonly dataDirectory = join(this.path, 'data')
  readonly configDirectory = join(this.path, 'configs')
  readonly #running = new Set<ChildProcess>()
  // If the tests are broken off, no broker stays behind.
  readonly #killAll = () => {
    for (const child of this.#running) child.kill('SIGKILL')
  }

  constructor() {
    if (!existsSync(PROGRAM)) throw new Error(`There is no ${PROGRAM}: npm run build makes it`)
    mkdirSync(this.configDirectory)
    process.once('exit', this.#killAll)
  }

  /**
   * Starts the broker on free ports and resolves when it is ready.
   *
   * @throws BrokerDidNotStart
   */
  async start(options: StartOptions = {}): Promise<BrokerProcess> {
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('CAFELOG_'))
    const env = {
      ...Object.fromEntries(inherited),
      CAFELOG_TCP_ADDR: '127.0.0.1:0',
      CAFELOG_KAFKA_ADDR: '127.0.0.1:0',
      CAFELOG_HTTP_ADDR: '127.0.0.1:0',
      CAFELOG_DATA_DIR: this.dataDirectory,
      CAFELOG_CONFIG_DIR: this.configDirectory,
      ...options.environment,
    }
    const [command, ...args] = [...(options.prefix ?? []), process.execPath, PROGRAM]
    const child = spawn(command, args, { cwd: this.path, env, stdio: ['ignore', 'ignore', 'pipe'] })
    this.#running.add(child)
    child.once('exit', () => this.#running.delete(child))
    return BrokerProcess.ready(child)
  }

  /** Kills what still runs, and removes the directory. */
  async remove(): Promise<void> {
    await Promise.all(
      [...this.#running].map(async (child) => {
        child.kill('SIGKILL')
        await once(child, 'exit')
      }),
    )
    process.off('exit', this.#killAll)
    await rm(this.path, { recursive: true, force: true })
  }
}

/** A broker that runs as a process of its own, as users run it. */
export class BrokerProcess {
  readonly pid: number
  readonly port: number
  readonly kafkaPort: number
  readonly httpPort: number
  /** From the call of the program until it said that it was ready. */
  readonly readyMs: number
  /** What it has logged so far. */
  readonly log: readonly LogLine[]
  /** Resolves with its exit code, or null when a signal ended it. */
  readonly exited: Promise<number | null>
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, start: { ready: LogLine; readyMs: number; log: readonly LogLine[] }) {
    const ports = start.ready['ports'] as { json: number; kafka: number; http: number }
    this.#child = child
    this.pid = child.pid as number
    this.port = ports.json
    this.kafkaPort = ports.kafka
    this.httpPort = ports.http
    this.readyMs = start.readyMs
    this.log = start.log
    this.exited = exitCodeOf(child)
  }

  /** Waits until a broker that was just spawned is ready. */
  static async ready(child: ChildProcess): Promise<BrokerProcess> {
    const began = performance.now()
    const log: LogLine[] = []
    const texts: string[] = []
    const ready = new Promise<LogLine>((resolve) => {
      createInterface({ input: child.stderr as NonNullable<typeof child.stderr> }).on('line', (text) => {
        texts.push(text)
        if (!text.startsWith('{')) return
        const line = JSON.parse(text) as LogLine
        log.push(line)
        if (line['event'] === 'ready') resolve(line)
      })
    })
    const ended = once(child, 'close').then(() => undefined)
    const line = await Promise.race([ready, ended])
    if (line === undefined) throw new BrokerDidNotStart(child.exitCode, texts.join('\n'))
    return new BrokerProcess(child, { ready: line, readyMs: performance.now() - began, log })
  }

  connect(): Promise<RawClient> {
    return RawClient.connect(this.port)
  }

  /** Asks it to stop, and returns its exit code. */
  stop(): Promise<number | null> {
    this.#child.kill('SIGTERM')
    return this.exited
  }

  /** Ends it as a crash would; resolves when it is gone. */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.exited
  }

  /** The text of one scrape. */
  async scrape(): Promise<string> {
    return httpGet(this.httpPort, '/metrics')
  }

  /** The sum of all series of a metric whose line contains `labels`; undefined when there is none. */
  async metric(name: string, labels = ''): Promise<number | undefined> {
    const lines = (await this.scrape()).split('\n')
    const isMeant = (line: string) =>
      (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) && line.includes(labels)
    const values = lines.filter(isMeant).map((line) => Number(line.slice(line.lastIndexOf(' ') + 1)))
    return values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0)
  }

  async rssBytes(): Promise<number> {
    return (await this.metric('process_resident_memory_bytes')) ?? Number.NaN
  }

  async cpuSeconds(): Promise<number> {
    return (await this.metric('process_cpu_seconds_total')) ?? Number.NaN
  }
}

function exitCodeOf(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve(child.exitCode)
    else child.once('exit', resolve)
  })
}

function httpGet(port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get({ host: '127.0.0.1', port, path, agent: false }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => resolve(Buffer.concat(chunks).toString()))
      response.on('error', reject)
    })
    request.on('error', reject)
  })
}
