import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../src/base/clock.ts'
import type { JsonConnection } from '../client/json-connection.ts'
import { wholeNumber, type Command } from './command.ts'
import { CliFailure, usageFailure, type ExitCode } from './failure.ts'
import { lagColumns, lagHeading, readLag, type GroupLag, type LagRow } from './groups.ts'
import { LagTrend } from './lag-trend.ts'
import { groupDigits } from './numbers.ts'
import { printRows, type Column } from './output.ts'
import type { Session } from './session.ts'

const WATCH_INTERVAL_MS = 1_000
const WAIT_INTERVAL_MS = 200

interface Options {
  readonly topic?: string
  readonly max?: number
  readonly exitWhenZero?: boolean
  readonly watch?: boolean
}

export const consumerLag: Command<Options> = {
  name: 'consumer lag',
  summary: 'show how far a group is behind',
  details: [
    'The lag of a partition is its log end offset minus the committed offset: the records that the group has not got yet. The time lag is the age of the record that it wants next. Where the group has committed nothing, neither is known.',
  ],
  arguments: [{ name: 'GROUP', description: 'the group', completes: 'group' }],
  options: [
    { flags: '--topic <TOPIC>', description: 'only this topic', completes: 'topic' },
    {
      flags: '--max <N>',
      description: 'end with code 1 when the total lag is greater',
      parse: wholeNumber('a lag', 0, usageFailure),
    },
    { flags: '--exit-when-zero', description: 'wait until the group has caught up; --timeout limits the wait' },
    { flags: '--watch', description: 'show it again every second until Ctrl-C' },
  ],
  examples: [
    { line: 'brokerctl consumer lag analytics', does: 'lag of each partition' },
    { line: 'brokerctl consumer lag analytics --max 1000', does: 'for a script: code 1 when it is more' },
    {
      line: 'brokerctl consumer lag analytics --exit-when-zero --timeout 60s',
      does: 'wait up to a minute until all is read',
    },
  ],
  exitCodes: [3],
  async run(session, [group = ''], options) {
    if (options.watch === true && options.exitWhenZero === true)
      throw usageFailure('--watch and --exit-when-zero exclude each other')
    const connection = await session.connect()
    if (options.watch === true) return watch(session, connection, group, options)
    const lag =
      options.exitWhenZero === true
        ? await waitForZero(session, connection, group, options)
        : await readLag(connection, group, options.topic)
    await print(session, lag)
    return exceeds(session, lag, options.max)
  },
}

async function print(session: Session, lag: GroupLag, trend?: LagTrend) {
  const columns = lagColumns(lag)
  const trendColumn: Column<LagRow> = {
    title: 'TREND',
    value: ({ topic, partition, lag: records }) =>
      records === null ? null : (trend?.sparkline(topic, partition) ?? null),
  }
  await printRows(session, lag.partitions, {
    columns: trend === undefined ? columns : columns.toSpliced(-1, 0, trendColumn),
    name: () => lag.group,
    heading: lagHeading(session, lag, trend?.summary),
    document: lag,
  })
}

function exceeds(session: Session, lag: GroupLag, max = Infinity): ExitCode {
  if (lag.totalLag <= max) return 0
  session.warn(`The lag of ${groupDigits(lag.totalLag)} is more than ${groupDigits(max)}`)
  return 1
}

async function watch(session: Session, connection: JsonConnection, group: string, options: Options): Promise<ExitCode> {
  const interrupted = session.takeInterrupts()
  const trend = new LagTrend()
  while (!interrupted.aborted) {
    const lag = await readLag(connection, group, options.topic)
    trend.add(lag, systemClock.monotonic())
    if (session.isTerminal) await session.write('\u001b[2J\u001b[H')
    await print(session, lag, trend)
    await sleep(WATCH_INTERVAL_MS, undefined, { signal: interrupted }).catch(() => undefined)
  }
  return 0
}

async function waitForZero(
  session: Session,
  connection: JsonConnection,
  group: string,
  options: Options,
): Promise<GroupLag> {
  const deadline = systemClock.monotonic() + (session.timeoutMs ?? Infinity)
  for (;;) {
    const lag = await readLag(connection, group, options.topic)
    if (lag.totalLag === 0) return lag
    if (systemClock.monotonic() + WAIT_INTERVAL_MS > deadline) {
      throw new CliFailure(
        124,
        'TIMEOUT',
        `The time is up: group "${group}" still has a lag of ${groupDigits(lag.totalLag)}`,
      )
    }
    await sleep(WAIT_INTERVAL_MS)
  }
}
