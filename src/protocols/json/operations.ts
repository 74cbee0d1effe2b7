import type { RequestClass } from './answer-queue.ts'
import type { OperationContext } from './context.ts'
import type { Fields } from './fields.ts'
import { alterTopic } from './operations/alter-topic.ts'
import { brokerInfo } from './operations/broker-info.ts'
import { commit } from './operations/commit.ts'
import { createTopic } from './operations/create-topic.ts'
import { checkDeadLetters, getDeadLetter, listDeadLetters } from './operations/dead-letters.ts'
import { deleteOffsets } from './operations/delete-offsets.ts'
import { deleteRecords } from './operations/delete-records.ts'
import { deleteTopic } from './operations/delete-topic.ts'
import { fetchOffsets } from './operations/fetch-offsets.ts'
import { heartbeat } from './operations/heartbeat.ts'
import { initProducerId } from './operations/init-producer-id.ts'
import { listGroups } from './operations/list-groups.ts'
import { listOffsets } from './operations/list-offsets.ts'
import { metadata } from './operations/metadata.ts'
import { cancelRedrive, discardDeadLetters, listRedrives, redrive } from './operations/redrives.ts'
import { cancelSchedule, getSchedule, listSchedules, reschedule, sendScheduleNow } from './operations/schedules.ts'
import { checkSchema, getSchema, setSchema, unsetSchema } from './operations/schemas.ts'
import { beginSnapshot, endSnapshot, readSnapshot } from './operations/snapshots.ts'
import type { OperationName } from './wire.ts'
import { FRAME_TYPES } from './wire.ts'

interface Entry {
  readonly name: OperationName
  readonly requestClass: RequestClass
  readonly operation: (context: OperationContext, fields: Fields) => object | Promise<object>
}

/** Those that work on bytes and not on fields. */
type OnBytes = 'PRODUCE' | 'FETCH' | 'PRODUCE_BATCHES' | 'FETCH_BATCHES'

const TABLE = {
  CREATE_TOPIC: { requestClass: 'other', operation: createTopic },
  COMMIT: { requestClass: 'write', operation: commit },
  HEARTBEAT: { requestClass: 'write', operation: heartbeat },
  METADATA: { requestClass: 'other', operation: metadata },
  LIST_OFFSETS: { requestClass: 'other', operation: listOffsets },
  FETCH_OFFSETS: { requestClass: 'other', operation: fetchOffsets },
  DELETE_TOPIC: { requestClass: 'other', operation: deleteTopic },
  ALTER_TOPIC: { requestClass: 'other', operation: alterTopic },
  LIST_GROUPS: { requestClass: 'other', operation: listGroups },
  DELETE_OFFSETS: { requestClass: 'other', operation: deleteOffsets },
  DELETE_RECORDS: { requestClass: 'other', operation: deleteRecords },
  BROKER_INFO: { requestClass: 'other', operation: brokerInfo },
  INIT_PRODUCER_ID: { requestClass: 'other', operation: initProducerId },
  LIST_SCHEDULES: { requestClass: 'other', operation: listSchedules },
  GET_SCHEDULE: { requestClass: 'other', operation: getSchedule },
  CANCEL_SCHEDULE: { requestClass: 'other', operation: cancelSchedule },
  RESCHEDULE: { requestClass: 'other', operation: reschedule },
  SEND_SCHEDULE_NOW: { requestClass: 'other', operation: sendScheduleNow },
  LIST_DEAD_LETTERS: { requestClass: 'other', operation: listDeadLetters },
  GET_DEAD_LETTER: { requestClass: 'other', operation: getDeadLetter },
  CHECK_DEAD_LETTERS: { requestClass: 'other', operation: checkDeadLetters },
  REDRIVE: { requestClass: 'other', operation: redrive },
  DISCARD_DEAD_LETTERS: { requestClass: 'other', operation: discardDeadLetters },
  LIST_REDRIVES: { requestClass: 'other', operation: listRedrives },
  CANCEL_REDRIVE: { requestClass: 'other', operation: cancelRedrive },
  GET_SCHEMA: { requestClass: 'other', operation: getSchema },
  SET_SCHEMA: { requestClass: 'other', operation: setSchema },
  UNSET_SCHEMA: { requestClass: 'other', operation: unsetSchema },
  CHECK_SCHEMA: { requestClass: 'other', operation: checkSchema },
  BEGIN_SNAPSHOT: { requestClass: 'other', operation: beginSnapshot },
  READ_SNAPSHOT: { requestClass: 'read', operation: readSnapshot },
  END_SNAPSHOT: { requestClass: 'other', operation: endSnapshot },
} as const satisfies Record<Exclude<OperationName, OnBytes>, Omit<Entry, 'name'>>

/** Every operation by its frame type, but for those that work on bytes and not on fields. */
export const OPERATIONS: ReadonlyMap<number, Entry> = new Map(
  Object.entries(TABLE).map(([name, entry]) => {
    const operationName = name as keyof typeof TABLE
    return [FRAME_TYPES[operationName], { name: operationName, ...entry }]
  }),
)
