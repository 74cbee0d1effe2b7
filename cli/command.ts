import type { ExitCode } from './failure.ts'
import type { Session } from './session.ts'

/** What a word on the command line can be completed with. */
export type Completes = 'topic' | 'group'

/** One option as commander writes it: `-p, --partitions <N>`. */
export interface CommandOption {
  readonly flags: string
  readonly description: string
  readonly choices?: readonly string[]
  /** May be given several times; its value is then an array. */
  readonly isRepeatable?: true
  readonly isHidden?: true
  readonly completes?: Completes
  /** Turns the text into the option's value. @throws CliFailure */
  readonly parse?: (text: string) => unknown
}

export interface CommandArgument {
  readonly name: string
  readonly description: string
  readonly isOptional?: true
  readonly isVariadic?: true
  readonly completes?: Completes
}

/** A line to copy, and what it does. */
export interface CommandExample {
  readonly line: string
  readonly does: string
}

/**
 * One command: what help, completion and docs/cli.md say about it, and what it does. `Options` is the shape that its
 * `options` describe; the program fills it in and `run` trusts it.
 */
export interface Command<Options = object> {
  /** The words that call it: `topic create`. */
  readonly name: string
  readonly summary: string
  /** What else there is to know, in paragraphs. */
  readonly details?: readonly string[]
  readonly arguments?: readonly CommandArgument[]
  readonly options?: readonly CommandOption[]
  readonly examples: readonly CommandExample[]
  /** Which exit codes mean something particular here, besides 0, 1, 2, 5, 124 and 130. */
  readonly exitCodes?: readonly ExitCode[]
  readonly isHidden?: true
  /** Returns the exit code, 0 when nothing is returned. */
  run(session: Session, words: readonly string[], options: Options): Promise<ExitCode | void>
}

/** The shape of GLOBAL_OPTIONS. */
export interface GlobalOptions {
  readonly broker?: string
  readonly http?: string
  readonly output?: string
  readonly json?: boolean
  readonly headers?: boolean
  readonly quiet?: boolean
  readonly verbose?: boolean
  readonly timeout?: string
  readonly yes?: boolean
  readonly input?: boolean
  readonly color?: string
}

/** The forms of `--output`. */
export const OUTPUT_FORMS = ['table', 'wide', 'json', 'yaml', 'jsonl', 'csv', 'name'] as const

/** Every command takes these. */
export const GLOBAL_OPTIONS: readonly CommandOption[] = [
  { flags: '-b, --broker <HOST:PORT>', description: 'the broker, TCP (env CAFELOG_BROKER, default localhost:7070)' },
  { flags: '--http <URL>', description: 'the broker, HTTP (env CAFELOG_HTTP, default http://localhost:8080)' },
  { flags: '--output <FORM>', description: 'how to print what was found (table)', choices: OUTPUT_FORMS },
  { flags: '-j, --json', description: 'the same as --output json' },
  { flags: '--no-headers', description: 'tables and CSV without their first line' },
  { flags: '-q, --quiet', description: 'no hints and summaries on stderr' },
  { flags: '-v, --verbose', description: 'more on stderr: connections, causes of failures' },
  { flags: '--timeout <DURATION>', description: 'for each answer of the broker (10s), or for a command that waits' },
  { flags: '-y, --yes', description: 'do what would be asked about' },
  { flags: '--no-input', description: 'never ask' },
  { flags: '--color <WHEN>', description: 'whether to use colours (auto)', choices: ['auto', 'always', 'never'] },
]

/** @throws CliFailure through `refuse` when the text is no whole number from `min` on. */
export function wholeNumber(name: string, min: number, refuse: (message: string) => Error): (text: string) => number {
  return (text) => {
    const number = /^\d{1,15}$/.test(text) ? Number(text) : NaN
    if (!(number >= min)) throw refuse(`Cannot use ${JSON.stringify(text)} as ${name}: a whole number from ${min} on`)
    return number
  }
}
