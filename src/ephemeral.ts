import { parseArgs } from 'node:util'
import { StartError } from './start-error.ts'

/** How a broker for one test run was asked for on the command line. */
export interface EphemeralOptions {
  /** Of the JSON door; the Kafka door and HTTP have the two after it. With 0 all three are any free ones. */
  readonly port: number
  /** How the addresses are printed once the broker is ready. */
  readonly printAddresses: 'json' | 'text'
}

const PORT_MAX = 65_533
const HINT = 'For a test:  cafelog --ephemeral --port 0 --print-addresses json'

/**
 * Reads `--ephemeral [--port N] [--print-addresses json|text]`.
 *
 * @throws StartError with exit code 2
 */
export function parseEphemeral(args: readonly string[]): EphemeralOptions {
  const options = {
    ephemeral: { type: 'boolean' },
    port: { type: 'string' },
    'print-addresses': { type: 'string' },
  } as const
  let values: { port?: string | undefined; 'print-addresses'?: string | undefined }
  try {
    ;({ values } = parseArgs({ args: [...args], options, strict: true }))
  } catch (error) {
    throw refuse(`Cannot read the arguments: ${(error as Error).message}`)
  }
  const { port = '0', 'print-addresses': printAddresses = 'text' } = values
  if (!/^\d{1,5}$/.test(port) || Number(port) > PORT_MAX) {
    throw refuse(`Cannot use --port ${JSON.stringify(port)}: 0 for any free ports, or 1 to ${PORT_MAX}`)
  }
  if (printAddresses !== 'json' && printAddresses !== 'text') {
    throw refuse(`Cannot use --print-addresses ${JSON.stringify(printAddresses)}: json or text`)
  }
  return { port: Number(port), printAddresses }
}

/** The addresses as they are printed: one line of JSON, or a line for each door. */
export function formatAddresses(
  addresses: { readonly json: string; readonly kafka: string; readonly http: string },
  how: 'json' | 'text',
): string {
  if (how === 'json') return `${JSON.stringify(addresses)}\n`
  return Object.entries(addresses)
    .map(([door, address]) => `${door.padEnd(6)}${address}\n`)
    .join('')
}

function refuse(message: string): StartError {
  return new StartError({ code: 'USAGE', exitCode: 2, message, hints: [HINT] })
}
