import { createInterface } from 'node:readline/promises'
import pico from 'picocolors'
import { openConnection, type JsonConnection } from '../client/json-connection.ts'
import { parseBrokerAddress, parseHttpUrl, type BrokerAddress } from './addresses.ts'
import type { GlobalOptions, OUTPUT_FORMS } from './command.ts'
import { CliFailure, usageFailure } from './failure.ts'
import { parseDuration } from './moment.ts'

export type OutputForm = (typeof OUTPUT_FORMS)[number]
export type Colors = ReturnType<typeof pico.createColors>

/** Longer than this and the broker is taken for dead, unless --timeout says otherwise. */
const TIMEOUT_MS = 10_000

/** The process as the commands use it; a part of `process`, so that nothing else is touched. */
export interface ProcessLike {
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  readonly env: Readonly<Record<string, string | undefined>>
  on(signal: 'SIGINT' | 'SIGTERM', listener: () => void): unknown
  exit(code: number): never
}

/** One run of the program: its streams, its settings, its connections. */
export class Session {
  readonly #process: ProcessLike
  readonly #connections: JsonConnection[] = []
  readonly #interrupted = new AbortController()
  #handlesInterrupts = false
  /** One for all who wait for room in stdout. */
  #drained: Promise<void> | undefined

  readonly version: string
  readonly broker: BrokerAddress
  readonly httpUrl: string
  readonly output: OutputForm
  readonly hasHeaders: boolean
  readonly isQuiet: boolean
  readonly isVerbose: boolean
  /** What --timeout says, undefined when nothing was said. */
  readonly timeoutMs: number | undefined
  readonly assumesYes: boolean
  /** For stdout and for stderr: they can differ. */
  readonly colors: Colors
  readonly noteColors: Colors
  readonly #mayAsk: boolean

  /** @throws CliFailure when a setting is not right. */
  constructor(theProcess: ProcessLike, options: GlobalOptions, version: string) {
    const { env, stdin, stdout, stderr } = theProcess
    this.#process = theProcess
    this.version = version
    this.broker = parseBrokerAddress(options.broker, env)
    this.httpUrl = parseHttpUrl(options.http, env)
    this.output = (options.json === true ? 'json' : (options.output ?? 'table')) as OutputForm
    this.hasHeaders = options.headers !== false
    this.isQuiet = options.quiet === true
    this.isVerbose = options.verbose === true
    this.timeoutMs = options.timeout === undefined ? undefined : parseDuration(options.timeout)
    this.assumesYes = options.yes === true
    this.#mayAsk = options.input !== false && stdin.isTTY && stderr.isTTY
    this.colors = colorsFor(stdout, options.color, env)
    this.noteColors = colorsFor(stderr, options.color, env)
    theProcess.on('SIGINT', () => this.#interrupt())
    theProcess.on('SIGTERM', () => this.#interrupt())
  }

  get stdin(): NodeJS.ReadStream {
    return this.#process.stdin
  }

  get env(): ProcessLike['env'] {
    return this.#process.env
  }

  /** Whether a person looks at stdout. */
  get isTerminal(): boolean {
    return this.#process.stdout.isTTY
  }

  /** The width of the terminal in columns. */
  get columns(): number {
    return this.#process.stdout.columns || 80
  }

  /** Writes data to stdout; resolves when there is room for more. */
  async write(data: string | Buffer): Promise<void> {
    if (this.#process.stdout.write(data)) return
    this.#drained ??= new Promise<void>((resolve) => this.#process.stdout.once('drain', resolve)).then(() => {
      this.#drained = undefined
    })
    await this.#drained
  }

  /** Says something beside the data, on stderr; not with -q. */
  note(text: string): void {
    if (!this.isQuiet) this.#process.stderr.write(`${text}\n`)
  }

  /** Says on stderr what is not as it should be, even with -q. */
  warn(text: string): void {
    this.#process.stderr.write(`${this.noteColors.yellow('!')} ${text}\n`)
  }

  /** Connects to the JSON door. The connection is closed when the command is over. */
  async connect(): Promise<JsonConnection> {
    const timeoutMs = this.timeoutMs ?? TIMEOUT_MS
    const connection = await openConnection({
      ...this.broker,
      connectTimeoutMs: timeoutMs,
      requestTimeoutMs: timeoutMs,
    })
    if (this.isVerbose) this.note(this.noteColors.dim(`connected to ${connection.address}`))
    this.#connections.push(connection)
    return connection
  }

  /** Fires on the first Ctrl-C or SIGTERM. From this call on those do not end the program; a second one does. */
  takeInterrupts(): AbortSignal {
    this.#handlesInterrupts = true
    return this.#interrupted.signal
  }

  /**
   * Asks on the terminal. Where nobody can answer it refuses.
   *
   * @throws CliFailure
   */
  async confirm(question: string): Promise<void> {
    if (this.assumesYes) return
    if (!this.#mayAsk) throw usageFailure(`Nobody here can answer "${question}"`, 'Answer on the command line:  --yes')
    const dialogue = createInterface({ input: this.#process.stdin, output: this.#process.stderr })
    // Ctrl-C and Ctrl-D are a no, too; after the latter the question itself would stay open for ever.
    const closed = new Promise<undefined>((resolve) => dialogue.once('close', () => resolve(undefined)))
    const asked = dialogue.question(`${question} [y/N] `, { signal: this.takeInterrupts() }).catch(() => undefined)
    const answer = await Promise.race([asked, closed])
    dialogue.close()
    if (answer === undefined) this.#process.stderr.write('\n')
    if (!/^\s*y(es)?\s*$/i.test(answer ?? '')) throw new CliFailure(130, 'INTERRUPTED', 'Nothing was changed')
  }

  /** Closes every connection. */
  close(): void {
    for (const connection of this.#connections) connection.close()
  }

  #interrupt() {
    if (this.#handlesInterrupts && !this.#interrupted.signal.aborted) this.#interrupted.abort()
    else this.#process.exit(130)
  }
}

/** Colours for a stream: none unless a person looks at it and wants them, or `when` says so. */
export function colorsFor(stream: NodeJS.WriteStream, when: string | undefined, env: ProcessLike['env']): Colors {
  // Of a pipe it is undefined, which would leave the choice to the colour library.
  const isWanted = stream.isTTY ? (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb' : false
  return pico.createColors(when === 'always' || (when !== 'never' && isWanted))
}
