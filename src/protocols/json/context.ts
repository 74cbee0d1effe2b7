import type { Logger } from '../../base/logger.ts'
import type { Broker } from '../../broker/broker.ts'
import type { Fields } from './fields.ts'
import type { Messages, OperationName } from './wire.ts'

/** What all operations have to work with. */
export interface DoorContext {
  readonly broker: Broker
  readonly logger: Logger
}

/** What an operation has to work with. */
export interface OperationContext extends DoorContext {
  /** Who asks, as `address:port`. */
  readonly peer: string
}

/**
 * An operation off the road of records: reads the fields of its request, asks the broker, and returns the answer.
 * Refusals are thrown, or rejected with, as BrokerError.
 */
export type Operation<Name extends OperationName> = (
  context: OperationContext,
  fields: Fields,
) => Messages[Name]['answer'] | Promise<Messages[Name]['answer']>
