/**
 * The JSON door's protocol as both ends see it: frame, operations, messages, error codes. docs/protocol-json.md explains
 * it to readers, test/system/protocol-doc.test.ts compares the two.
 */

// One frame, in both directions:
//   0 type u8 │ 1 length u32 BE │ 5 payload, `length` bytes of UTF-8 JSON
export const FRAME_HEADER_BYTES = 5

/** A longer payload is refused, and the connection closed after the refusal: its end cannot be waited for. */
export const FRAME_PAYLOAD_BYTES_MAX = 10 * 1024 * 1024

/** Every operation with the type byte of its frames. */
export const FRAME_TYPES = {
  CREATE_TOPIC: 1,
  PRODUCE: 2,
  FETCH: 3,
  COMMIT: 4,
  HEARTBEAT: 5,
  METADATA: 6,
  LIST_OFFSETS: 7,
  FETCH_OFFSETS: 8,
  DELETE_TOPIC: 9,
  ALTER_TOPIC: 10,
  LIST_GROUPS: 11,
  DELETE_OFFSETS: 12,
  DELETE_RECORDS: 13,
  BROKER_INFO: 14,
  INIT_PRODUCER_ID: 15,
  PRODUCE_BATCHES: 16,
  FETCH_BATCHES: 17,
  LIST_SCHEDULES: 18,
  GET_SCHEDULE: 19,
  CANCEL_SCHEDULE: 20,
  RESCHEDULE: 21,
  SEND_SCHEDULE_NOW: 22,
  LIST_DEAD_LETTERS: 25,
  GET_DEAD_LETTER: 26,
  CHECK_DEAD_LETTERS: 27,
  REDRIVE: 28,
  DISCARD_DEAD_LETTERS: 29,
  LIST_REDRIVES: 30,
  CANCEL_REDRIVE: 31,
  GET_SCHEMA: 32,
  SET_SCHEMA: 33,
  UNSET_SCHEMA: 34,
  CHECK_SCHEMA: 35,
  BEGIN_SNAPSHOT: 40,
  READ_SNAPSHOT: 41,
  END_SNAPSHOT: 42,
} as const

export type OperationName = keyof typeof FRAME_TYPES

/** What an error answer's `code` can be. `isRetriable`: whether the same request may succeed later, unchanged. */
export const WIRE_ERRORS = {
  UNKNOWN_TOPIC_OR_PARTITION: { isRetriable: false, sentence: 'There is no such topic or partition: create it first' },
  OFFSET_OUT_OF_RANGE: { isRetriable: false, sentence: 'The offset is not in the log, or no longer' },
  SCHEMA_VALIDATION_FAILED: { isRetriable: false, sentence: "A record does not fit its topic's schema" },
  INTERNAL_IO_ERROR: { isRetriable: true, sentence: 'Persistence failed: permissions, space, or a damaged disk' },
  INVALID_REQUEST: { isRetriable: false, sentence: 'The frame or its payload is malformed' },
  GROUP_ID_NOT_FOUND: { isRetriable: false, sentence: 'There is no such consumer group (types from 6 up)' },
  NON_EMPTY_GROUP: { isRetriable: false, sentence: 'The consumer group has members (types from 6 up)' },
  UNKNOWN_MEMBER_ID: { isRetriable: false, sentence: 'The group has no such member, or no longer: join again' },
  FENCED_MEMBER_EPOCH: { isRetriable: false, sentence: "The generation is not the member's: join again" },
  STALE_MEMBER_EPOCH: { isRetriable: false, sentence: "The generation is not the member's: take the new one" },
  FENCED_INSTANCE_ID: { isRetriable: false, sentence: 'Another member goes by that instance id' },
  UNRELEASED_INSTANCE_ID: { isRetriable: true, sentence: 'The member with that instance id has not left yet' },
  GROUP_MAX_SIZE_REACHED: { isRetriable: false, sentence: 'The group takes no more members' },
  OUT_OF_ORDER_SEQUENCE_NUMBER: { isRetriable: false, sentence: 'The batch is not the next one of its producer' },
  INVALID_PRODUCER_EPOCH: {
    isRetriable: false,
    sentence: 'Somebody else goes by the producer id since, in a later epoch',
  },
  CORRUPT_MESSAGE: { isRetriable: true, sentence: 'The record batch was damaged on its way: send it again' },
  SCHEDULE_NOT_FOUND: {
    isRetriable: false,
    sentence: 'No record waits under that id: the message says what is known of it',
  },
} as const satisfies Record<string, { isRetriable: boolean; sentence: string }>

