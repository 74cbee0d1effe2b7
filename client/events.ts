import type { OperationName } from '../src/protocols/json/wire.ts'

/** Where the circuit breaker stands: `open` lets nothing through, `half-open` lets one request try. */
export type CircuitState = 'closed' | 'open' | 'half-open'

/** What a client tells of, by event. */
export interface ClientEvents {
  /** A connection came about. */
  connected: [{ readonly address: string }]
  /** One broke, or was refused; `error` says why. */
  disconnected: [{ readonly address: string; readonly error: Error }]
  /** A request failed for a reason that may pass, and is sent again after `delayMs`. */
  retry: [
    {
      readonly operation: OperationName
      /** 1 for the first time that it is sent again. */
      readonly attempt: number
      readonly delayMs: number
      readonly error: Error
    },
  ]
  /** The circuit breaker went from one state to another. */
  circuit: [{ readonly state: CircuitState; readonly error: Error | undefined }]
}
