/** A timer that has not fired yet. */
export interface Timer {
  /** Cancels it; does nothing once it has fired. */
  cancel(): void
}

/**
 * Where the broker gets its time from. Tests pass a clock that they turn by hand; nothing else in the sources may ask
 * the machine for the time.
 */
export interface Clock {
  /** Wall-clock time in whole milliseconds since 1970. May jump in either direction. */
  now(): number
  /** Milliseconds, with a fraction, since some fixed moment. Never goes back. */
  monotonic(): number
  /** Calls `callback` once, `delayMs` from now. A pending timer does not keep the process alive. */
  setTimer(delayMs: number, callback: () => void): Timer
}

/** The machine's own time. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  setTimer(delayMs, callback) {
    const timeout = setTimeout(callback, delayMs)
    timeout.unref()
    return { cancel: () => clearTimeout(timeout) }
  },
}
