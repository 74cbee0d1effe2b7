import type { ChildProcess } from 'node:child_process'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Interface } from 'node:readline'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { findFreePort } from '../../bench/processes.ts'

const INSTALLED = fileURLToPath(new URL('.installed/java', import.meta.url))
const START_MS_MAX = 60_000

/** Programs, and everything of Kafka's that they may want. */
export const CLASS_PATH = `${join(INSTALLED, 'classes')}:${join(INSTALLED, 'lib')}/*`

/** What every JVM of a test gets: quick to start, and small. */
export const JVM_OPTIONS = [
  '-Xmx256m',
  '-XX:+UseSerialGC',
  '-XX:TieredStopAtLevel=1',
  '-XX:-UsePerfData',
  '-cp',
  CLASS_PATH,
]

/** Why the Java tests cannot run here and what to do about it; undefined when they can. */
export function findMissingJava(): string | undefined {
  if (spawnSync('java', ['-version']).status !== 0)
    return 'there is no Java (apt-get install openjdk-17-jdk-headless maven)'
  if (!existsSync(join(INSTALLED, 'classes.stamp')))
    return 'the Java clients are not installed (npm run compat:install)'
  return undefined
}

/** What a tool has printed. */
export interface ToolResult {
  readonly exit: number
  readonly output: string
  readonly errors: string
}

/** Kafka's command line tools, in one JVM. */
export class JavaTools {
  readonly #child: ChildProcess
  readonly #answers: AsyncIterator<string>

  constructor() {
    this.#child = spawn('java', [...JVM_OPTIONS, 'Tools'], { stdio: ['pipe', 'pipe', 'inherit'] })
    const lines: Interface = createInterface({ input: this.#child.stdout as NonNullable<ChildProcess['stdout']> })
    this.#answers = lines[Symbol.asyncIterator]()
  }

  /** Runs one tool, such as `['kafka-topics', '--list', …]`. One at a time. */
  async run(args: readonly string[], input = ''): Promise<ToolResult> {
    this.#child.stdin?.write(`${JSON.stringify({ arguments: args, input })}\n`)
    const { value, done } = await this.#answers.next()
    if (done) throw new Error(`The JVM ended while ${args[0]} ran`)
    return JSON.parse(value) as ToolResult
  }

  async close(): Promise<void> {
    this.#child.kill('SIGKILL')
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit')
  }
}

/** A run of one of the programs in clients/java that print lines of JSON. */
export class JavaProgram {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  /** `args` are its arguments; objects become JSON. */
  constructor(mainClass: string, ...args: readonly (string | object)[]) {
    const texts = args.map((argument) => (typeof argument === 'string' ? argument : JSON.stringify(argument)))
    this.#child = spawn('java', [...JVM_OPTIONS, mainClass, ...texts], { stdio: ['pipe', 'pipe', 'inherit'] })
    const lines: Interface = createInterface({ input: this.#child.stdout as NonNullable<ChildProcess['stdout']> })
    this.#lines = lines[Symbol.asyncIterator]()
  }

  /** Reads what it prints up to a line that is as wished. */
  async until(isWished: (line: Readonly<Record<string, unknown>>) => boolean): Promise<void> {
    for (;;) {
      const { value, done } = await this.#lines.next()
      if (done) throw new Error('The program ended before it printed that')
      if (isWished(JSON.parse(value) as Record<string, unknown>)) return
    }
  }

  /** Asks an agent to leave in order, and waits until it has. */
  async stop(): Promise<void> {
    this.#child.stdin?.write('stop\n')
    await this.until((line) => line['left'] === true)
  }

  /** Ends it, if it has not ended already. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.kill('SIGKILL')
    await once(this.#child, 'exit')
  }
}

/** Apache Kafka itself: one broker that is its own controller, in a directory of its own. */
export class ApacheKafka {
  readonly port: number
  readonly directory: string
  readonly #child: ChildProcess

  private constructor(parts: { child: ChildProcess; directory: string; port: number }) {
    this.#child = parts.child
    this.port = parts.port
    this.directory = parts.directory
  }

  /** Starts it with these settings beside those that it needs, and resolves when it is ready. */
  static async start(tools: JavaTools, settings: Readonly<Record<string, string>> = {}): Promise<ApacheKafka> {
    const directory = mkdtempSync(join(tmpdir(), 'apache-kafka-'))
    const [port, controllerPort] = [await findFreePort(), await findFreePort()]
    const properties = join(directory, 'server.properties')
    const all = {
      'process.roles': 'broker,controller',
      'node.id': '1',
      listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
      'controller.listener.names': 'CONTROLLER',
      'controller.quorum.bootstrap.servers': `127.0.0.1:${controllerPort}`,
      'log.dirs': join(directory, 'data'),
      'offsets.topic.replication.factor': '1',
      'transaction.state.log.replication.factor': '1',
      'transaction.state.log.min.isr': '1',
      'share.coordinator.state.topic.replication.factor': '1',
      'share.coordinator.state.topic.min.isr': '1',
      ...settings,
    }
    writeFileSync(
      properties,
      Object.entries(all)
        .map(([name, value]) => `${name}=${value}\n`)
        .join(''),
    )
    const clusterId = 'AAAAAAAAQACAAAAAAAAAAQ'
    // With that feature every topic has a setting of its own.
    const format = await tools.run(
      `kafka-storage format --standalone -t ${clusterId} -c ${properties} --feature eligible.leader.replicas.version=0`.split(
        ' ',
      ),
    )
    if (format.exit !== 0) throw new Error(`Kafka's storage could not be formatted: ${format.output}${format.errors}`)
    const child = spawn('java', ['-Dlog.level=info', ...JVM_OPTIONS, '-Xmx1g', 'kafka.Kafka', properties], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const kafka = new ApacheKafka({ child, directory, port })
    const timer = setTimeout(() => child.kill('SIGKILL'), START_MS_MAX)
    try {
      await started(child)
    } catch (error) {
      await kafka.remove()
      throw error
    } finally {
      clearTimeout(timer)
    }
    return kafka
  }

  /** Ends it, and removes what it has written. */
  async remove(): Promise<void> {
    this.#child.kill('SIGKILL')
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit')
    await rm(this.directory, { recursive: true, force: true })
  }
}

async function started(child: ChildProcess): Promise<void> {
  const lines: string[] = []
  await new Promise<void>((resolve, reject) => {
    createInterface({ input: child.stderr as NonNullable<ChildProcess['stderr']> }).on('line', (line) => {
      if (lines.length < 1000) lines.push(line)
      if (line.includes('Kafka Server started')) resolve()
    })
    child.once('exit', () => reject(new Error(`Apache Kafka did not start: ${lines.slice(-20).join('\n')}`)))
  })
}
