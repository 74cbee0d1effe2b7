import { spawn, spawnSync } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import * as zlib from 'node:zlib'
import { findMissingJava, JVM_OPTIONS } from './java.ts'

// The foreign clients: each library is a small program ("agent") under clients/, all with the same commands. How they
// are called and what they print: clients/README.md.

const FOLDER = fileURLToPath(new URL('.', import.meta.url))
const INSTALLED = `${FOLDER}.installed`

const RUN_MS_MAX = 120_000
const STDERR_CHARS_MAX = 4_000

export type Codec = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'
export type GroupProtocol = 'classic' | 'consumer'
export type AgentCommand = 'produce' | 'consume' | 'join' | 'transact' | 'admin'

/** A foreign client, as a program to run. */
export interface Agent {
  /** As the matrix names it: the library. */
  readonly name: string
  /** The program and its first words; command and parameters follow. */
  readonly command: readonly string[]
  readonly commands: readonly AgentCommand[]
  /** What it can write. Every agent is expected to read all that another one writes, but for `cannotRead`. */
  readonly codecs: readonly Codec[]
  readonly cannotRead: readonly (Codec | 'framed snappy')[]
  /** It writes snappy in the blocks of xerial's snappy-java, as Kafka's own client does; others write one raw block. */
  readonly framesSnappy: boolean
  /**
   * What its library has no words for when it sends a record. `nothing` is a record with neither key nor value, which gets
   * the key "nothing".
   */
  readonly cannotSend: readonly ('headers' | 'timestamps' | 'nothing')[]
  readonly isIdempotent: boolean
  readonly protocols: readonly GroupProtocol[]
  /** Of the classic protocol. The new one has `uniform` and `range`, which are the broker's. */
  readonly assignors: readonly string[]
  readonly hasStaticMembers: boolean
  /** Why it cannot run here, and what to do about it; undefined when it can. */
  readonly missing: string | undefined
}

interface AgentDescription {
  readonly name: string
  readonly command: readonly string[]
  /** A file that is there when it can run; or why it cannot. */
  readonly needs?: string
  readonly missing?: string | undefined
  readonly commands?: readonly AgentCommand[]
  readonly codecs?: readonly Codec[]
  readonly cannotRead?: readonly (Codec | 'framed snappy')[]
  readonly framesSnappy?: boolean
  readonly cannotSend?: readonly ('headers' | 'timestamps' | 'nothing')[]
  readonly isIdempotent?: boolean
  readonly protocols?: readonly GroupProtocol[]
  readonly assignors?: readonly string[]
  readonly hasStaticMembers?: boolean
}

const ALL_CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const
const NODE = process.execPath
/** Node.js itself has zstd as of 22.15; @platformatic/kafka relies on it. */
const NODE_HAS_ZSTD = 'zstdCompressSync' in zlib

