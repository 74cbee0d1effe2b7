import { systemClock } from '../src/base/clock.ts'
import { toEnvelope } from './envelope.ts'
import { usageFailure } from './failure.ts'
import { indentJson, isJsonText, paintJson, type Paint } from './json-text.ts'
import { localTime } from './moment.ts'
import { textOf, type LogRecord } from './record.ts'
import type { RecordFormatter } from './record-format.ts'
import type { Colors, Session } from './session.ts'
import { cutToWidth, visible } from './terminal-text.ts'

export interface PrinterOptions {
  readonly format?: RecordFormatter
  readonly pretty?: boolean
  readonly raw?: boolean
}

const LINE_FEED = Buffer.from('\n')

/**
 * How `consume` prints a record: as the options say, else a line to read on a terminal, else the value.
 *
 * @throws CliFailure when the options contradict each other.
 */
export function printerFor(session: Session, options: PrinterOptions): RecordFormatter {
  const isJson = session.output === 'json' || session.output === 'jsonl'
  if (!isJson && session.output !== 'table' && session.output !== 'wide') {
    throw usageFailure(`Records cannot be printed as ${session.output}: json (-j), --pretty, --raw, or a format (-f)`)
  }
  const said = [options.format && '-f', isJson && '-j', options.pretty && '--pretty', options.raw && '--raw'].filter(
    Boolean,
  )
  if (said.length > 1) throw usageFailure(`${said.join(' and ')} exclude each other`)
  if (options.format) return options.format
  if (isJson) return (record) => Buffer.from(`${toEnvelope(record)}\n`)
  if (options.pretty === true) return (record) => Buffer.from(prettyRecord(session.colors, record))
  if (session.isTerminal && options.raw !== true) return (record) => Buffer.from(lineOf(session, record))
  return (record) => (record.value === null ? LINE_FEED : Buffer.concat([record.value, LINE_FEED]))
}

/** `12:03:11.204  orders/2 @1841  user42  {"id":7,…}`, cut to the width of the terminal. */
function lineOf(session: Session, record: LogRecord): string {
  const { colors } = session
  const time = timeOfDay(record.timestamp)
  const place = `${record.topic}/${record.partition} @${record.offset}`
  const key = cutToWidth(record.key === null ? '–' : visible(textOf(record.key) ?? hex(record.key)), 40)
  const room = Math.max(20, session.columns - time.length - place.length - key.length - 6)
  return `${colors.dim(time)}  ${colors.cyan(place)}  ${colors.yellow(key)}  ${shortValue(colors, record.value, room)}\n`
}

function shortValue(colors: Colors, value: Buffer | null, columns: number): string {
  if (value === null) return colors.dim('(no value)')
  // More than fits is not worth looking at: the whole value may be megabytes.
  const isShort = value.length <= 8 * columns
  const text = textOf(value)
  if (text === undefined) return colors.dim(cutToWidth(hex(value.subarray(0, columns)), columns))
  const shown = cutToWidth(visible(isShort ? text : text.slice(0, 8 * columns)), columns)
  return isJsonText(text) ? paintJson(shown, painter(colors)) : shown
}

function prettyRecord(colors: Colors, record: LogRecord): string {
  const facts = [
    colors.dim(localTime(record.timestamp)),
    colors.cyan(`${record.topic}/${record.partition} @${record.offset}`),
  ]
  if (record.key !== null) facts.push(colors.yellow(visible(textOf(record.key) ?? hex(record.key))))
  for (const { key, value } of record.headers) {
    facts.push(colors.magenta(visible(`${key}=${value === null ? '' : (textOf(value) ?? hex(value))}`)))
  }
  return `${facts.join('  ')}\n${prettyValue(colors, record.value)}\n`
}

function prettyValue(colors: Colors, value: Buffer | null): string {
  if (value === null) return colors.dim('(no value)')
  const text = textOf(value)
  if (text === undefined) return colors.dim(hex(value))
  return isJsonText(text)
    ? indentJson(text, (token, kind) => painter(colors)(visible(token), kind))
    : text.split('\n').map(visible).join('\n')
}

function hex(bytes: Buffer): string {
  return `0x${bytes.toString('hex')}`
}

function painter(colors: Colors): Paint {
  return (token, kind) => {
    if (kind === 'key') return colors.blue(token)
    if (kind === 'string') return colors.green(token)
    return kind === 'mark' ? token : colors.magenta(token)
  }
}

/** The time alone for records of today, which most of those that one watches are. */
function timeOfDay(timestamp: number): string {
  const [time, today] = [localTime(timestamp), localTime(systemClock.now()).slice(0, 11)]
  return time.startsWith(today) ? time.slice(11) : time
}
