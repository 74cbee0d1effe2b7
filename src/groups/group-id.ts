import { BrokerError } from '../base/broker-error.ts'

/** A consumer group's id that was checked. */
export type GroupId = string & { readonly __brand: 'GroupId' }

/** UTF-16 units, so that no id takes more than 765 bytes of UTF-8 and a key in the store has room for it. */
const CHARACTERS_MAX = 255
// Control characters would tear log lines and terminals, and separate the parts of keys in the store. A lone surrogate
// has no UTF-8, so that two different ids would become one.
const FORBIDDEN = /[\p{Cc}\p{Cs}]/u

/**
 * Checks a consumer group's id: any text of 1 to 255 characters without control characters.
 *
 * @throws BrokerError INVALID_GROUP_ID
 */
export function parseGroupId(text: string): GroupId {
  if (!isStorableId(text)) {
    const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text
    throw new BrokerError(
      'INVALID_GROUP_ID',
      `Cannot use ${JSON.stringify(shown)} as a consumer group id: ${ID_WANTED}`,
    )
  }
  return text as GroupId
}

/** Whether a text can be the id of a group, of a member or of an instance: it is part of keys in the store. */
export function isStorableId(text: string): boolean {
  return text !== '' && text.length <= CHARACTERS_MAX && !FORBIDDEN.test(text)
}

/** What an id is to be, for a message. */
export const ID_WANTED = `1 to ${CHARACTERS_MAX} characters, none of them a control character`