/** All foreign clients, whether they can run here or not. A toolchain adds its own here. */
export const AGENTS: readonly Agent[] = [
  describe({
    name: 'kcat',
    command: [NODE, `${FOLDER}clients/kcat/kcat.mjs`],
    needs: '/usr/bin/kcat',
    commands: ['produce', 'consume'],
    cannotSend: ['headers', 'timestamps'],
  }),
  describe({
    name: 'kafkajs',
    command: [NODE, `${FOLDER}clients/node/kafkajs.mjs`],
    needs: `${INSTALLED}/node/node_modules/kafkajs`,
    commands: ['produce', 'consume', 'join', 'transact', 'admin'],
    assignors: ['roundrobin'],
  }),
  describe({
    name: 'platformatic',
    command: [NODE, `${FOLDER}clients/node/platformatic.mjs`],
    needs: `${INSTALLED}/node/node_modules/@platformatic/kafka`,
    commands: ['produce', 'consume', 'join', 'transact', 'admin'],
    codecs: NODE_HAS_ZSTD ? ALL_CODECS : ['none', 'gzip', 'snappy', 'lz4'],
    cannotRead: NODE_HAS_ZSTD ? ['framed snappy'] : ['framed snappy', 'zstd'],
    protocols: ['classic', 'consumer'],
    assignors: ['roundrobin'],
    hasStaticMembers: true,
  }),
  describe({
    name: 'confluent-javascript',
    command: [NODE, `${FOLDER}clients/node/confluent.mjs`],
    needs: `${INSTALLED}/node/confluent.stamp`,
    commands: ['produce', 'consume', 'join', 'transact', 'admin'],
    protocols: ['classic', 'consumer'],
    assignors: ['range', 'roundrobin', 'cooperative-sticky'],
    hasStaticMembers: true,
  }),
  describe({
    name: 'confluent-python',
    command: [`${INSTALLED}/python/venv/bin/python`, `${FOLDER}clients/python/confluent_agent.py`],
    needs: `${INSTALLED}/python/stamp`,
    commands: ['produce', 'consume', 'join', 'transact', 'admin'],
    protocols: ['classic', 'consumer'],
    assignors: ['range', 'roundrobin', 'cooperative-sticky'],
    hasStaticMembers: true,
  }),
  describe({
    name: 'kafka-python',
    command: [`${INSTALLED}/python/venv/bin/python`, `${FOLDER}clients/python/kafka_python_agent.py`],
    needs: `${INSTALLED}/python/stamp`,
    framesSnappy: true,
    cannotSend: ['nothing'],
    commands: ['produce', 'consume', 'join', 'transact', 'admin'],
    assignors: ['range', 'roundrobin', 'sticky', 'cooperative-sticky'],
    hasStaticMembers: true,
  }),
  describe({
    name: 'franz-go',
    command: [`${INSTALLED}/go/bin/franz`],
    needs: `${INSTALLED}/go/stamp`,
    commands: ['produce', 'consume', 'join', 'transact'],
    protocols: ['classic', 'consumer'],
    assignors: ['range', 'roundrobin', 'sticky', 'cooperative-sticky'],
    hasStaticMembers: true,
  }),
  describe({
    name: 'sarama',
    command: [`${INSTALLED}/go/bin/sarama`],
    needs: `${INSTALLED}/go/stamp`,
    framesSnappy: true,
    commands: ['produce', 'consume', 'join', 'transact'],
    assignors: ['range', 'roundrobin', 'sticky', 'cooperative-sticky'],
    hasStaticMembers: true,
  }),
  describe({
    name: 'kafka-go',
    command: [`${INSTALLED}/go/bin/segmentio`],
    needs: `${INSTALLED}/go/stamp`,
    commands: ['produce', 'consume', 'join'],
    framesSnappy: true,
    isIdempotent: false,
    assignors: ['range', 'roundrobin'],
  }),
  describe({
    name: 'java',
    command: ['java', ...JVM_OPTIONS, 'Agent'],
    missing: findMissingJava(),
    commands: ['produce', 'consume', 'join', 'transact'],
    framesSnappy: true,
    protocols: ['classic', 'consumer'],
    assignors: ['range', 'roundrobin', 'sticky', 'cooperative-sticky'],
    hasStaticMembers: true,
  }),
]

/** CafeLog's own JSON protocol as one more client; its `bootstrap` is the address of that door. */
export const JSON_DOOR: Agent = describe({
  name: 'json-door',
  command: [NODE, `${FOLDER}clients/json/json.mjs`],
  needs: FOLDER,
  commands: ['produce', 'consume', 'join'],
  codecs: ['none'],
  protocols: ['consumer'],
})

/** The agent of this name. */
export function agentNamed(name: string): Agent {
  const agent = AGENTS.find((candidate) => candidate.name === name)
  if (agent === undefined) throw new Error(`There is no agent "${name}": ${AGENTS.map((one) => one.name).join(', ')}`)
  return agent
}

function describe(given: AgentDescription): Agent {
  return {
    commands: ['produce', 'consume'],
    codecs: ALL_CODECS,
    cannotRead: [],
    framesSnappy: false,
    cannotSend: [],
    isIdempotent: true,
    protocols: given.assignors === undefined ? [] : ['classic'],
    assignors: [],
    hasStaticMembers: false,
    ...given,
    missing: missingOf(given),
  }
}

function missingOf({ name, needs, missing }: AgentDescription): string | undefined {
  if (needs === undefined || existsSync(needs)) return missing
  if (name === 'kcat') return spawnSync('kcat', ['-V']).status === 0 ? undefined : 'apt-get install kcat'
  return `${name} is not installed: npm run compat:install says why, or installs it`
}

/** An agent that ended as it should not have. */
export class AgentFailed extends Error {
  override readonly name = 'AgentFailed'
  readonly exitCode: number | null

