import { toCanonicalJson } from './canonical-json.ts'
import type { Check, CheckRun } from './check-run.ts'
import { FORMATS } from './formats.ts'
import { countOf, nameType, numberOf, textOf, wrong } from './keyword-values.ts'
import type { Compiler } from './keywords.ts'
import type { LinearPattern } from './linear-pattern.ts'
import { isMultipleOf } from './multiple-of.ts'
import { PatternRefused } from './pattern-parser.ts'
import { own, SchemaRefused } from './schema-document.ts'
import type { SchemaDocument, SchemaObject } from './schema-document.ts'

const TYPES = new Map<unknown, (value: unknown) => boolean>([
  ['null', (value) => value === null],
  ['boolean', (value) => typeof value === 'boolean'],
  ['integer', (value) => Number.isInteger(value)],
  ['number', (value) => typeof value === 'number'],
  ['string', (value) => typeof value === 'string'],
  ['array', (value) => Array.isArray(value)],
  ['object', (value) => typeof value === 'object' && value !== null && !Array.isArray(value)],
])

/** What it costs to divide a number that is not whole, in steps of the budget. */
const FRACTION_STEPS = 200
/** What it costs to look at a character of a template, which is many small texts. */
const TEMPLATE_STEPS = 6

/** What schemas say of a value of any kind, of numbers, and of texts. */
export function compileValueKeywords(schema: SchemaObject, { document }: Compiler): Check[] {
  return [
    ...compileType(schema, document),
    ...compileEqual(schema, document),
    ...compileNumber(schema, document),
    ...compileText(schema, document),
  ]
}

function compileType(schema: SchemaObject, document: SchemaDocument): Check[] {
  const type = own(schema, 'type')
  if (type === undefined) return []
  const names: readonly unknown[] = Array.isArray(type) ? type : [type]
  const tests = names.map((name) => TYPES.get(name))
  const [first] = tests
  if (first === undefined || tests.includes(undefined) || new Set(names).size !== names.length) {
    throw wrong(schema, 'type', document, `one or several of ${[...TYPES.keys()].join(', ')}`)
  }
  const wanted = names.join(' or ')
  const fail = (value: unknown, run: CheckRun) => run.fail('type', `it is ${nameType(value)}: it must be ${wanted}`)
  if (tests.length === 1) return [(value, run) => first(value) || fail(value, run)]
  return [(value, run) => tests.some((test) => test?.(value)) || fail(value, run)]
}

function compileEqual(schema: SchemaObject, document: SchemaDocument): Check[] {
  const checks: Check[] = []
  const values = own(schema, 'enum')
  if (values !== undefined) {
    if (!Array.isArray(values)) throw wrong(schema, 'enum', document, 'a list')
    checks.push(compileOneOfValues(values, 'enum', `it is none of the ${values.length} values that may be there`))
  }
  if (Object.hasOwn(schema, 'const'))
    checks.push(compileOneOfValues([schema.const], 'const', 'it is not the value that must be there'))
  return checks
}

function compileOneOfValues(values: readonly unknown[], keyword: string, message: string): Check {
  const isSimple = (value: unknown) => typeof value !== 'object' || value === null
  const simple = new Set(values.filter(isSimple))
  const others = new Set(values.filter((value) => !isSimple(value)).map((value) => toCanonicalJson(value, () => {})))
  return (value, run) => {
    if (isSimple(value)) {
      // A set has no 0 of the other sign, and neither has JSON.
      if (simple.has(value)) return true
    } else if (others.size > 0) {
      if (others.has(toCanonicalJson(value, (count) => run.budget.charge(count)))) return true
    }
    return run.fail(keyword, message)
  }
}

function compileNumber(schema: SchemaObject, document: SchemaDocument): Check[] {
  const checks: Check[] = []
  const add = (keyword: string, fits: (value: number, limit: number) => boolean, wanted: string) => {
    const limit = numberOf(schema, keyword, document)
    if (limit === undefined) return
    const message = `it must be ${wanted} ${limit}`
    checks.push((value, run) => typeof value !== 'number' || fits(value, limit) || run.fail(keyword, message))
  }
  add('minimum', (value, limit) => value >= limit, 'at least')
  add('maximum', (value, limit) => value <= limit, 'at most')
  add('exclusiveMinimum', (value, limit) => value > limit, 'more than')
  add('exclusiveMaximum', (value, limit) => value < limit, 'less than')
  const divisor = numberOf(schema, 'multipleOf', document)
  if (divisor !== undefined) {
    if (divisor <= 0) throw wrong(schema, 'multipleOf', document, 'more than 0')
    const message = `it must be a whole number of times ${divisor}`
    const isWhole = Number.isInteger(divisor)
    checks.push((value, run) => {
      if (typeof value !== 'number') return true
      // Fractions go through numbers of any length.
      if (!isWhole || !Number.isInteger(value)) run.budget.charge(FRACTION_STEPS)
      return isMultipleOf(value, divisor) || run.fail('multipleOf', message)
    })
  }
  return checks
}

function compileText(schema: SchemaObject, document: SchemaDocument): Check[] {
  const checks: Check[] = []
  const least = countOf(schema, 'minLength', document)
  if (least !== undefined) {
    const message = `it must have at least ${least} characters`
    checks.push(
      (value, run) => typeof value !== 'string' || hasAtLeast(value, least, run) || run.fail('minLength', message),
    )
  }
  const most = countOf(schema, 'maxLength', document)
  if (most !== undefined) {
    const message = `it must have at most ${most} characters`
    checks.push(
      (value, run) => typeof value !== 'string' || !hasAtLeast(value, most + 1, run) || run.fail('maxLength', message),
    )
  }
  const source = textOf(schema, 'pattern', document)
  if (source !== undefined) {
    const pattern = compilePattern(source, `${document.pointerOf(schema)}/pattern`, document)
    const message = `it does not match the pattern ${JSON.stringify(source)}`
    checks.push(
      (value, run) => typeof value !== 'string' || pattern.test(value, run.budget) || run.fail('pattern', message),
    )
  }
  const format = textOf(schema, 'format', document)
  const hasFormat = format === undefined ? undefined : FORMATS.get(format)
  if (hasFormat !== undefined) {
    const message = `it is not of the format ${format}`
    const stepsPerCharacter = format === 'uri-template' ? TEMPLATE_STEPS : 1
    checks.push((value, run) => {
      if (typeof value !== 'string') return true
      run.budget.charge(1 + value.length * stepsPerCharacter)
      return hasFormat(value) || run.fail('format', message)
    })
  }
  return checks
}

/** Characters are code points, of which some take two units of a text. */
function hasAtLeast(text: string, wanted: number, run: CheckRun): boolean {
  if (text.length < wanted) return false
  if (text.length >= wanted * 2) return true
  run.budget.charge(text.length / 4)
  let count = text.length
  for (let at = 0; at < text.length - 1; at++) {
    const isPair = (text.charCodeAt(at) & 0xfc00) === 0xd800 && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00
    if (!isPair) continue
    count--
    at++
  }
  return count >= wanted
}

/**
 * A pattern of a schema, `pointer` is where it is.
 *
 * @throws SchemaRefused
 */
export function compilePattern(source: string, pointer: string, document: SchemaDocument): LinearPattern {
  try {
    return document.patterns.compile(source)
  } catch (error) {
    if (error instanceof PatternRefused) throw new SchemaRefused(pointer, error.message)
    throw error
  }
}
