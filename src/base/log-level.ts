/** How important a line of the log is, the least important first; with `silent` there are none. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** The least important lines that are logged, of a log whose level may be changed while it is written. */
export interface LogLevelControl {
  readonly level: LogLevel
  /** What the level was when the broker was started. */
  readonly levelAtStart: LogLevel
  /** Changes it until the next start; `by` is who wants it, for the log. */
  change(level: LogLevel, by: string): void
}
