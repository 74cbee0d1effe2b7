import type { Address, Setting } from './config/config.ts'
import { ConfigError, formatAddress, SETTINGS } from './config/config.ts'

/** Why a broker did not start, in the words of whoever has to help it. */
export class StartError extends Error {
  override readonly name = 'StartError'
  /** A name for it that can be searched for. */
  readonly code: string
  /** What the process ends with: 2 bad configuration, 5 something is in use, 70 the disk failed. */
  readonly exitCode: 2 | 5 | 70
  /** What to do about it, a line each. */
  readonly hints: readonly string[]

  constructor(options: {
    readonly code: string
    readonly exitCode: 2 | 5 | 70
    readonly message: string
    readonly hints?: readonly string[]
    readonly cause?: unknown
  }) {
    super(options.message, { cause: options.cause })
    this.code = options.code
    this.exitCode = options.exitCode
    this.hints = options.hints ?? []
  }
}

/** An error as a person at a terminal needs it: what failed and why, what to do, and the code. */
export function formatStartError({ message, hints, code, exitCode }: StartError): string {
  return `${[`✗ ${message}`, ...hints.map((hint) => `  ${hint}`), `  code ${code} (exit ${exitCode})`].join('\n')}\n`
}

/**
 * Listens, and says what to do when that is refused.
 *
 * @throws StartError
 */
export async function explainListening<Result>(
  setting: Setting<Address>,
  address: Address,
  listen: () => Promise<Result>,
): Promise<Result> {
  try {
    return await listen()
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const where = `${setting.variable}=${formatAddress(address)}`
    const hints = [`Another port:  ${setting.variable}=:${address.port + 1}`]
    if (code === 'EADDRINUSE') {
      throw new StartError({
        code: 'ADDRESS_IN_USE',
        exitCode: 5,
        message: `Cannot listen on ${where}: another process has the port`,
        hints: [...hints, `Who is it?     ss -ltnp 'sport = :${address.port}'`],
        cause: error,
      })
    }
    const reason = code === 'EACCES' ? 'this user may not open the port' : message
    throw new StartError({
      code: 'ADDRESS_NOT_USABLE',
      exitCode: 2,
      message: `Cannot listen on ${where}: ${reason}`,
      hints,
      cause: error,
    })
  }
}

/** What went wrong between the data directory and the broker, unless it is explained already. */
export function toStorageStartError(directory: string, error: unknown): Error {
  if (error instanceof StartError || error instanceof ConfigError) return error
  const reason = error instanceof Error ? error.message : String(error)
  return new StartError({
    code: 'STORAGE_FAILURE',
    exitCode: 70,
    message: `Cannot open the data directory ${JSON.stringify(directory)}: ${reason}`,
    hints: [
      `Is it there, writable, and is there room?  df -h ${directory}; ls -ld ${directory}`,
      `Another directory:  ${SETTINGS.dataDirectory.variable}=./data-2`,
    ],
    cause: error,
  })
}
