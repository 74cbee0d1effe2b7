import { BrokerError } from '../src/base/broker-error.ts'
import { BrokerRefusal, ConnectionFailure } from '../client/json-connection.ts'

/** Every exit code of brokerctl with its meaning. */
export const EXIT_CODES = {
  0: 'done; also Ctrl-C in a command that follows',
  1: 'unexpected failure; a limit that was asked for is exceeded',
  2: 'usage error',
  3: 'topic, group or partition not found',
  4: 'partial failure: some records or items failed',
  5: 'broker unreachable',
  6: 'conflict: it exists with other settings, the group is active, or the data directory is in use',
  7: 'rejected by a schema',
  8: 'not authorised',
  10: 'the broker answers but is unhealthy or not ready',
  124: '--timeout or --wait ran out',
  130: 'interrupted before a bounded command finished',
} as const

export type ExitCode = keyof typeof EXIT_CODES

/**
 * What goes wrong for a person, in four parts: what failed and why (`message`), what helps (`help`, one line each), a
 * name that scripts and search engines can use (`code`), and the exit code.
 */
export class CliFailure extends Error {
  override readonly name = 'CliFailure'
  readonly exitCode: ExitCode
  readonly code: string
  readonly help: readonly string[]

  constructor(exitCode: ExitCode, code: string, message: string, help: readonly string[] = [], options?: ErrorOptions) {
    super(message, options)
    this.exitCode = exitCode
    this.code = code
    this.help = help
  }
}

/** Something on the command line is not right. */
export function usageFailure(message: string, ...help: string[]): CliFailure {
  return new CliFailure(2, 'USAGE', message, help)
}

const EXIT_OF_REFUSAL: Readonly<Record<string, ExitCode>> = {
  UNKNOWN_TOPIC_OR_PARTITION: 3,
  GROUP_ID_NOT_FOUND: 3,
  SCHEDULE_NOT_FOUND: 3,
  NON_EMPTY_GROUP: 6,
  SCHEMA_VALIDATION_FAILED: 7,
  INVALID_REQUEST: 2,
  OFFSET_OUT_OF_RANGE: 2,
}

const HELP_FOR_REFUSAL: Readonly<Record<string, readonly string[]>> = {
  UNKNOWN_TOPIC_OR_PARTITION: ['What is there:  brokerctl topic list'],
  GROUP_ID_NOT_FOUND: ['What is there:  brokerctl consumer list'],
  SCHEDULE_NOT_FOUND: ['What waits:  brokerctl schedule list'],
  INTERNAL_IO_ERROR: ['The broker could not use its disk. Its log says why; so may:  brokerctl health'],
}

const FILE_REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'this user may not',
  EISDIR: 'it is a folder',
}

/** Anything thrown, as a person is told of it. */
export function toCliFailure(error: unknown): CliFailure {
  if (error instanceof CliFailure) return error
  if (error instanceof BrokerRefusal) {
    const exitCode = EXIT_OF_REFUSAL[error.code] ?? (/AUTH\w+_FAILED$/.test(error.code) ? 8 : 1)
    return new CliFailure(exitCode, error.code, error.message, HELP_FOR_REFUSAL[error.code], { cause: error })
  }
  if (error instanceof BrokerError) return new CliFailure(2, error.code, error.message, [], { cause: error })
  if (error instanceof ConnectionFailure) return fromConnectionFailure(error)
  const { code, path, message } = error instanceof Error ? (error as NodeJS.ErrnoException) : { message: String(error) }
  const reason = FILE_REASONS[code ?? '']
  if (path !== undefined && reason !== undefined) {
    return new CliFailure(2, 'FILE_UNUSABLE', `Cannot use ${JSON.stringify(path)}: ${reason}`, [], { cause: error })
  }
  return new CliFailure(1, 'UNEXPECTED', message || 'something went wrong', ['With -v you see where it happened'], {
    cause: error,
  })
}

function fromConnectionFailure(error: ConnectionFailure): CliFailure {
  if (error.kind === 'timeout') {
    return new CliFailure(124, 'TIMEOUT', error.message, ['Wait longer:  --timeout 60s'], { cause: error })
  }
  if (error.kind === 'closed') return new CliFailure(130, 'INTERRUPTED', error.message, [], { cause: error })
  return brokerUnreachable(error.message, error)
}

/** The broker is not there, or no longer. */
export function brokerUnreachable(message: string, cause?: unknown): CliFailure {
  const help = [
    'Is the broker running?  Start one:  npx cafelog  (in a checkout: npm start)',
    'Other broker:  brokerctl -b HOST:PORT …',
  ]
  return new CliFailure(5, 'BROKER_UNREACHABLE', message, help, { cause })
}