export type WireErrorCode = keyof typeof WIRE_ERRORS

/**
 * The payload of every refusal. `partitions` stands in the answer to a PRODUCE of which a part was stored, `records` in one
 * that was refused because of records that do not fit the topic's schema: the first hundred of them.
 */
export interface ErrorAnswer {
  readonly error: { readonly code: WireErrorCode; readonly message: string }
  readonly partitions?: readonly (ProducedPartition | RefusedPartition)[]
  readonly records?: readonly WireRecordFault[]
}

/** A record that does not fit the schema of its topic. */
export interface WireRecordFault {
  /** Which record of the request, from 0. */
  readonly index: number
  /** Where in its value, as a JSON Pointer; '' is the value itself. */
  readonly pointer: string
  /** A keyword of JSON Schema, or `parse`, `too_large`, `too_deep`, `too_costly`. */
  readonly reason: string
  readonly message: string
}

/** One record of a PRODUCE. Key and value are base64 (standard alphabet, padded), null, or absent, which is null. */
export interface ProduceRecord {
  readonly key?: string | null
  readonly value?: string | null
  /** Unix milliseconds; the broker's time when absent. */
  readonly ts?: number
  /** Unix milliseconds from which on the record is delivered. */
  readonly dueAt?: number
  readonly headers?: readonly RecordHeader[]
}

export interface RecordHeader {
  readonly key: string
  readonly value: string | null
}

export interface ProducedPartition {
  readonly partition: number
  readonly baseOffset: number
  readonly numRecords: number
  readonly highWatermark: number
  /** How many records do not fit the topic's schema and went to its dead letter topic; absent when none did. */
  readonly deadLetters?: number
}

/** A record of a PRODUCE that waits until it is due. It has no offset before. */
export interface ScheduledRecord {
  /** Which record of the request, from 0. */
  readonly record: number
  readonly id: string
  readonly partition: number
  /** Unix milliseconds. */
  readonly dueAt: number
}

/** A record that waits, as a list shows it. */
export interface ScheduleOverview {
  readonly id: string
  readonly topic: string
  readonly partition: number
  /** Unix milliseconds, as the next one. */
  readonly dueAt: number
  readonly acceptedAt: number
  readonly key: string | null
  /** -1 when the value is null. */
  readonly valueBytes: number
}

/** All of a record that waits. */
export interface ScheduleDetails extends ScheduleOverview {
  readonly value: string | null
  readonly ts: number
  readonly headers: readonly RecordHeader[]
}

/** What has become of a dead letter. */
export type LetterState = 'open' | 'redriven' | 'discarded'

/** Which dead letters are meant: all that is given must fit. */
export interface LetterSelection {
  readonly reasons?: readonly string[]
  /** Where in the value the fault was, as a JSON Pointer. */
  readonly pointer?: string
  /** The topic that the record was sent to. */
  readonly origin?: string
  readonly group?: string
  /** Became a dead letter then or later, Unix milliseconds. */
  readonly fromTime?: number
  /** Became a dead letter before then. */
  readonly toTime?: number
  /** These only: `partition@offset`. */
  readonly ids?: readonly string[]
}

/** One change to the value of a dead letter, before it is sent again. Places are JSON Pointers. */
export type LetterRepair =
  | { readonly op: 'set'; readonly path: string; readonly value: unknown }
  | { readonly op: 'rename'; readonly from: string; readonly to: string }
  | { readonly op: 'remove'; readonly path: string }

/** How dead letters are to be sent again. */
export interface LetterOrder {
  /** The topic to send them to; each to the one that it came from when absent. */
  readonly to?: string
  readonly repair?: readonly LetterRepair[]
  /** Also those that were redriven three times already. */
  readonly force?: boolean
}

