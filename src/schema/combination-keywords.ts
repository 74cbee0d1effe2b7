import type { Check } from './check-run.ts'
import { Evaluated } from './check-run.ts'
import { isMembers, keysOf, listOf } from './keyword-values.ts'
import type { Compiler } from './keywords.ts'
import { own } from './schema-document.ts'
import type { SchemaObject } from './schema-document.ts'

/** What schemas make of other schemas for the same value. */
export function compileCombinations(schema: SchemaObject, compiler: Compiler): Check[] {
  const compileList = (keyword: string) => listOf(schema, keyword).map((node) => compiler.compile(node, schema))
  const checks = compileList('allOf')
  const any = compileList('anyOf')
  if (any.length > 0) checks.push(anyOf(any))
  const one = compileList('oneOf')
  if (one.length > 0) checks.push(oneOf(one))
  const not = own(schema, 'not')
  if (not !== undefined) {
    const check = compiler.compile(not, schema)
    checks.push((value, run, seen) => {
      return !check(value, run, branch(seen)) || run.fail('not', 'it is of the kind that it must not be')
    })
  }
  checks.push(...compileCondition(schema, compiler))
  return checks
}

/** What one of several branches looks at counts only if the branch fits. */
function branch(seen: Evaluated | undefined): Evaluated | undefined {
  return seen === undefined ? undefined : new Evaluated()
}

function anyOf(checks: readonly Check[]): Check {
  const message = `it fits none of the ${checks.length} kinds that it may be`
  return (value, run, seen) => {
    let fits = false
    for (const check of checks) {
      const looked = branch(seen)
      if (!check(value, run, looked)) continue
      if (seen === undefined || looked === undefined) return true
      seen.add(looked, run.budget)
      fits = true
    }
    return fits || run.fail('anyOf', message)
  }
}

function oneOf(checks: readonly Check[]): Check {
  return (value, run, seen) => {
    let count = 0
    for (const check of checks) {
      const looked = branch(seen)
      if (!check(value, run, looked)) continue
      if (++count > 1) return run.fail('oneOf', 'it fits more than one of the kinds of which it must be one')
      if (looked !== undefined) seen?.add(looked, run.budget)
    }
    return count === 1 || run.fail('oneOf', `it fits none of the ${checks.length} kinds of which it must be one`)
  }
}

function compileCondition(schema: SchemaObject, compiler: Compiler): Check[] {
  const condition = own(schema, 'if')
  if (condition === undefined) return []
  const check = compiler.compile(condition, schema)
  const compileBranch = (keyword: string): Check | undefined => {
    const node = own(schema, keyword)
    return node === undefined ? undefined : compiler.compile(node, schema)
  }
  const then = compileBranch('then')
  const otherwise = compileBranch('else')
  return [
    (value, run, seen) => {
      const looked = branch(seen)
      const fits = check(value, run, looked)
      if (fits && looked !== undefined) seen?.add(looked, run.budget)
      const next = fits ? then : otherwise
      return next === undefined || next(value, run, seen)
    },
  ]
}

/**
 * Puts `unevaluatedProperties` and `unevaluatedItems` around all other checks of their schema: they are for what none of
 * those has looked at.
 */
export function compileUnevaluated(schema: SchemaObject, compiler: Compiler, inner: Check): Check {
  const properties = own(schema, 'unevaluatedProperties')
  const items = own(schema, 'unevaluatedItems')
  if (compiler.document.draft === '7' || (properties === undefined && items === undefined)) return inner
  const checkProperty = properties === undefined ? undefined : compiler.compile(properties, undefined)
  const checkItem = items === undefined ? undefined : compiler.compile(items, undefined)
  return (value, run, seen) => {
    const looked = new Evaluated()
    if (!inner(value, run, looked)) return false
    if (checkProperty !== undefined && isMembers(value)) {
      for (const name of keysOf(value, run.budget)) {
        if (looked.hasProperty(name) || checkProperty(value[name], run, undefined)) continue
        if (properties === false) run.fail('unevaluatedProperties', 'it is not one of the properties that may be there')
        return run.within(name)
      }
      looked.allProperties = true
    }
    if (checkItem !== undefined && Array.isArray(value)) {
      for (const [index, item] of value.entries()) {
        run.budget.charge(1)
        if (looked.hasItem(index) || checkItem(item, run, undefined)) continue
        if (items === false) run.fail('unevaluatedItems', 'it is not one of the items that may be there')
        return run.within(String(index))
      }
      looked.itemsBelow = value.length
    }
    seen?.add(looked, run.budget)
    return true
  }
}
