import { BrokerError } from './broker-error.ts'

/** A topic name that was checked: it can be a folder name without a second look. */
export type TopicName = string & { readonly __brand: 'TopicName' }

const PATTERN = /^[a-zA-Z0-9._-]{1,249}$/

/** What a topic name is made of, as errors say it. */
export const TOPIC_NAME_RULE = '1 to 249 letters, digits, dots, underscores or hyphens, and not "." or ".."'

/** Whether a topic could have this name, by Kafka's rule. */
export function isTopicName(text: string): text is TopicName {
  return PATTERN.test(text) && text !== '.' && text !== '..'
}

/**
 * Checks a topic name by Kafka's rule. Names of the broker's own files in the data directory begin with `@`, which no
 * topic name can.
 *
 * @throws BrokerError INVALID_TOPIC_EXCEPTION
 */
export function parseTopicName(text: string): TopicName {
  if (isTopicName(text)) return text
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text
  throw new BrokerError(
    'INVALID_TOPIC_EXCEPTION',
    `Cannot use ${JSON.stringify(shown)} as a topic name: ${TOPIC_NAME_RULE}`,
  )
}