/** How many dead letters of a topic are in which state. */
export interface LetterTopic {
  /** The dead letter topic. */
  readonly topic: string
  readonly partitions: number
  readonly open: number
  readonly redriven: number
  readonly discarded: number
  /** When the first of the open ones became one, Unix milliseconds; null when there is none. */
  readonly oldest: number | null
}

/** A dead letter, as a list shows it. What its headers do not say is null. */
export interface LetterOverview {
  /** `partition@offset`. */
  readonly id: string
  readonly partition: number
  readonly offset: number
  readonly state: LetterState
  /** When it became one, Unix milliseconds. */
  readonly time: number
  readonly reason: string | null
  readonly message: string | null
  readonly pointer: string | null
  /** `topic/partition@offset` */
  readonly origin: string | null
  readonly group: string | null
  readonly attempts: number | null
  readonly redriveCount: number
  readonly key: string | null
  /** -1 when the value is null. */
  readonly valueBytes: number
}

/** All of a dead letter. */
export interface LetterDetails extends LetterOverview {
  readonly value: string | null
  /** The record's own timestamp. */
  readonly ts: number
  readonly headers: readonly RecordHeader[]
  /** The redrive or discard that gave it its state; null while it is open. */
  readonly redrive: number | null
}

/** Why a dead letter would not be sent, or was not. */
export interface LetterProblem {
  /** `partition@offset`. */
  readonly id: string
  readonly reason: string
  readonly pointer: string
  readonly message: string
}

/** A redrive or discard: what was asked for, by whom, and how far it is. */
export interface RedriveOverview {
  readonly id: number
  readonly kind: 'redrive' | 'discard'
  readonly topic: string
  readonly state: 'running' | 'cancelling' | 'done' | 'cancelled'
  readonly by: string
  readonly note: string
  readonly startedAt: number
  readonly endedAt: number | null
  readonly filter: LetterSelection
  readonly to: string | null
  readonly rate: number | null
  /** Sent again, or discarded. */
  readonly done: number
  readonly rejected: number
  readonly refused: number
  readonly failed: number
  /** Offsets that are still to be looked at. */
  readonly left: number
  /** The first dead letters that stay. */
  readonly problems: readonly LetterProblem[]
}

/** What becomes of records that do not fit the schema of their topic. */
export const SCHEMA_MODE_NAMES = ['reject', 'dlq', 'warn'] as const
export type SchemaModeName = (typeof SCHEMA_MODE_NAMES)[number]

/** One version of a topic's schema, as a list shows it. */
export interface SchemaVersionOverview {
  readonly version: number
  readonly mode: SchemaModeName
  /** `7`, `2019-09` or `2020-12`. */
  readonly draft: string
  /** Unix milliseconds. */
  readonly setAt: number
  /** Of its text; null for a version from which on the topic has no schema. */
  readonly bytes: number | null
}

/** Records that do not fit a schema for the same reason. */
export interface SchemaFaultGroup {
  /** A keyword of JSON Schema, or `parse`, `too_large`, `too_deep`, `too_costly`. */
  readonly reason: string
  /** A JSON Pointer in which `*` stands for any index of an array. */
  readonly pointer: string
  readonly message: string
  readonly count: number
  /** The first ones, five at most. */
  readonly examples: readonly { readonly partition: number; readonly offset: number }[]
}

/** A part of a request that was refused. */
export interface RefusedPartition {
  readonly partition: number
  readonly error: { readonly code: WireErrorCode; readonly message: string }
}

/** A record batch of a PRODUCE_BATCHES. */
export interface SentBatch {
  readonly topic: string
  readonly partition: number
  /** Base64 of exactly one record batch of version 2, with any codec. */
  readonly batch: string
}

/** What became of a batch: where it is, or was already, or why it was not taken. */
export type SentBatchResult =
  | { readonly topic: string; readonly partition: number; readonly baseOffset: number }
  | (RefusedPartition & { readonly topic: string })

/** A partition that a FETCH_BATCHES wants to be read. */
export interface BatchesWish {
  readonly topic: string
  readonly partition: number
  /** Where to begin: the first batch may begin before it. */
  readonly offset: number
  readonly maxBytes?: number
}

