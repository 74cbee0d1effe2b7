import { BrokerError } from '../base/broker-error.ts'

/** UTF-16 units, so that no id takes more than 765 bytes of UTF-8 and the key in the store has room for it. */
const CHARACTERS_MAX = 255
// Control characters would tear log lines and terminals. A lone surrogate has no UTF-8, so that two ids would become one.
const FORBIDDEN = /[\p{Cc}\p{Cs}]/u

/**
 * Checks a transactional id: any text of 1 to 255 characters without control characters.
 *
 * @throws BrokerError INVALID_REQUEST
 */
export function checkTransactionalId(text: string): void {
  if (text !== '' && text.length <= CHARACTERS_MAX && !FORBIDDEN.test(text)) return
  throw new BrokerError(
    'INVALID_REQUEST',
    `Cannot use ${quoteId(text)} as a transactional id: 1 to ${CHARACTERS_MAX} characters, none of them a control character`,
  )
}

/** An id as it may stand in a message. */
export function quoteId(id: string): string {
  return JSON.stringify(id.length > 80 ? `${id.slice(0, 80)}…` : id)
}
