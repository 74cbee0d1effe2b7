import { request } from 'node:http'
import { LOG_LEVELS } from '../src/base/log-level.ts'
import type { Command } from './command.ts'
import { brokerUnreachable, CliFailure, usageFailure } from './failure.ts'
import { printRows } from './output.ts'
import type { Session } from './session.ts'

const TIMEOUT_MS = 10_000

interface Level {
  readonly level: string
  readonly levelAtStart: string
}

export const brokerLogLevel: Command = {
  name: 'broker log-level',
  summary: 'show how much the broker logs, or change it',
  details: [
    `LEVEL is one of ${LOG_LEVELS.join(', ')}. It holds until the broker is started again, when CAFELOG_LOG_LEVEL counts.`,
    'Asks over HTTP, with the token in CAFELOG_TOKEN if there is one.',
  ],
  arguments: [{ name: 'LEVEL', description: 'the least important lines to log', isOptional: true }],
  options: [],
  examples: [
    { line: 'brokerctl broker log-level', does: 'what it is' },
    { line: 'brokerctl broker log-level debug', does: 'log more for a while' },
  ],
  exitCodes: [8],
  async run(session, [word]) {
    const level = LOG_LEVELS.find((each) => each === word?.toLowerCase())
    if (word !== undefined && level === undefined) {
      throw usageFailure(`Cannot set the level to ${JSON.stringify(word)}: it must be ${LOG_LEVELS.join(', ')}`)
    }
    const answer = await ask(session, level)
    await printRows<Level>(session, [answer], {
      columns: [
        { title: 'LEVEL', value: (row) => row.level },
        { title: 'AT START', value: (row) => row.levelAtStart },
      ],
      name: (row) => row.level,
      document: answer,
      whenEmpty: '',
    })
  },
}

async function ask(session: Session, level: string | undefined): Promise<Level> {
  const url = `${session.httpUrl}/api/v1/log-level`
  const { status, body } = await send(session, url, level === undefined ? undefined : JSON.stringify({ level }))
  const answer = parseAnswer(body)
  if (status === 200 && answer.level !== undefined && answer.levelAtStart !== undefined) return answer as Level
  const message = answer.error?.message ?? `${url} does not answer as CafeLog does (status ${status})`
  if (status === 401 || status === 403) throw new CliFailure(8, 'NOT_AUTHORISED', message, ['Set CAFELOG_TOKEN'])
  throw new CliFailure(1, answer.error?.code ?? 'UNEXPECTED', message, ['Other address:  brokerctl --http URL …'])
}

function parseAnswer(
  body: string,
): Partial<Level> & { readonly error?: { readonly code?: string; readonly message?: string } } {
  try {
    const parsed: unknown = JSON.parse(body)
    return typeof parsed === 'object' && parsed !== null ? parsed : {}
  } catch {
    return {}
  }
}

function send(session: Session, url: string, body: string | undefined): Promise<{ status: number; body: string }> {
  const { CAFELOG_TOKEN: token = '' } = session.env
  const timeout = session.timeoutMs ?? TIMEOUT_MS
  const headers = {
    ...(token !== '' && { authorization: `Bearer ${token}` }),
    ...(body !== undefined && { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
  }
  return new Promise((resolve, reject) => {
    const sent = request(url, { method: body === undefined ? 'GET' : 'PUT', headers, timeout }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (piece: string) => (text += piece))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
      response.on('error', reject)
    })
    sent.on('timeout', () => sent.destroy(new CliFailure(124, 'TIMEOUT', `${url} did not answer within ${timeout} ms`)))
    sent.on('error', (error: NodeJS.ErrnoException) => {
      const why = error.code ?? error.message
      reject(error instanceof CliFailure ? error : brokerUnreachable(`cannot connect to ${url} (${why})`, error))
    })
    sent.end(body)
  })
}
