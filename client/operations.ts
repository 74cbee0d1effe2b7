import { FRAME_TYPES, type Messages, type OperationName } from '../src/protocols/json/wire.ts'
import type { JsonConnection } from './json-connection.ts'

/** What an operation is asked, and what it answers. docs/protocol-json.md explains each field. */
export type Request<Name extends OperationName> = Messages[Name]['request']
export type Answer<Name extends OperationName> = Messages[Name]['answer']

/**
 * Asks for one operation by its name: `await call(connection, 'METADATA', { topics: ['orders'] })`. `waitMs` is how long
 * the operation may take on purpose, as a FETCH does that waits for records.
 *
 * @throws BrokerRefusal, ConnectionFailure
 */
export async function call<Name extends OperationName>(
  connection: JsonConnection,
  name: Name,
  request: Request<Name>,
  waitMs?: number,
): Promise<Answer<Name>> {
  return (await connection.request(FRAME_TYPES[name], request, waitMs)) as Answer<Name>
}

/** What LIST_OFFSETS takes instead of a time: the high watermark, and the log start offset. */
export const LIST_OFFSETS_END = -1
export const LIST_OFFSETS_START = -2
