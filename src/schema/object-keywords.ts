import type { Check } from './check-run.ts'
import { escapePointerToken } from './json-place.ts'
import { countOf, isMembers, keysOf, namedOf, textsOf } from './keyword-values.ts'
import type { Compiler } from './keywords.ts'
import type { LinearPattern } from './linear-pattern.ts'
import { own } from './schema-document.ts'
import type { SchemaObject } from './schema-document.ts'
import { compilePattern } from './value-keywords.ts'

/** What schemas say of objects, but for `unevaluatedProperties`. */
export function compileObjectKeywords(schema: SchemaObject, compiler: Compiler): Check[] {
  return [
    ...compileCounts(schema, compiler),
    ...compileProperties(schema, compiler),
    ...compilePatternProperties(schema, compiler),
    ...compileAdditional(schema, compiler),
    ...compileNames(schema, compiler),
    ...compileDependencies(schema, compiler),
  ]
}

function compileCounts(schema: SchemaObject, { document }: Compiler): Check[] {
  const checks: Check[] = []
  const required = textsOf(schema, 'required', document) ?? []
  if (required.length > 0) {
    checks.push((value, run) => {
      if (!isMembers(value)) return true
      run.budget.charge(required.length)
      for (const name of required) {
        if (Object.hasOwn(value, name)) continue
        run.fail('required', 'it is missing')
        return run.within(name)
      }
      return true
    })
  }
  const least = countOf(schema, 'minProperties', document)
  if (least !== undefined) {
    const message = `it must have at least ${least} properties`
    checks.push(
      (value, run) =>
        !isMembers(value) || keysOf(value, run.budget).length >= least || run.fail('minProperties', message),
    )
  }
  const most = countOf(schema, 'maxProperties', document)
  if (most !== undefined) {
    const message = `it must have at most ${most} properties`
    checks.push(
      (value, run) =>
        !isMembers(value) || keysOf(value, run.budget).length <= most || run.fail('maxProperties', message),
    )
  }
  return checks
}

function compileProperties(schema: SchemaObject, compiler: Compiler): Check[] {
  const named = namedOf(schema, 'properties')
  if (named.length === 0) return []
  const names = named.map(([name]) => name)
  const checks = named.map(([, node]) => compiler.compile(node, undefined))
  return [
    (value, run, seen) => {
      if (!isMembers(value)) return true
      run.budget.charge(names.length)
      for (let index = 0; index < names.length; index++) {
        const name = names[index]
        if (!Object.hasOwn(value, name)) continue
        if (!checks[index](value[name], run, undefined)) return run.within(name)
        seen?.properties.add(name)
      }
      return true
    },
  ]
}

interface PatternCheck {
  readonly pattern: LinearPattern
  readonly check: Check
}

function patternsOf(schema: SchemaObject, compiler: Compiler): PatternCheck[] {
  const pointer = `${compiler.document.pointerOf(schema)}/patternProperties`
  return namedOf(schema, 'patternProperties').map(([source, node]) => ({
    pattern: compilePattern(source, `${pointer}/${escapePointerToken(source)}`, compiler.document),
    check: compiler.compile(node, undefined),
  }))
}

function compilePatternProperties(schema: SchemaObject, compiler: Compiler): Check[] {
  const patterns = patternsOf(schema, compiler)
  if (patterns.length === 0) return []
  return [
    (value, run, seen) => {
      if (!isMembers(value)) return true
      for (const name of keysOf(value, run.budget)) {
        for (const { pattern, check } of patterns) {
          if (!pattern.test(name, run.budget)) continue
          if (!check(value[name], run, undefined)) return run.within(name)
          seen?.properties.add(name)
        }
      }
      return true
    },
  ]
}

function compileAdditional(schema: SchemaObject, compiler: Compiler): Check[] {
  const node = own(schema, 'additionalProperties')
  if (node === undefined) return []
  const known = new Set(namedOf(schema, 'properties').map(([name]) => name))
  const patterns = patternsOf(schema, compiler).map(({ pattern }) => pattern)
  const check = compiler.compile(node, undefined)
  return [
    (value, run, seen) => {
      if (!isMembers(value)) return true
      if (node === true) {
        if (seen !== undefined) seen.allProperties = true
        return true
      }
      for (const name of keysOf(value, run.budget)) {
        if (known.has(name) || patterns.some((pattern) => pattern.test(name, run.budget))) continue
        if (node === false) {
          run.fail('additionalProperties', 'it is not one of the properties that may be there')
          return run.within(name)
        }
        if (!check(value[name], run, undefined)) return run.within(name)
      }
      if (seen !== undefined) seen.allProperties = true
      return true
    },
  ]
}

function compileNames(schema: SchemaObject, compiler: Compiler): Check[] {
  const node = own(schema, 'propertyNames')
  if (node === undefined) return []
  const check = compiler.compile(node, undefined)
  return [
    (value, run) => {
      if (!isMembers(value)) return true
      for (const name of keysOf(value, run.budget)) {
        if (check(name, run, undefined)) continue
        run.fail('propertyNames', 'its name is not one that may be there')
        return run.within(name)
      }
      return true
    },
  ]
}

function compileDependencies(schema: SchemaObject, compiler: Compiler): Check[] {
  const { document } = compiler
  const isOld = document.draft === '7'
  const lists = namedOf(schema, isOld ? 'dependencies' : 'dependentRequired')
  const checks: Check[] = []
  for (const [name, value] of lists) {
    if (isOld && !Array.isArray(value)) continue
    for (const wanted of textsOf(schema, isOld ? 'dependencies' : 'dependentRequired', document, value) ?? []) {
      checks.push((members, run) => {
        run.budget.charge(1)
        if (!isMembers(members) || !Object.hasOwn(members, name) || Object.hasOwn(members, wanted)) return true
        run.fail(isOld ? 'dependencies' : 'dependentRequired', `it is missing, though ${JSON.stringify(name)} is there`)
        return run.within(wanted)
      })
    }
  }
  for (const [name, node] of namedOf(schema, isOld ? 'dependencies' : 'dependentSchemas')) {
    if (Array.isArray(node)) continue
    const check = compiler.compile(node, schema)
    checks.push((members, run, seen) => {
      run.budget.charge(1)
      return !isMembers(members) || !Object.hasOwn(members, name) || check(members, run, seen)
    })
  }
  return checks
}
