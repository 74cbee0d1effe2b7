import type { Logger as PinoLogger } from 'pino'
import pino from 'pino'
import { createColors } from 'picocolors'
import type { LogLevel, LogLevelControl } from './base/log-level.ts'
import { LOG_LEVELS } from './base/log-level.ts'

const LEVEL_NAMES: Readonly<Record<string, string>> = {
  trace: 'TRACE',
  debug: 'DEBUG',
  info: 'INFO ',
  warn: 'WARN ',
  error: 'ERROR',
  fatal: 'FATAL',
}

/**
 * The broker's log on standard error: JSON lines for machines, or on a terminal one readable line for each event. Lines
 * are written before the call returns, so that the last words of a process that ends are not lost.
 */
export function createProcessLogger(level: LogLevel): PinoLogger {
  const destination = pino.destination({ dest: 2, sync: true })
  // Whoever was to read the log is gone; that is no reason to stop serving.
  destination.on('error', () => {})
  if (!process.stderr.isTTY) return createLogger(level, destination)
  const isColored = process.env['NO_COLOR'] === undefined && process.env['TERM'] !== 'dumb'
  return createLogger(level, { write: (line) => destination.write(formatLine(line, isColored)) })
}

/** A logger that writes JSON lines to `destination`. */
export function createLogger(level: LogLevel, destination: { write(line: string): void }): PinoLogger {
  const options = {
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    hooks: { streamWrite: escapeOthers },
    serializers: { err: pino.stdSerializers.err, error: pino.stdSerializers.err },
  }
  return pino(options, destination)
}

/** What JSON lets stand in a text, and a terminal or a reader of lines may take for more: DEL, C1, two ends of lines. */
const OTHERS = /[\u007f-\u009f\u2028\u2029]/g
/** What is no letter on a terminal; the end of a line and the tabulator are asked for by stacks. */
const CONTROLS = /[^\P{Cc}\n\t]|[\u2028\u2029]/gu

function escapeOthers(line: string): string {
  return line.replace(OTHERS, toEscape)
}

function escapeControls(text: string): string {
  return text.replace(CONTROLS, toEscape)
}

function toEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** Lets the level of a logger be changed. Each change is a line in the log, as long as one of the two levels lets it through. */
export function controlLevel(logger: PinoLogger): LogLevelControl {
  const levelAtStart = logger.level as LogLevel
  const isMoreTalkative = (level: LogLevel, than: LogLevel) => LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(than)
  return {
    levelAtStart,
    get level() {
      return logger.level as LogLevel
    },
    change(level, by) {
      const before = logger.level as LogLevel
      if (level === before) return
      if (isMoreTalkative(level, before)) logger.level = level
      logger.info({ event: 'log-level', from: before, to: level, by }, 'the log level is changed until the next start')
      logger.level = level
    },
  }
}

/** One JSON line as people like to read it: `12:03:11.204 WARN  the sentence  key=value`, an error's stack below it. */
export function formatLine(line: string, isColored: boolean): string {
  const { time, level, msg, err, error, ...facts } = JSON.parse(line) as Record<string, unknown>
  const colors = createColors(isColored)
  const paint =
    level === 'info' ? colors.green : level === 'warn' ? colors.yellow : level === 'debug' ? colors.dim : colors.red
  const at = new Date(String(time))
  const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map((part) => String(part).padStart(2, '0')).join(':')
  const name = LEVEL_NAMES[String(level)] ?? String(level)
  const pairs = Object.entries(facts).map(([key, value]) => colors.dim(`  ${key}=${formatValue(value)}`))
  const stacks = [err, error].map((cause) => formatError(cause))
  const milliseconds = String(at.getMilliseconds()).padStart(3, '0')
  const sentence = escapeControls(String(msg)).replaceAll('\n', String.raw`\n`)
  return `${colors.dim(`${clock}.${milliseconds}`)} ${paint(name)} ${sentence}${pairs.join('')}\n${stacks.join('')}`
}

function formatValue(value: unknown): string {
  if (typeof value === 'string' && /^[\w.:/@-]+$/.test(value)) return value
  return escapeOthers(JSON.stringify(value))
}

function formatError(error: unknown): string {
  if (error === undefined) return ''
  const stack =
    typeof error === 'object' && error !== null && 'stack' in error ? String(error.stack) : JSON.stringify(error)
  return `${escapeControls(stack).replaceAll(/^/gm, '    ')}\n`
}
