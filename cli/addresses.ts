import { usageFailure } from './failure.ts'

const BROKER_PORT = 7070
const HTTP_PORT = 8080

export interface BrokerAddress {
  readonly host: string
  readonly port: number
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Where the JSON door is: the flag, else CAFELOG_BROKER, else the port that a broker started in the same environment
 * would listen on (CAFELOG_TCP_ADDR), else localhost:7070.
 *
 * @throws CliFailure
 */
export function parseBrokerAddress(flag: string | undefined, env: Environment): BrokerAddress {
  const text = flag ?? (env['CAFELOG_BROKER'] || undefined)
  if (text === undefined) return listenerAddress(env['CAFELOG_TCP_ADDR']) ?? { host: 'localhost', port: BROKER_PORT }
  const address = splitAddress(text, BROKER_PORT)
  if (address === undefined || address.port === 0) {
    throw usageFailure(
      `Cannot use ${JSON.stringify(text)} as the broker's address: HOST:PORT, as in localhost:7070 or [::1]:7070`,
    )
  }
  return { host: address.host || 'localhost', port: address.port }
}

/**
 * Where HTTP is, without a slash at the end: the flag, else CAFELOG_HTTP, else by CAFELOG_HTTP_ADDR, else
 * http://localhost:8080.
 *
 * @throws CliFailure
 */
export function parseHttpUrl(flag: string | undefined, env: Environment): string {
  const text = flag ?? (env['CAFELOG_HTTP'] || undefined)
  if (text === undefined) {
    const { host, port } = listenerAddress(env['CAFELOG_HTTP_ADDR']) ?? { host: 'localhost', port: HTTP_PORT }
    return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  }
  const url = text.includes('://') ? text : `http://${text}`
  if (!URL.canParse(url) || !url.startsWith('http://')) {
    throw usageFailure(
      `Cannot use ${JSON.stringify(text)} as the broker's HTTP address: a URL, as in http://localhost:8080`,
    )
  }
  return url.replace(/\/+$/, '')
}

/** The address at which one reaches a listener: all interfaces means this machine, port 0 says nothing. */
function listenerAddress(text: string | undefined): BrokerAddress | undefined {
  const address = text === undefined ? undefined : splitAddress(text, 0)
  if (address === undefined || address.port === 0) return undefined
  const isAnyHost = address.host === '' || address.host === '0.0.0.0' || address.host === '::'
  return { host: isAnyHost ? 'localhost' : address.host, port: address.port }
}

function splitAddress(text: string, defaultPort: number): BrokerAddress | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s/]*))(?::(\d{1,5}))?$/.exec(text)
  if (!match || text === '') return undefined
  const port = match[3] === undefined ? defaultPort : Number(match[3])
  return port > 65_535 ? undefined : { host: match[1] ?? match[2] ?? '', port }
}
