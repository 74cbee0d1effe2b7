import type { ErrorName } from './error-codes.ts'

/** A refusal by one of Kafka's errors that only this door knows; the others are BrokerErrors. */
export class Refusal extends Error {
  override readonly name = 'Refusal'
  readonly errorName: ErrorName

  constructor(errorName: ErrorName, message: string) {
    // See BrokerError.
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(message)
    Error.stackTraceLimit = stackTraceLimit
    this.errorName = errorName
  }
}