/** What there was of a partition. One without news is left out of the answer. */
export type FetchedBatches =
  | {
      readonly topic: string
      readonly partition: number
      readonly highWatermark: number
      readonly logStartOffset: number
      /** Base64 of whole record batches, as they are stored. */
      readonly batches: string
    }
  | (RefusedPartition & { readonly topic: string })

/** Who a producer is that must not have anything stored twice. */
export interface ProducerIdentity {
  readonly producerId: number
  readonly producerEpoch: number
}

/** One record of a FETCH answer. */
export interface FetchedRecord {
  readonly offset: number
  readonly key: string | null
  readonly value: string | null
  readonly ts: number
  readonly headers?: readonly RecordHeader[]
}

/** The answer to a FETCH. */
export interface FetchedRecords {
  readonly records: readonly FetchedRecord[]
  readonly highWatermark: number
  readonly logStartOffset: number
  /** Where to go on, when that is not behind the last record, or where one began. */
  readonly nextOffset?: number
}

/** Settings of a topic by Kafka's keys, as text: `{"retention.ms":"7d"}`. */
export type TopicConfigText = Readonly<Record<string, string>>

export interface PartitionMetadata {
  readonly partition: number
  readonly leaderEpoch: number
  readonly logStartOffset: number
  readonly highWatermark: number
  readonly logEndOffset: number
  readonly sizeBytes: number
  readonly segments: number
}

export interface TopicMetadata {
  readonly name: string
  readonly id: string
  readonly partitions: readonly PartitionMetadata[]
  readonly config: Readonly<Record<string, { readonly value: string; readonly source: ConfigSource }>>
}

/** Where a setting's value comes from: said for the topic, said for the broker, or nobody said anything. */
export type ConfigSource = 'topic' | 'broker' | 'default'

export interface FoundOffset {
  readonly partition: number
  /** -1 when no record is that late. */
  readonly offset: number
  readonly timestamp: number
}

export interface GroupOffset {
  readonly topic: string
  readonly partition: number
  /** The committed offset: the next one the group wants. */
  readonly offset: number
  readonly committedAt: number
  readonly logStartOffset: number
  readonly logEndOffset: number
  readonly lag: number
  /** How long ago the record was written that the group wants next, in milliseconds; 0 without a lag, null when it cannot be read. */
  readonly lagMs: number | null
}

/** Where a group is; docs/consumer-groups.md explains it. */
export type GroupState = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Reconciling' | 'Stable'

/** A member of a group with what is assigned to it. */
export interface GroupMember {
  readonly member: string
  readonly client: string
  readonly host: string
  readonly partitions: readonly { readonly topic: string; readonly partition: number }[]
}

export interface GroupOverview {
  readonly group: string
  readonly state: GroupState
  readonly members: number
  readonly topics: readonly string[]
  /** How many partitions it has committed offsets for. */
  readonly partitions: number
  readonly lag: number
}

/** Some partitions of one topic. */
export interface TopicPartitions {
  readonly topic: string
  readonly partitions: readonly number[]
}

/** A HEARTBEAT of a member of a group. Without `memberId` it joins. */
export interface MemberHeartbeat {
  readonly group: string
  readonly memberId?: string
  /** The one that the last answer said; when absent, whichever the member is in. */
  readonly generation?: number
  /** Needed to join; later only when they change. */
  readonly topics?: readonly string[]
  readonly topicPattern?: string
  readonly instanceId?: string
  /** How long the member may take to give partitions away, in milliseconds. */
  readonly rebalanceTimeoutMs?: number
  /** What the member still reads; when absent, what the last answer said. */
  readonly owned?: readonly TopicPartitions[]
  readonly assignor?: string
  readonly clientId?: string
  readonly leave?: boolean
}

/** What is a member's from now on. */
export interface MemberAssignment {
  readonly ok: true
  readonly memberId: string
  readonly generation: number
  /** How long to wait until the next heartbeat. */
  readonly heartbeatIntervalMs: number
  readonly assignment: readonly TopicPartitions[]
}

