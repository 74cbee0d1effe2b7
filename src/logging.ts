import type { Logger as PinoLogger } from 'pino'
import pino from 'pino'
import { createColors } from 'picocolors'
import type { LogLevel } from './config/config.ts'

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
    serializers: { err: pino.stdSerializers.err, error: pino.stdSerializers.err },
  }
  return pino(options, destination)
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
  return `${colors.dim(`${clock}.${milliseconds}`)} ${paint(name)} ${String(msg)}${pairs.join('')}\n${stacks.join('')}`
}

function formatValue(value: unknown): string {
  if (typeof value === 'string') return /^[\w.:/@-]+$/.test(value) ? value : JSON.stringify(value)
  return JSON.stringify(value)
}

function formatError(error: unknown): string {
  if (error === undefined) return ''
  const stack =
    typeof error === 'object' && error !== null && 'stack' in error ? String(error.stack) : JSON.stringify(error)
  return `${stack.replaceAll(/^/gm, '    ')}\n`
}
