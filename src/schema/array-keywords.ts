import { toCanonicalJson } from './canonical-json.ts'
import type { Check } from './check-run.ts'
import { countOf, listOf, wrong } from './keyword-values.ts'
import type { Compiler } from './keywords.ts'
import { own } from './schema-document.ts'
import type { SchemaObject } from './schema-document.ts'

/** What it costs to note an item, or a value within it, to know it again. */
const STEPS_PER_VALUE = 4

/** V8 hashes longer texts by their length alone: those of one length are compared with each other, so many characters a step. */
const HASHED_CHARACTERS_MAX = 16_000
const CHARACTERS_PER_STEP = 512

/** What schemas say of arrays, but for `unevaluatedItems`. */
export function compileArrayKeywords(schema: SchemaObject, compiler: Compiler): Check[] {
  return [...compileCounts(schema, compiler), ...compileItems(schema, compiler), ...compileContains(schema, compiler)]
}

function compileCounts(schema: SchemaObject, { document }: Compiler): Check[] {
  const checks: Check[] = []
  const least = countOf(schema, 'minItems', document)
  if (least !== undefined) {
    const message = `it must have at least ${least} items`
    checks.push((value, run) => !Array.isArray(value) || value.length >= least || run.fail('minItems', message))
  }
  const most = countOf(schema, 'maxItems', document)
  if (most !== undefined) {
    const message = `it must have at most ${most} items`
    checks.push((value, run) => !Array.isArray(value) || value.length <= most || run.fail('maxItems', message))
  }
  const isUnique = own(schema, 'uniqueItems')
  if (isUnique !== undefined && typeof isUnique !== 'boolean')
    throw wrong(schema, 'uniqueItems', document, 'true or false')
  if (isUnique === true) {
    checks.push((value, run) => {
      if (!Array.isArray(value)) return true
      const simple = new Set<unknown>()
      const texts = new Set<string>()
      let longTexts = 0
      run.budget.charge(STEPS_PER_VALUE * value.length)
      for (const item of value as readonly unknown[]) {
        if (typeof item === 'string' && item.length > HASHED_CHARACTERS_MAX) {
          run.budget.charge((++longTexts * item.length) / CHARACTERS_PER_STEP)
        }
        if (typeof item !== 'object' || item === null) simple.add(item)
        else texts.add(toCanonicalJson(item, (count) => run.budget.charge(STEPS_PER_VALUE * count)))
      }
      return simple.size + texts.size === value.length || run.fail('uniqueItems', 'some of its items are equal')
    })
  }
  return checks
}

/** Until 2019-09 `items` may be a list, and `additionalItems` is for what follows; since 2020-12 that is `prefixItems` and `items`. */
function compileItems(schema: SchemaObject, compiler: Compiler): Check[] {
  const { document } = compiler
  const items = own(schema, 'items')
  let prefix: readonly unknown[] = []
  let rest: unknown
  let restKeyword = 'items'
  if (document.draft === '2020-12') {
    if (Array.isArray(items))
      throw wrong(schema, 'items', document, 'a schema: draft 2020-12 has prefixItems for a list of them')
    prefix = listOf(schema, 'prefixItems')
    rest = items
  } else if (Array.isArray(items)) {
    prefix = items
    rest = own(schema, 'additionalItems')
    restKeyword = 'additionalItems'
  } else {
    rest = items
  }
  if (prefix.length === 0 && rest === undefined) return []
  const checks = prefix.map((node) => compiler.compile(node, undefined))
  const check = rest === undefined ? undefined : compiler.compile(rest, undefined)
  const isNothingMore = rest === false
  return [
    (value, run, seen) => {
      if (!Array.isArray(value)) return true
      const itemsNow: readonly unknown[] = value
      run.budget.charge(itemsNow.length)
      const end = check === undefined ? Math.min(checks.length, itemsNow.length) : itemsNow.length
      for (let index = 0; index < end; index++) {
        const one = index < checks.length ? checks[index] : check
        if (one === undefined || one(itemsNow[index], run, undefined)) continue
        if (isNothingMore && index >= checks.length)
          run.fail(restKeyword, `nothing may be there: ${checks.length} items are the most`)
        return run.within(String(index))
      }
      if (seen !== undefined) seen.itemsBelow = Math.max(seen.itemsBelow, end)
      return true
    },
  ]
}

function compileContains(schema: SchemaObject, compiler: Compiler): Check[] {
  const { document } = compiler
  const node = own(schema, 'contains')
  if (node === undefined) return []
  const check = compiler.compile(node, undefined)
  const hasLimits = document.draft !== '7'
  const least = (hasLimits ? countOf(schema, 'minContains', document) : undefined) ?? 1
  const most = (hasLimits ? countOf(schema, 'maxContains', document) : undefined) ?? Infinity
  const noting = document.draft === '2020-12'
  return [
    (value, run, seen) => {
      if (!Array.isArray(value)) return true
      let count = 0
      const items: readonly unknown[] = value
      for (let index = 0; index < items.length; index++) {
        run.budget.charge(noting && seen !== undefined ? STEPS_PER_VALUE : 1)
        if (!check(items[index], run, undefined)) continue
        count++
        if (noting) seen?.items.add(index)
        if (count > most)
          return run.fail('maxContains', `more than ${most} of its items are of the kind that it is to contain`)
        if (seen === undefined && count >= least && most === Infinity) return true
      }
      if (count >= least) return true
      const keyword = least === 1 ? 'contains' : 'minContains'
      return run.fail(keyword, `${count} of its items are of the kind that it is to contain: ${least} must be there`)
    },
  ]
}
