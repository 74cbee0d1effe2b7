import type { TopicName } from '../../base/topic-name.ts'
import { DELAY_HEADER, DUE_AT_HEADER } from '../../delay/delay-options.ts'
import { isCompacted } from '../../log/log-engine.ts'
import type { RecordHeader } from '../../record/record-batch.ts'
import { findSchemaFault } from '../../schema/check-value.ts'
import { JsonFault, parseGuardedJson } from '../../schema/guarded-json.ts'
import type { JsonEdit } from '../../schema/json-edit.ts'
import { EditRefused, editJson } from '../../schema/json-edit.ts'
import { VALUE_LIMITS } from '../../schema/limits.ts'
import {
  DEAD_LETTER_HEADERS,
  REDRIVE_COUNT_HEADER,
  REDRIVE_OF_HEADER,
  toRedrivenHeaders,
} from '../dead-letter-headers.ts'
import { isDeadLetterTopic } from '../dead-letter-topic.ts'
import { choosePartition, murmur2 } from '../partitioner.ts'
import type { ActiveSchema, TopicSchemas } from '../topic-schemas.ts'
import type { Topics } from '../topics.ts'
import type { DeadLetter } from './letter.ts'
import { headerNumber, letterId, originOf, redriveCountOf } from './letter.ts'

/** How dead letters are to be sent again. */
export interface RedriveOrder {
  /** The topic to send them to; each to the one that it came from when this is undefined. */
  readonly to?: string | undefined
  /** What is changed about their values before. */
  readonly repair: readonly JsonEdit[]
  /** Also those that were redriven three times already. */
  readonly isForced: boolean
}

/** Why a dead letter stays one: `rejected` by a schema, `refused` because it came back too often, `failed` otherwise. */
export interface RedriveFault {
  readonly kind: 'rejected' | 'refused' | 'failed'
  /** A keyword of JSON Schema, or a short word. */
  readonly reason: string
  /** Where in the value, as a JSON Pointer. */
  readonly pointer: string
  readonly message: string
}

/** A dead letter as it will be sent. */
export interface PlannedRecord {
  readonly kind: 'send'
  readonly letter: DeadLetter
  readonly topic: TopicName
  readonly partition: number
  readonly timestamp: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly RecordHeader[]
  /** The schema that it fits; undefined when the topic has none. Should another be set before it is sent, it is checked again. */
  readonly schema: ActiveSchema | undefined
}

/** Redriven so often, a message is likely to come back for ever. */
export const REDRIVES_MAX = 3
/** The last millisecond that a date can have. */
const TIME_MAX = 8_640_000_000_000_000
/** It is sent now: what asked for a delay has been waited for, or is not wanted any more. */
const DELAY_HEADERS = [DUE_AT_HEADER, DELAY_HEADER]

/** Says how a dead letter will be sent, or why it cannot be. The same letter and order give the same record. */
export function planRedrive(
  letter: DeadLetter,
  order: RedriveOrder,
  { topics, schemas }: { readonly topics: Topics; readonly schemas: TopicSchemas },
): PlannedRecord | RedriveFault {
  const count = redriveCountOf(letter)
  if (count >= REDRIVES_MAX && !order.isForced) {
    return fault('refused', 'redriven_before', `it was redriven ${count} times already: it needs an override`)
  }
  const origin = originOf(letter)
  const name = order.to ?? origin?.topic
  if (name === undefined) return fault('failed', 'no_origin', 'its headers do not say what topic it is from: name one')
  if (isDeadLetterTopic(name)) return fault('failed', 'loop', `"${name}" is a dead letter topic itself`)
  const topic = topics.get(name)
  if (topic === undefined) return fault('failed', 'no_topic', `there is no topic "${name}"`)
  const repaired = repairValue(letter.value, order.repair)
  if (!('value' in repaired)) return repaired
  const { value } = repaired
  const schema = schemas.get(name)
  const isChecked = schema !== undefined && schema.mode !== 'warn' && !(value === null && isCompacted(topic.config))
  const schemaFault = isChecked ? findSchemaFault(value, schema.compiled) : undefined
  if (schemaFault !== undefined) return { kind: 'rejected', ...schemaFault }
  const time = headerNumber(letter, DEAD_LETTER_HEADERS.time) ?? letter.timestamp
  return {
    kind: 'send',
    letter,
    topic: topic.name,
    partition: partitionOf(letter, topic.partitionCount, origin?.topic === name ? origin.partition : undefined),
    timestamp: Math.min(Math.max(-1, time), TIME_MAX),
    key: letter.key,
    value,
    headers: toRedrivenHeaders(letter.headers, DELAY_HEADERS, {
      [REDRIVE_COUNT_HEADER]: String(count + 1),
      [REDRIVE_OF_HEADER]: redriveOf(letter),
    }),
    schema,
  }
}

/** What a redriven record says it was. */
export function redriveOf(letter: Pick<DeadLetter, 'topic' | 'partition' | 'offset'>): string {
  return `${letter.topic}/${letterId(letter)}`
}

/** Where it came from; otherwise where its key belongs; without one the partition that it lies in. */
function partitionOf({ key, partition }: DeadLetter, partitionCount: number, origin: number | undefined): number {
  if (origin !== undefined && origin < partitionCount) return origin
  if (key === null) return partition % partitionCount
  return choosePartition(murmur2(key, 0, key.length), partitionCount)
}

/** Changes the value of a dead letter, or says why that cannot be done. The same value and changes give the same bytes. */
export function repairValue(
  value: Buffer | null,
  edits: readonly JsonEdit[],
): { readonly value: Buffer | null } | RedriveFault {
  const [first] = edits
  if (first === undefined) return { value }
  const isReplaced = first.op === 'set' && first.path === ''
  try {
    if (!isReplaced) {
      if (value === null) throw new JsonFault('parse', 'there is no value')
      parseGuardedJson(value, VALUE_LIMITS)
    }
    const repaired = Buffer.from(editJson(isReplaced ? '' : String(value), edits))
    if (repaired.length > VALUE_LIMITS.bytesMax) {
      throw new JsonFault('too_large', `it has ${repaired.length} bytes then: ${VALUE_LIMITS.bytesMax} are the most`)
    }
    return { value: repaired }
  } catch (error) {
    if (error instanceof JsonFault) return fault('failed', error.reason, `it cannot be repaired: ${error.message}`)
    if (!(error instanceof EditRefused)) throw error
    return fault('failed', 'repair', `it cannot be repaired so: ${error.message}`, error.pointer)
  }
}

function fault(kind: RedriveFault['kind'], reason: string, message: string, pointer = ''): RedriveFault {
  return { kind, reason, pointer, message }
}
