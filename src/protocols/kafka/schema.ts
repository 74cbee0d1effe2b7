import { assert } from '../../base/assert.ts'

/**
 * The words in which Kafka's messages are written down (apis/): a message is a list of named fields, a field has a kind
 * and says in which versions of its API it is there.
 *
 *     transactionalId: string.nullable.since(3).default(null)
 *     currentLeader: struct({ leaderId: int32.default(-1) }).tag(0).since(10)
 *
 * One table serves all versions of an API. What a version does not have reads as its default and is not written.
 */

/**
 * The kinds that are not made of others, with what they take on the wire. Integers are big endian.
 *
 * | kind | bytes | value here |
 * |---|---|---|
 * | bool | 1 | boolean |
 * | int8, int16, int32, uint16, uint32 | 1, 2, 4, 2, 4 | number |
 * | int64 | 8 | number; what a number cannot hold exactly is read as ±(2^53 - 1) |
 * | float64 | 8 | number |
 * | uuid | 16 | text, `01234567-89ab-cdef-0123-456789abcdef`; all zeros for none |
 * | string | length (int16; uvarint of length + 1 where compact) and UTF-8 | string |
 * | bytes | length (int32; uvarint of length + 1 where compact) and as many bytes | Buffer, a copy |
 * | records | as bytes | Buffer, not a copy: record batches pass through without being moved |
 */
export type ScalarKind =
  | 'bool'
  | 'int8'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'uint16'
  | 'uint32'
  | 'float64'
  | 'uuid'
  | 'string'
  | 'bytes'
  | 'records'

/** What a field holds: one value, any number of elements, or a group of fields. */
export type Shape =
  | { readonly kind: ScalarKind }
  | { readonly kind: 'array'; readonly element: AnyField }
  | { readonly kind: 'struct'; readonly fields: Fields }

/** The fields of a message or struct, in the order in which they are on the wire. */
export type Fields = Readonly<Record<string, AnyField>>

/** A field, whatever its value. */
export type AnyField = Field<unknown, unknown, boolean>

/** Everything about a field but its shape. */
interface Modifiers<Optional extends boolean> {
  readonly firstVersion: number
  readonly lastVersion: number
  /** From this version on the value may be null; Infinity for never. */
  readonly nullableSince: number
  /** A tagged field stands behind the others, under this number, and only when its value is not the default. */
  readonly tagNumber: number | undefined
  /** Undefined for the kind's own: zero, empty, false. */
  readonly defaultValue: unknown
  /** Whether whoever writes a message may leave the field out. */
  readonly isOptional: Optional
}

/**
 * One row of a table. `Read` is the type of its value in a message that was read, where nothing is ever missing; `Write`
 * the one in a message to be written, in which inner fields with a default may be left out. Modifiers return a changed
 * copy.
 */
export class Field<Read, Write = Read, Optional extends boolean = false> {
  readonly shape: Shape
  readonly modifiers: Modifiers<Optional>
  declare readonly types: { readonly read: Read; readonly write: Write }

  constructor(shape: Shape, modifiers: Modifiers<Optional>) {
    this.shape = shape
    this.modifiers = modifiers
  }

  /** Is there from `version` on. */
  since(version: number): Field<Read, Write, Optional> {
    return new Field(this.shape, { ...this.modifiers, firstVersion: version })
  }

  /** Is there in these versions only: `'0-12'`, or `'0'` for a single one. */
  in(versions: string): Field<Read, Write, Optional> {
    const { first, last } = parseVersions(versions)
    return new Field(this.shape, { ...this.modifiers, firstVersion: first, lastVersion: last })
  }

  /** May be null in every version that has it. */
  get nullable(): Field<Read | null, Write | null, Optional> {
    return this.nullableSince(0)
  }

  /** May be null from `version` on; in versions before, a null is written as the empty value. */
  nullableSince(version: number): Field<Read | null, Write | null, Optional> {
    return new Field(this.shape, { ...this.modifiers, nullableSince: version })
  }

  /** Is a tagged field: old readers skip it by its length, so that it can be added without a new version. */
  tag(tagNumber: number): Field<Read, Write, true> {
    return new Field(this.shape, { ...this.modifiers, tagNumber, isOptional: true })
  }

  /** What is read in versions without the field, and written when the field is left out. */
  default(value: Read): Field<Read, Write, true> {
    return new Field(this.shape, { ...this.modifiers, defaultValue: value, isOptional: true })
  }
}

const PLAIN: Modifiers<false> = {
  firstVersion: 0,
  lastVersion: Infinity,
  nullableSince: Infinity,
  tagNumber: undefined,
  defaultValue: undefined,
  isOptional: false,
}

function scalar<Value>(kind: ScalarKind): Field<Value> {
  return new Field<Value>({ kind }, PLAIN)
}

// The kinds as fields without any modifiers; the table at ScalarKind says what each is.

export const bool = scalar<boolean>('bool')
export const int8 = scalar<number>('int8')
export const int16 = scalar<number>('int16')
export const int32 = scalar<number>('int32')
export const int64 = scalar<number>('int64')
export const uint16 = scalar<number>('uint16')
export const uint32 = scalar<number>('uint32')
export const float64 = scalar<number>('float64')
export const uuid = scalar<string>('uuid')
export const string = scalar<string>('string')
export const bytes = scalar<Buffer>('bytes')
export const records = scalar<Buffer>('records')

/** Any number of values of one kind. */
export function array<Read, Write>(element: Field<Read, Write>): Field<readonly Read[], readonly Write[]>
/** Any number of structs with these fields. */
export function array<F extends Fields>(fields: F): Field<readonly ReadMessage<F>[], readonly WrittenMessage<F>[]>
export function array(elementOrFields: AnyField | Fields): Field<readonly unknown[]> {
  const element = elementOrFields instanceof Field ? elementOrFields : struct(elementOrFields)
  return new Field<readonly unknown[]>({ kind: 'array', element }, PLAIN)
}

/** A group of fields. */
export function struct<F extends Fields>(fields: F): Field<ReadMessage<F>, WrittenMessage<F>> {
  return new Field<ReadMessage<F>, WrittenMessage<F>>({ kind: 'struct', fields }, PLAIN)
}

/** A message as it was read: all fields of all versions, the missing ones with their defaults. */
export type ReadMessage<F extends Fields> = { readonly [Name in keyof F]: F[Name]['types']['read'] }

/** A message to be written: fields with a default may be left out. */
export type WrittenMessage<F extends Fields> = {
  readonly [Name in keyof F as IsOptional<F[Name]> extends true ? never : Name]: F[Name]['types']['write']
} & {
  readonly [Name in keyof F as IsOptional<F[Name]> extends true ? Name : never]?: F[Name]['types']['write'] | undefined
}

type IsOptional<F extends AnyField> = F['modifiers']['isOptional']

/** What stands for "no UUID". */
export const NO_UUID = '00000000-0000-0000-0000-000000000000'

/** A range of versions of an API, both ends included. */
export interface VersionRange {
  readonly first: number
  readonly last: number
}

/** Takes `'3-11'` or `'0'` apart. */
export function parseVersions(text: string): VersionRange {
  const match = /^(\d+)(?:-(\d+))?$/.exec(text)
  assert(match !== null, `"${text}" is no range of versions: "3-11" or "3" would be`)
  const first = Number(match[1])
  const last = Number(match[2] ?? match[1])
  assert(first <= last, `the range of versions "${text}" runs backwards`)
  return { first, last }
}
