import type { CompiledSchema } from './compiled-schema.ts'
import { JsonFault, parseGuardedJson } from './guarded-json.ts'
import { VALUE_LIMITS } from './limits.ts'
import { WorkBudget } from './work-budget.ts'

/** What checking one record may cost, in steps of some 25 ns: five milliseconds. */
export const RECORD_STEPS = 200_000

/** Why the value of a record does not fit. */
export interface SchemaFault {
  /** A keyword of JSON Schema, or `parse`, `too_large`, `too_deep`, `too_costly`. */
  readonly reason: string
  /** Where in the value, as a JSON Pointer. */
  readonly pointer: string
  /** A part of a sentence about what is at `pointer`. */
  readonly message: string
}

/** Says why a record's value, as it was sent, does not fit a schema; undefined when it does. Nothing is thrown. */
export function findSchemaFault(
  value: Buffer | null,
  schema: CompiledSchema,
  budget = new WorkBudget(RECORD_STEPS),
): SchemaFault | undefined {
  if (value === null) return { reason: 'parse', pointer: '', message: 'there is no value' }
  try {
    const fault = schema.findFault(parseGuardedJson(value, VALUE_LIMITS), budget)
    return fault === undefined ? undefined : { reason: fault.keyword, pointer: fault.pointer, message: fault.message }
  } catch (error) {
    if (!(error instanceof JsonFault)) throw error
    return { reason: error.reason, pointer: '', message: error.message }
  }
}

/** What is wrong, in a sentence that begins with where. */
export function toSentence({ pointer, message }: Pick<SchemaFault, 'pointer' | 'message'>): string {
  return pointer === '' ? message : `${pointer}: ${message}`
}
