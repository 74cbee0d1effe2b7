import type { AnyField, Fields } from './schema.ts'
import { NO_UUID } from './schema.ts'

type Message = Readonly<Record<string, unknown>>

/** Fields of a request that have another name in the response, by the name there. */
const NAMES_IN_REQUEST: Readonly<Record<string, readonly string[]>> = {
  index: ['partition', 'partitionIndex'],
  partitionIndex: ['partition', 'index'],
  partition: ['partitionIndex', 'index'],
  name: ['topic', 'topicName'],
  topic: ['name'],
  key: ['transactionalId'],
}

/**
 * The response that refuses all of a request, whatever the API: every topic, partition, group or key that is asked for comes
 * back with the error, and a response that has an error of its own has it too. What else a response has to say is -1, empty
 * or null.
 */
export function makeErrorResponse(fields: Fields, request: Message, errorCode: number): Message {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, field]) => {
      const value = makeValue(name, field, request, errorCode)
      return value === undefined ? [] : [[name, value]]
    }),
  )
}

function makeValue(name: string, field: AnyField, request: Message, errorCode: number): unknown {
  if (name === 'errorCode') return errorCode
  const { shape, modifiers } = field
  if (shape.kind === 'array') return makeElements(shape.element, request, errorCode)
  if (shape.kind === 'struct')
    return modifiers.isOptional ? undefined : makeErrorResponse(shape.fields, request, errorCode)
  const asked = [name, ...(NAMES_IN_REQUEST[name] ?? [])]
    .map((each) => request[each])
    .find((each) => each !== undefined)
  if (asked !== undefined && typeof asked !== 'object') return asked
  if (modifiers.isOptional) return undefined
  if (modifiers.nullableSince < Infinity) return null
  return EMPTY[shape.kind]
}

/** One element for each that the request has in its own list: of structs, or of mere numbers or names. */
function makeElements(element: AnyField, request: Message, errorCode: number): readonly unknown[] {
  const { shape } = element
  if (shape.kind !== 'struct' || !hasErrorCode(shape.fields)) return []
  const lists = Object.values(request).filter((value): value is readonly unknown[] => Array.isArray(value))
  const asked = lists.find((list) => list.length > 0) ?? []
  return asked.map((item) => {
    const named =
      typeof item === 'object' ? item : { name: item, partition: item, key: item, groupId: item, group: item }
    return makeErrorResponse(shape.fields, { ...named }, errorCode)
  })
}

function hasErrorCode(fields: Fields): boolean {
  return Object.entries(fields).some(([name, { shape }]) => {
    if (name === 'errorCode') return true
    return shape.kind === 'array' && shape.element.shape.kind === 'struct' && hasErrorCode(shape.element.shape.fields)
  })
}

const EMPTY = {
  bool: false,
  int8: -1,
  int16: -1,
  int32: -1,
  int64: -1,
  uint16: 0,
  uint32: 0,
  float64: 0,
  uuid: NO_UUID,
  string: '',
  bytes: Buffer.alloc(0),
  records: Buffer.alloc(0),
} as const