export interface ConfigChange {
  readonly key: string
  readonly from: string | null
  readonly to: string | null
}

/** For each operation what is asked and what is answered. Optional fields may be left out; unknown ones are ignored. */
export interface Messages {
  readonly CREATE_TOPIC: {
    request: { topic: string; partitions: number; config?: TopicConfigText }
    answer: { ok: true; created: boolean }
  }
  readonly PRODUCE: {
    request: { topic: string; partition: number; records: readonly ProduceRecord[]; acks?: 'all' | -1 | 1 | 0 }
    answer: ProducedPartition & {
      topic: string
      partitions?: readonly ProducedPartition[]
      scheduled?: readonly ScheduledRecord[]
      /** The id of the record, when the request has one and it waits. */
      scheduleId?: string
    }
  }
  readonly FETCH: {
    request: {
      topic: string
      partition: number
      offset: number
      maxBytes?: number
      maxWaitMs?: number
      minBytes?: number
    }
    answer: FetchedRecords
  }
  readonly COMMIT: {
    request: {
      topic: string
      partition: number
      group: string
      offset: number
      memberId?: string
      generation?: number
    }
    answer: { ok: true }
  }
  readonly HEARTBEAT: { request: object | MemberHeartbeat; answer: { ok: true } | MemberAssignment }
  readonly METADATA: {
    request: { topics?: readonly string[] }
    answer: { clusterId: string; brokerId: number; version: string; topics: readonly TopicMetadata[] }
  }
  readonly LIST_OFFSETS: {
    request: { topic: string; partition?: number; timestamp: number }
    answer: { topic: string; offsets: readonly FoundOffset[] }
  }
  readonly FETCH_OFFSETS: {
    request: { group: string; topic?: string }
    answer: { group: string; state: GroupState; members: readonly GroupMember[]; offsets: readonly GroupOffset[] }
  }
  readonly DELETE_TOPIC: { request: { topic: string }; answer: { ok: true } }
  readonly ALTER_TOPIC: {
    request: {
      topic: string
      partitions?: number
      set?: TopicConfigText
      unset?: readonly string[]
      dryRun?: boolean
    }
    answer: { ok: true; changes: readonly ConfigChange[] }
  }
  readonly LIST_GROUPS: { request: object; answer: { groups: readonly GroupOverview[] } }
  readonly DELETE_OFFSETS: {
    request: { group: string; topic?: string; partition?: number }
    answer: { ok: true; deleted: number }
  }
  readonly DELETE_RECORDS: {
    request: { topic: string; partition: number; beforeOffset: number }
    answer: { logStartOffset: number }
  }
  readonly LIST_SCHEDULES: {
    request: {
      topic?: string
      partition?: number
      fromDueAt?: number
      toDueAt?: number
      limit?: number
      /** The `next` of an earlier answer. */
      after?: string
    }
    /** `waiting` counts all of the topic, or of all topics. */
    answer: { waiting: number; schedules: readonly ScheduleOverview[]; next?: string }
  }
  readonly GET_SCHEDULE: { request: { id: string }; answer: ScheduleDetails }
  readonly CANCEL_SCHEDULE: { request: { id: string }; answer: { ok: true; topic: string; partition: number } }
  readonly RESCHEDULE: {
    request: { id: string; dueAt: number }
    answer: { ok: true; topic: string; partition: number; dueAt: number }
  }
  readonly SEND_SCHEDULE_NOW: {
    request: { id: string }
    answer: { ok: true; topic: string; partition: number; dueAt: number }
  }
  readonly LIST_DEAD_LETTERS: {
    request: LetterSelection & {
      /** The dead letter topic, or the topic that it belongs to; without it the topics are listed, and no letters. */
      topic?: string
      state?: LetterState | 'all'
      limit?: number
      /** The `next` of an earlier answer. */
      after?: string
      /** Counts by reason in place of the letters. */
      summary?: boolean
    }
    answer: {
      topics: readonly LetterTopic[]
      letters?: readonly LetterOverview[]
      reasons?: readonly { reason: string; pointer: string; count: number }[]
      next?: string
    }
  }
  readonly GET_DEAD_LETTER: { request: { topic: string; partition: number; offset: number }; answer: LetterDetails }
  readonly CHECK_DEAD_LETTERS: {
    request: LetterSelection & LetterOrder & { topic: string; after?: string }
    answer: {
      /** How many would be sent. */
      sendable: number
      rejected: number
      refused: number
      failed: number
      problems: readonly LetterProblem[]
      next?: string
    }
  }
  readonly REDRIVE: {
    request: LetterSelection &
      LetterOrder & { topic: string; rate?: number; limit?: number; by?: string; note?: string }
    answer: { ok: true; redrive: RedriveOverview }
  }
  readonly DISCARD_DEAD_LETTERS: {
    request: LetterSelection & { topic: string; limit?: number; by?: string; note?: string }
    answer: { ok: true; redrive: RedriveOverview }
  }
  readonly LIST_REDRIVES: {
    request: { topic?: string; id?: number; limit?: number }
    answer: { redrives: readonly RedriveOverview[] }
  }
  readonly CANCEL_REDRIVE: { request: { id: number }; answer: { ok: true; redrive: RedriveOverview } }
  readonly GET_SCHEMA: {
    request: { topic: string; version?: number }
    answer: {
      topic: string
      /** The version in force; null when the topic has no schema. */
      active: number | null
      /** Records that were checked with it or an earlier one since the broker was started. */
      counts?: { valid: number; invalid: number }
      /** The version that was asked for, or the last; absent when there never was one. */
      version?: SchemaVersionOverview & { schema: string | null }
      versions: readonly SchemaVersionOverview[]
      /** The file that topics.yml names for the topic. */
      declaredIn?: string
    }
  }
  readonly SET_SCHEMA: {
    request: { topic: string; schema: string; mode: SchemaModeName; draft?: string; dryRun?: boolean }
    answer: { ok: true; version: number; changed: boolean; declaredIn?: string }
  }
  readonly UNSET_SCHEMA: {
    request: { topic: string }
    answer: { ok: true; changed: boolean; declaredIn?: string }
  }
  readonly CHECK_SCHEMA: {
    request: { topic: string; schema?: string; draft?: string; last?: number }
    answer: {
      topic: string
      /** The one that was tried; null for one that stood in the request. */
      version: number | null
      checked: number
      valid: number
      invalid: number
      /** Whether there was time for all of the records. */
      complete: boolean
      faults: readonly SchemaFaultGroup[]
    }
  }
  readonly BROKER_INFO: {
    request: object
    answer: {
      version: string
      clusterId: string
      startedAt: number
      dataDir: string
      flushPolicy: string
      addresses: { json: string; kafka: string; http: string }
      status: string
    }
  }
  readonly BEGIN_SNAPSHOT: {
    request: object
    /** `files` is how many there are, numbered from 0; 0 is the manifest, which lists the others. */
    answer: { id: string; files: number; sizeBytes: number }
  }
  readonly READ_SNAPSHOT: {
    request: { id: string; file: number; position: number; maxBytes?: number }
    /** Base64; fewer bytes than asked for only at the end of the file. */
    answer: { data: string }
  }
  readonly END_SNAPSHOT: { request: { id: string; complete?: boolean }; answer: { ok: true } }
  readonly INIT_PRODUCER_ID: { request: Partial<ProducerIdentity>; answer: { ok: true } & ProducerIdentity }
  readonly PRODUCE_BATCHES: {
    request: { acks?: 'all' | -1 | 1 | 0; batches: readonly SentBatch[] }
    answer: { ok: true; results: readonly SentBatchResult[] }
  }
  readonly FETCH_BATCHES: {
    request: { partitions: readonly BatchesWish[]; maxBytes?: number; minBytes?: number; maxWaitMs?: number }
    answer: { partitions: readonly FetchedBatches[] }
  }
}

/** One whole frame. */
export function encodeFrame(type: number, payload: string): Buffer {
  const payloadBytes = Buffer.byteLength(payload)
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payloadBytes)
  frame[0] = type
  frame.writeUInt32BE(payloadBytes, 1)
  frame.write(payload, FRAME_HEADER_BYTES)
  return frame
}