  constructor(what: string, exitCode: number | null, stderr: string) {
    super(`${what}: ${stderr === '' ? 'it said nothing' : stderr}`)
    this.exitCode = exitCode
  }
}

/** How an agent ended. */
export interface AgentEnd {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stderr: string
}

/** What an agent is told to do. */
export interface AgentOrder {
  readonly command: AgentCommand
  readonly parameters: Readonly<Record<string, unknown>>
  /** Gets each line of its output, without the line's end; the buffer is the listener's only during the call. */
  readonly onLine?: (line: Buffer) => void
  /** It is killed after this. */
  readonly runMsMax?: number
}

// If the tests are broken off, no agent stays behind.
const running = new Set<RunningAgent>()
process.on('exit', () => {
  for (const agent of running) agent.kill()
})

/** An agent at work. */
export class RunningAgent {
  readonly agent: Agent
  /** Resolves when it is gone and all of its lines have been handed out. */
  readonly ended: Promise<AgentEnd>
  readonly pid: number
  /** What it has said on its standard error so far, the beginning of it. */
  stderr = ''
  readonly #child: ChildProcess
  readonly #order: AgentOrder
  #rest: Buffer = Buffer.alloc(0)
  #listenerError: unknown

  constructor(agent: Agent, order: AgentOrder) {
    this.agent = agent
    this.#order = order
    const [program, ...words] = [...agent.command, order.command, JSON.stringify(order.parameters)]
    const inherited = Object.entries(process.env).filter(([name]) => !/^(?:CAFELOG_|NODE_OPTIONS$|VITEST)/.test(name))
    const env = { ...Object.fromEntries(inherited), PYTHONDONTWRITEBYTECODE: '1' }
    this.#child = spawn(program, words, { env, stdio: ['pipe', 'pipe', 'pipe'] })
    this.pid = this.#child.pid ?? -1
    running.add(this)
    const timer = setTimeout(() => this.kill(), order.runMsMax ?? RUN_MS_MAX)
    this.#child.stdout?.on('data', (chunk: Buffer) => this.#takeLines(chunk))
    this.#child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
      if (this.stderr.length < STDERR_CHARS_MAX) this.stderr += piece
    })
    // It may be gone when we speak to it.
    this.#child.stdin?.on('error', () => undefined)
    this.ended = new Promise((resolve, reject) => {
      this.#child.once('error', reject)
      this.#child.once('close', (code, signal) => {
        running.delete(this)
        clearTimeout(timer)
        if (this.#listenerError !== undefined) reject(this.#listenerError)
        else resolve({ code, signal, stderr: this.stderr })
      })
    })
    // Who never asks how it ended does not want to be told.
    this.ended.catch(() => undefined)
  }

  /** Writes a line to its standard input. */
  tell(line: string): void {
    this.#child.stdin?.write(`${line}\n`)
  }

  /** Ends it as a crash would. */
  kill(signal: NodeJS.Signals = 'SIGKILL'): void {
    this.#child.kill(signal)
  }

  #takeLines(chunk: Buffer): void {
    const { onLine } = this.#order
    if (onLine === undefined || this.#listenerError !== undefined) return
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    let start = 0
    try {
      for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, start)) {
        onLine(bytes.subarray(start, end))
        start = end + 1
      }
    } catch (error) {
      this.#listenerError = error
      this.kill()
    }
    this.#rest = bytes.subarray(start)
  }
}

/**
 * Runs an agent to its end.
 *
 * @throws AgentFailed unless it ends with exit code 0, and whatever `onLine` throws
 */
export async function runAgent(agent: Agent, order: AgentOrder): Promise<void> {
  const { code, signal, stderr } = await new RunningAgent(agent, order).ended
  if (code === 0) return
  const ending =
    signal === null ? `exit code ${code}` : `${signal}, which comes after ${order.runMsMax ?? RUN_MS_MAX} ms`
  throw new AgentFailed(`${agent.name} ${order.command} ended with ${ending}`, code, stderr.trim())
}

/** Runs an agent to its end and returns what it has printed, parsed. For little output. */
export async function askAgent(agent: Agent, order: Omit<AgentOrder, 'onLine'>): Promise<any[]> {
  const answers: any[] = []
  await runAgent(agent, { ...order, onLine: (line) => void answers.push(JSON.parse(line.toString())) })
  return answers
}
