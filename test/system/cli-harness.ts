import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openConnection } from '../../client/json-connection.ts'
import { call, type Answer, type Request } from '../../client/operations.ts'
import { parseConfig } from '../../src/config/config.ts'
import { startBroker } from '../../src/main.ts'
import { encodeFrame, FRAME_HEADER_BYTES, FRAME_TYPES, type OperationName } from '../../src/protocols/json/wire.ts'

/** The program as it is built and shipped. */
const PROGRAM = new URL('../../dist/bin/brokerctl.js', import.meta.url).pathname

export type Environment = Readonly<Record<string, string>>

/** What a run of the program printed, and how it ended. */
export interface Outcome {
  readonly stdout: string
  readonly stderr: string
  readonly code: number | null
}

/** A broker in this process, and the environment in which the program finds it. */
export interface CliBroker {
  readonly env: Environment
  readonly directory: string
  readonly ports: { readonly json: number; readonly kafka: number }
  /** To prepare what a test needs sooner than the program could. */
  ask<Name extends OperationName>(name: Name, request: Request<Name>): Promise<Answer<Name>>
  /** Stops the broker; its files stay. */
  stop(): Promise<void>
  /** Ends programs that are still running, stops the broker, and removes its files. */
  remove(): Promise<void>
}

/** Starts a broker on ports and a data directory of its own. */
export async function startCliBroker(directory = mkdtempSync(join(tmpdir(), 'cafelog-cli-'))): Promise<CliBroker> {
  const data = join(directory, 'data')
  const broker = await startBroker(
    parseConfig(
      {
        CAFELOG_TCP_ADDR: '127.0.0.1:0',
        CAFELOG_KAFKA_ADDR: '127.0.0.1:0',
        CAFELOG_HTTP_ADDR: '127.0.0.1:0',
        CAFELOG_DATA_DIR: data,
        CAFELOG_CONFIG_DIR: join(directory, 'configs'),
        CAFELOG_FLUSH_POLICY: 'os',
      },
      4096,
    ),
  )
  const { json, kafka, http } = broker.addresses
  const connection = await openConnection({ host: '127.0.0.1', port: json.port })
  const stop = () => {
    connection.close()
    return broker.close()
  }
  return {
    env: {
      CAFELOG_BROKER: `127.0.0.1:${json.port}`,
      CAFELOG_HTTP: `http://127.0.0.1:${http.port}`,
      CAFELOG_DATA_DIR: data,
    },
    directory: data,
    ports: { json: json.port, kafka: kafka.port },
    ask: (name, request) => call(connection, name, request),
    stop,
    async remove() {
      for (const child of running) child.kill('SIGKILL')
      await stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** Programs that a test has started and that have not ended. */
const running = new Set<ChildProcess>()

/** A run that goes on: what it printed so far can be waited for. */
export class Run {
  readonly #child: ChildProcess
  readonly #stdout: Buffer[] = []
  #stderr = ''
  readonly ended: Promise<Outcome>

  constructor(args: readonly string[], env: Environment, input?: string | Buffer) {
    this.#child = spawn(process.execPath, [PROGRAM, ...args], {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    this.#child.stdout?.on('data', (chunk: Buffer) => this.#stdout.push(chunk))
    this.#child.stderr?.on('data', (chunk: Buffer) => (this.#stderr += chunk.toString()))
    this.#child.stdin?.on('error', () => undefined)
    if (input !== undefined) this.#child.stdin?.end(input)
    running.add(this.#child)
    this.#child.once('close', () => running.delete(this.#child))
    this.ended = new Promise((resolve) => {
      this.#child.once('close', (code) => resolve({ stdout: this.stdout.toString(), stderr: this.#stderr, code }))
    })
  }

  get stdout(): Buffer {
    return Buffer.concat(this.#stdout)
  }

  get stderr(): string {
    return this.#stderr
  }

  write(text: string) {
    this.#child.stdin?.write(text)
  }

  /** Stops reading what it prints, as `head` does. */
  closeOutput() {
    this.#child.stdout?.destroy()
  }

  interrupt() {
    this.#child.kill('SIGINT')
  }

  /** Resolves when what it printed so far fits; the test's own time limit ends a wait in vain. */
  async until(fits: (run: Run) => boolean) {
    while (!fits(this)) await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** Runs the program to its end. */
export function runCli(args: readonly string[], env: Environment, input: string | Buffer = ''): Promise<Outcome> {
  return new Run(args, env, input).ended
}

/** A JSON door that gives the answers it is told to; an operation without one is answered with `{}`. */
export async function startFakeDoor(answers: Partial<Record<OperationName, object | 'silence' | 'hang up'>>) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    let bytes = Buffer.alloc(0)
    socket.on('error', () => undefined)
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk])
      while (bytes.length >= FRAME_HEADER_BYTES && bytes.length >= FRAME_HEADER_BYTES + bytes.readUInt32BE(1)) {
        const type = bytes[0]
        bytes = bytes.subarray(FRAME_HEADER_BYTES + bytes.readUInt32BE(1))
        const name = (Object.keys(FRAME_TYPES) as OperationName[]).find((operation) => FRAME_TYPES[operation] === type)
        const answer = (name && answers[name]) ?? {}
        if (answer === 'hang up') socket.destroy()
        else if (answer !== 'silence') socket.write(encodeFrame(type, JSON.stringify(answer)))
      }
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    env: { CAFELOG_BROKER: `127.0.0.1:${(server.address() as AddressInfo).port}` },
    close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  }
}

/** A METADATA answer with one topic of one empty partition. */
export function metadataOf(topic: string): object {
  const partition = {
    partition: 0,
    leaderEpoch: 0,
    logStartOffset: 0,
    highWatermark: 0,
    logEndOffset: 0,
    sizeBytes: 0,
    segments: 1,
  }
  return {
    clusterId: 'c',
    brokerId: 1,
    version: '0',
    topics: [{ name: topic, id: 'i', partitions: [partition], config: {} }],
  }
}
