/**
 * Everything a client may ask for and not get, by Kafka's own names. Each door turns a name into its own code.
 * `isRetriable`: whether the same request may succeed later without anything about it being changed.
 */
export const ERRORS = {
  CONCURRENT_TRANSACTIONS: { isRetriable: true, sentence: 'The last transaction of the producer is still ending' },
  COORDINATOR_NOT_AVAILABLE: {
    isRetriable: true,
    sentence: 'The coordinator is stopping, or cannot store anything now',
  },
  CORRUPT_MESSAGE: { isRetriable: true, sentence: 'The record batch does not match its checksum or is malformed' },
  FENCED_INSTANCE_ID: { isRetriable: false, sentence: 'Another member has taken over the group instance id' },
  FENCED_MEMBER_EPOCH: {
    isRetriable: false,
    sentence: 'The member has another epoch than the group gave it: it must join anew',
  },
  GROUP_ID_NOT_FOUND: { isRetriable: false, sentence: 'There is no such consumer group' },
  GROUP_MAX_SIZE_REACHED: { isRetriable: false, sentence: 'The consumer group takes no more members' },
  GROUP_SUBSCRIBED_TO_TOPIC: { isRetriable: false, sentence: 'Members of the group subscribe to the topic' },
  ILLEGAL_GENERATION: { isRetriable: false, sentence: 'The generation is not the one of the group' },
  INCONSISTENT_GROUP_PROTOCOL: { isRetriable: false, sentence: 'The member has no protocol in common with its group' },
  INVALID_CONFIG: { isRetriable: false, sentence: 'A configuration key or value is not valid' },
  INVALID_GROUP_ID: { isRetriable: false, sentence: 'The consumer group id is not valid' },
  INVALID_PARTITIONS: { isRetriable: false, sentence: 'The number of partitions is not valid' },
  INVALID_PRODUCER_EPOCH: { isRetriable: false, sentence: 'The producer was locked out by a later one' },
  INVALID_PRODUCER_ID_MAPPING: {
    isRetriable: false,
    sentence: 'The transactional id does not have this producer id',
  },
  INVALID_RECORD: { isRetriable: false, sentence: 'A record is not one that the topic takes' },
  INVALID_REGULAR_EXPRESSION: { isRetriable: false, sentence: 'The regular expression is not one that is taken' },
  INVALID_REQUEST: { isRetriable: false, sentence: 'The request is malformed' },
  INVALID_SESSION_TIMEOUT: { isRetriable: false, sentence: 'The session timeout is outside the range that is taken' },
  INVALID_TIMESTAMP: { isRetriable: false, sentence: 'The time of a record is out of the range that the topic takes' },
  INVALID_TOPIC_EXCEPTION: { isRetriable: false, sentence: 'The topic name is not valid' },
  INVALID_TRANSACTION_TIMEOUT: { isRetriable: false, sentence: 'The timeout of transactions is not one that is taken' },
  INVALID_TXN_STATE: { isRetriable: false, sentence: 'The transaction is not in a state in which this can be done' },
  KAFKA_STORAGE_ERROR: { isRetriable: true, sentence: 'The disk refused: full, failed, or not permitted' },
  MEMBER_ID_REQUIRED: { isRetriable: false, sentence: 'The member is to join again with the member id of this answer' },
  MESSAGE_TOO_LARGE: { isRetriable: false, sentence: 'The record batch is larger than the topic takes' },
  NON_EMPTY_GROUP: { isRetriable: false, sentence: 'The consumer group has members' },
  OFFSET_METADATA_TOO_LARGE: { isRetriable: false, sentence: 'The text beside a committed offset is too long' },
  OFFSET_OUT_OF_RANGE: { isRetriable: false, sentence: 'The offset is not in the log, or no longer' },
  OUT_OF_ORDER_SEQUENCE_NUMBER: { isRetriable: false, sentence: 'The batch is not the next one of its producer' },
  POLICY_VIOLATION: { isRetriable: false, sentence: "The broker's limits do not allow it" },
  PRODUCER_FENCED: { isRetriable: false, sentence: 'Another producer has taken over the transactional id' },
  REBALANCE_IN_PROGRESS: { isRetriable: true, sentence: 'The group is rebalancing: the member is to join again' },
  RECORD_LIST_TOO_LARGE: { isRetriable: false, sentence: 'The record batch is larger than a segment of the topic' },
  RESOURCE_NOT_FOUND: { isRetriable: false, sentence: 'What is asked for is not there, or no longer' },
  STALE_MEMBER_EPOCH: { isRetriable: false, sentence: 'The member epoch is not the current one' },
  TOPIC_ALREADY_EXISTS: { isRetriable: false, sentence: 'There is a topic of that name with other settings' },
  TRANSACTIONAL_ID_NOT_FOUND: { isRetriable: false, sentence: 'There is no such transactional id' },
  TRANSACTION_COORDINATOR_FENCED: {
    isRetriable: false,
    sentence: 'A newer transaction coordinator has taken over',
  },
  UNKNOWN_MEMBER_ID: { isRetriable: false, sentence: 'The group has no such member' },
  UNKNOWN_SERVER_ERROR: { isRetriable: true, sentence: 'The broker made a mistake' },
  UNKNOWN_TOPIC_OR_PARTITION: { isRetriable: true, sentence: 'There is no such topic or partition' },
  UNRELEASED_INSTANCE_ID: { isRetriable: false, sentence: 'Another member has the group instance id and has not left' },
  UNSTABLE_OFFSET_COMMIT: { isRetriable: true, sentence: 'A transaction that is under way will commit this offset' },
  UNSUPPORTED_ASSIGNOR: { isRetriable: false, sentence: 'There is no such assignor' },
  UNSUPPORTED_COMPRESSION_TYPE: { isRetriable: false, sentence: 'The compression cannot be read or written here' },
} as const satisfies Record<string, { isRetriable: boolean; sentence: string }>

export type BrokerErrorName = keyof typeof ERRORS

/**
 * A refusal. `message` names the action, quotes the value, then says after a colon what would have been right.
 */
export class BrokerError extends Error {
  override readonly name = 'BrokerError'
  readonly code: BrokerErrorName

  constructor(code: BrokerErrorName, message: string, options?: ErrorOptions) {
    // A refusal is an answer and no mistake: nobody asks where in the code it was made, and finding that out would be
    // most of what it costs. One request can be refused a hundred thousand times.
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(message, options)
    Error.stackTraceLimit = stackTraceLimit
    this.code = code
  }
}
