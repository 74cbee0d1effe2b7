import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../src/base/clock.ts'
import type { Command } from './command.ts'
import { brokerUnreachable, CliFailure, usageFailure } from './failure.ts'
import { parseDuration } from './moment.ts'
import { printRows } from './output.ts'
import type { Session } from './session.ts'

const WAIT_INTERVAL_MS = 200

interface Options {
  readonly ready?: boolean
  readonly live?: boolean
  readonly wait?: number
}

interface Check {
  readonly name: string
  readonly ok: boolean
  readonly detail?: string
}

interface Health {
  readonly status: string
  readonly isOk: boolean
  readonly checks: readonly Check[]
  readonly document: object
}

export const health: Command<Options> = {
  name: 'health',
  summary: 'ask whether the broker is well',
  details: [
    'Asks /healthz over HTTP, or /readyz (--ready), or /livez (--live). Ends with code 10 when the broker answers that it is not.',
  ],
  options: [
    { flags: '--ready', description: 'whether it can take requests' },
    { flags: '--live', description: 'whether it is alive at all' },
    {
      flags: '--wait <DURATION>',
      description: 'try again until it is well, for so long at most',
      parse: parseDuration,
    },
  ],
  examples: [
    { line: 'brokerctl health', does: 'status and checks' },
    { line: 'brokerctl health --ready --wait 30s', does: 'in a script: wait until the broker is up' },
  ],
  exitCodes: [10],
  async run(session, _words, options) {
    if (options.ready === true && options.live === true) throw usageFailure('--ready and --live exclude each other')
    const path = options.ready === true ? '/readyz' : options.live === true ? '/livez' : '/healthz'
    const answer =
      options.wait === undefined ? await ask(session, path) : await waitUntilWell(session, path, options.wait)
    await print(session, answer)
    return answer.isOk ? 0 : 10
  },
}

async function print(session: Session, { status, isOk, checks, document }: Health) {
  const { colors } = session
  await printRows<Check>(session, checks, {
    columns: [
      { title: 'CHECK', value: (check) => check.name },
      { title: 'OK', value: (check) => (check.ok ? 'yes' : 'no') },
      { title: 'DETAIL', value: (check) => check.detail ?? '' },
    ],
    name: (check) => check.name,
    document,
    heading: `${isOk ? colors.green(status) : colors.red(status)}  ${colors.dim(session.httpUrl)}`,
    whenEmpty: '',
  })
}

async function waitUntilWell(session: Session, path: string, waitMs: number): Promise<Health> {
  const deadline = systemClock.monotonic() + waitMs
  for (;;) {
    const answer = await ask(session, path).catch((error: unknown) => error)
    if (isHealth(answer) && answer.isOk) return answer
    if (systemClock.monotonic() + WAIT_INTERVAL_MS > deadline) {
      const why = isHealth(answer)
        ? `it says ${answer.status}`
        : answer instanceof Error
          ? answer.message
          : String(answer)
      throw new CliFailure(124, 'TIMEOUT', `The broker was not well in time: ${why}`)
    }
    await sleep(WAIT_INTERVAL_MS)
  }
}

function isHealth(value: unknown): value is Health {
  return typeof value === 'object' && value !== null && 'isOk' in value
}

async function ask(session: Session, path: string): Promise<Health> {
  const { status, body } = await httpGet(`${session.httpUrl}${path}`, session.timeoutMs ?? 10_000)
  if (status === 401 || status === 403)
    throw new CliFailure(8, 'NOT_AUTHORISED', `${session.httpUrl} refuses this user (status ${status})`)
  const document = parseObject(body)
  if (document === undefined || (status !== 200 && status !== 503)) {
    throw new CliFailure(
      1,
      'UNEXPECTED',
      `${session.httpUrl}${path} does not answer as CafeLog does (status ${status})`,
      ['Other address:  brokerctl --http URL …'],
    )
  }
  const text = typeof document['status'] === 'string' ? document['status'] : status === 200 ? 'ok' : 'not ready'
  const isOk = status === 200 && text !== 'degraded'
  return {
    status: text,
    isOk,
    checks: Array.isArray(document['checks']) ? (document['checks'] as Check[]) : [],
    document,
  }
}

function httpGet(url: string, timeoutMs: number): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const request = get(url, { timeout: timeoutMs }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (text: string) => (body += text))
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
      response.on('error', reject)
    })
    request.on('timeout', () =>
      request.destroy(new CliFailure(124, 'TIMEOUT', `${url} did not answer within ${timeoutMs} ms`)),
    )
    request.on('error', (error: NodeJS.ErrnoException) => {
      reject(
        error instanceof CliFailure
          ? error
          : brokerUnreachable(`cannot connect to ${url} (${error.code ?? error.message})`, error),
      )
    })
  })
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
