import { assert } from '../../base/assert.ts'
import type { Code, MessageForm } from './layout.ts'
import { capitalize, defaultOf, hasField, isNullableIn, methodName, smallestBytes } from './layout.ts'
import type { AnyField, Fields } from './schema.ts'

/** The code that reads a message: the body of a function that returns a function of a Reader. */
export function generateReader(fields: Fields, form: MessageForm): string {
  const code: Code = { form, lines: [] }
  const read = addStruct(code, form.name, '', fields)
  return [`'use strict'`, ...code.lines, `return ${read}`].join('\n')
}

/** Adds the function that reads a struct, and before it those for its parts, named by their path. Returns its name. */
function addStruct(code: Code, name: string, path: string, fields: Fields): string {
  const entries: string[] = []
  const cases: string[] = []
  for (const [fieldName, field] of Object.entries(fields)) {
    const { tagNumber } = field.modifiers
    const isHere = hasField(field, code.form)
    const value = isHere ? readField(code, path + capitalize(fieldName), field) : defaultOf(field)
    if (isHere && tagNumber !== undefined) {
      entries.push(`    ${fieldName}: ${defaultOf(field)},`)
      cases.push(`      case ${tagNumber}: message.${fieldName} = ${value}; break`)
    } else {
      entries.push(`    ${fieldName}: ${value},`)
    }
  }
  code.lines.push(
    `function read${name}(reader) {`,
    `  const message = {`,
    ...entries,
    `  }`,
    ...readTaggedFields(code, cases),
    `  return message`,
    `}`,
  )
  return `read${name}`
}

function readTaggedFields(code: Code, cases: readonly string[]): string[] {
  if (!code.form.isFlexible) return []
  if (cases.length === 0) return ['  reader.skipTaggedFields()']
  return [
    '  for (let left = reader.uvarint(); left > 0; left--) {',
    '    const tag = reader.uvarint()',
    '    const outerEnd = reader.enter(reader.uvarint())',
    '    switch (tag) {',
    ...cases,
    '    }',
    '    reader.leave(outerEnd)',
    '  }',
  ]
}

/** The expression that reads a field. */
function readField(code: Code, name: string, field: AnyField): string {
  const { shape } = field
  const isNullable = isNullableIn(field, code.form)
  if (shape.kind === 'array') return `${addArray(code, name, shape.element, isNullable)}(reader)`
  if (shape.kind !== 'struct') return `reader.${methodName(shape.kind, isNullable, code.form)}()`
  const read = `${addStruct(code, name, name, shape.fields)}(reader)`
  return isNullable ? `reader.int8() < 0 ? null : ${read}` : read
}

function addArray(code: Code, name: string, element: AnyField, isNullable: boolean): string {
  const elementBytes = smallestBytes(element, code.form)
  assert(elementBytes > 0, `${name} has elements without bytes, so that nothing would limit their number`)
  const readElement = readField(code, name, element)
  code.lines.push(
    `function read${name}Array(reader) {`,
    `  const count = reader.${methodName('arrayCount', isNullable, code.form)}(${elementBytes})`,
    ...(isNullable ? ['  if (count < 0) return null'] : []),
    `  const elements = []`,
    `  for (let index = 0; index < count; index++) elements.push(${readElement})`,
    `  return elements`,
    `}`,
  )
  return `read${name}Array`
}
