import { assert } from '../../base/assert.ts'
import type { Code, MessageForm } from './layout.ts'
import { capitalize, defaultOf, emptyOf, hasField, isDefault, isNullableIn, methodName } from './layout.ts'
import type { AnyField, Fields } from './schema.ts'

/** The code that writes a message: the body of a function that returns a function of a Writer and the message. */
export function generateWriter(fields: Fields, form: MessageForm): string {
  const code: Code = { form, lines: [] }
  const write = addStruct(code, form.name, '', fields)
  return [`'use strict'`, ...code.lines, `return ${write}`].join('\n')
}

interface TaggedField {
  /** The variable that says whether the field is written. */
  readonly flag: string
  readonly tagNumber: number
  /** The expression that says whether nothing needs to be written. */
  readonly isDefault: string
  /** The statement that writes the value. */
  readonly write: string
}

/** Adds the function that writes a struct, and before it those for its parts, named by their path. Returns its name. */
function addStruct(code: Code, name: string, path: string, fields: Fields): string {
  const statements: string[] = []
  const tagged: TaggedField[] = []
  for (const [fieldName, field] of Object.entries(fields)) {
    if (!hasField(field, code.form)) continue
    const { tagNumber, isOptional } = field.modifiers
    const given = `message.${fieldName}`
    const part = path + capitalize(fieldName)
    if (tagNumber === undefined) {
      const value = isOptional ? `${given} === undefined ? ${defaultOf(field)} : ${given}` : given
      statements.push(`  ${writeField(code, part, field, value)}`)
    } else {
      const write = writeField(code, part, field, given)
      tagged.push({ flag: `has${capitalize(fieldName)}`, tagNumber, isDefault: isDefault(field, given), write })
    }
  }
  code.lines.push(`function write${name}(writer, message) {`, ...statements, ...writeTaggedFields(code, tagged), `}`)
  return `write${name}`
}

function writeTaggedFields(code: Code, tagged: readonly TaggedField[]): string[] {
  if (!code.form.isFlexible) {
    assert(tagged.length === 0, `${code.form.name} has tagged fields, which only flexible versions can have`)
    return []
  }
  if (tagged.length === 0) return ['  writer.uvarint(0)']
  const ascending = tagged.toSorted((one, other) => one.tagNumber - other.tagNumber)
  return [
    ...ascending.map(({ flag, isDefault }) => `  const ${flag} = !(${isDefault})`),
    `  writer.uvarint(${ascending.map(({ flag }) => `Number(${flag})`).join(' + ')})`,
    ...ascending.flatMap(({ flag, tagNumber, write }) => [
      `  if (${flag}) {`,
      `    const begin = writer.beginTaggedField(${tagNumber})`,
      `    ${write}`,
      `    writer.endTaggedField(begin)`,
      `  }`,
    ]),
  ]
}

/** The statement that writes `value`, an expression, as the field. */
function writeField(code: Code, name: string, field: AnyField, value: string): string {
  const { shape } = field
  const isNullable = isNullableIn(field, code.form)
  const mayBeNull = field.modifiers.nullableSince !== Infinity
  const given = mayBeNull && !isNullable ? `(${value}) ?? ${emptyOf(field)}` : value
  if (shape.kind === 'array') return `${addArray(code, name, shape.element, isNullable)}(writer, ${given})`
  if (shape.kind !== 'struct') return `writer.${methodName(shape.kind, isNullable, code.form)}(${given})`
  const write = addStruct(code, name, name, shape.fields)
  if (!isNullable) return `${write}(writer, ${given})`
  code.lines.push(
    `function ${write}OrNull(writer, message) {`,
    `  writer.int8(message === null ? -1 : 1)`,
    `  if (message !== null) ${write}(writer, message)`,
    `}`,
  )
  return `${write}OrNull(writer, ${given})`
}

function addArray(code: Code, name: string, element: AnyField, isNullable: boolean): string {
  const writeElement = writeField(code, name, element, 'elements[index]')
  const announce = `writer.${methodName('arrayCount', false, code.form)}`
  code.lines.push(
    `function write${name}Array(writer, elements) {`,
    ...(isNullable ? [`  if (elements === null) return ${announce}(-1)`] : []),
    `  ${announce}(elements.length)`,
    `  for (let index = 0; index < elements.length; index++) ${writeElement}`,
    `}`,
  )
  return `write${name}Array`
}
