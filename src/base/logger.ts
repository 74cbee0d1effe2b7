/**
 * What a room needs to say about itself: one line per event that matters, facts in `fields`, a short sentence after them.
 * pino's loggers fit it.
 */
export interface Logger {
  debug(fields: object, sentence: string): void
  info(fields: object, sentence: string): void
  warn(fields: object, sentence: string): void
  error(fields: object, sentence: string): void
}

/** Says nothing. */
export const silentLogger: Logger = {
  debug() {},
  info() {},
  warn() {},
  error() {},
}
