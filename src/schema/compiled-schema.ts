import { CheckRun } from './check-run.ts'
import type { Check, Evaluated } from './check-run.ts'
import { escapePointerToken } from './json-place.ts'
import { compileUnevaluated } from './combination-keywords.ts'
import { compileKeywords } from './keywords.ts'
import type { Compiler } from './keywords.ts'
import { SCHEMA_LIMITS } from './limits.ts'
import { own, SchemaDocument, SchemaRefused, withPlace } from './schema-document.ts'
import type { Draft, SchemaNode, SchemaObject } from './schema-document.ts'
import type { WorkBudget } from './work-budget.ts'
import { WorkExceeded } from './work-budget.ts'

/** What is wrong with a value. Nothing in it is taken from the value but the names of its members. */
export interface ValueFault {
  /** Where, as a JSON Pointer; '' is the value itself. */
  readonly pointer: string
  /** The keyword of JSON Schema that says so, or `too_costly`. */
  readonly keyword: string
  /** A part of a sentence about the value at `pointer`, such as `it is a number: it must be a string`. */
  readonly message: string
}

/** So many resources on the way here are looked at in one step of the budget. */
const SCOPES_PER_STEP = 4
/** A pointer is cut here: it consists of names that somebody sent. */
const POINTER_CHARACTERS_MAX = 500

/**
 * A JSON Schema that is ready to be applied, of draft 7, 2019-09 or 2020-12. Formats are checked. Every kind of work is
 * charged to the caller's budget, so that no schema and no value can keep the event loop longer than that lasts.
 */
export class CompiledSchema {
  readonly text: string
  readonly draft: Draft
  readonly #check: Check

  /**
   * `draft` is that of a schema that does not say.
   *
   * @throws SchemaRefused with the place in the text
   */
  constructor(text: string, draft?: Draft) {
    this.text = text
    try {
      const document = new SchemaDocument(text, draft)
      this.draft = document.draft
      this.#check = new SchemaCompiler(document).compileDocument()
    } catch (error) {
      throw error instanceof SchemaRefused ? withPlace(text, error) : error
    }
  }

  /** Says what is wrong with a value of JSON, the first thing found; undefined when it fits. */
  findFault(value: unknown, budget: WorkBudget): ValueFault | undefined {
    const run = new CheckRun(budget)
    try {
      if (this.#check(value, run, undefined)) return undefined
    } catch (error) {
      // The stack is deep enough for all that may be nested; should it not be, that is no reason to fall over.
      if (!(error instanceof WorkExceeded || error instanceof RangeError)) throw error
      return { pointer: '', keyword: 'too_costly', message: 'checking it takes more work than one record may cost' }
    }
    const pointer = run.path
      .toReversed()
      .map((step) => `/${escapePointerToken(step)}`)
      .join('')
    const shown = pointer.length > POINTER_CHARACTERS_MAX ? `${pointer.slice(0, POINTER_CHARACTERS_MAX)}…` : pointer
    return { pointer: shown, keyword: run.keyword, message: run.message }
  }
}

/** A schema that something refers to; its check is there when all of the document has been compiled. */
class Linked {
  check: Check = () => true
  readonly enter: Check
  /** Schemas that are applied to the same value as this one. */
  readonly inPlace: SchemaObject[] = []

  constructor(scope: string | undefined) {
    this.enter =
      scope === undefined
        ? (value, run, seen) => {
            run.enter()
            const fits = this.check(value, run, seen)
            run.leave()
            return fits
          }
        : (value, run, seen) => {
            run.enter()
            run.scope.push(scope)
            const fits = this.check(value, run, seen)
            run.scope.pop()
            run.leave()
            return fits
          }
  }
}

const NO_CHECK: Check = () => true
/** The schemas true and false: there may be a thousand of them for each item. */
const FITS: Check = (_value, run) => {
  run.budget.charge(1)
  return true
}
const NOTHING_FITS: Check = (_value, run) => {
  run.budget.charge(1)
  return run.fail('false', 'the schema allows nothing here')
}

class SchemaCompiler implements Compiler {
  readonly document: SchemaDocument
  readonly #linked = new Map<SchemaObject, Linked>()
  readonly #queue: SchemaObject[] = []
  #dynamicTargets = 0

  constructor(document: SchemaDocument) {
    this.document = document
  }

  compileDocument(): Check {
    const check = this.compile(this.document.root, undefined)
    // One after the other, so that references may lead anywhere, also back.
    for (let node = this.#queue.pop(); node !== undefined; node = this.#queue.pop()) this.#compileNode(node)
    this.#refuseEndless()
    return check
  }

  compile(node: unknown, appliedBy: SchemaObject | undefined): Check {
    if (node === true) return FITS
    if (node === false) return NOTHING_FITS
    const schema = node as SchemaObject
    if (appliedBy !== undefined) this.#linkOf(appliedBy).inPlace.push(schema)
    return this.#linkOf(schema).enter
  }

  compileReference(from: SchemaObject, keyword: '$ref' | '$dynamicRef' | '$recursiveRef'): Check {
    const { document } = this
    const { node, anchor, base } = document.resolve(from, keyword, own(from, keyword))
    const fixed = this.compile(node, from)
    if (keyword === '$dynamicRef' && anchor !== undefined && document.dynamicAnchor(base, anchor) !== undefined) {
      return this.#dynamically(fixed, (scope) => document.dynamicAnchor(scope, anchor))
    }
    if (keyword === '$recursiveRef' && isRecursive(node)) {
      return this.#dynamically(fixed, (scope) => {
        const resource = document.resource(scope)
        return isRecursive(resource) ? resource : undefined
      })
    }
    return fixed
  }

  /** The outermost resource on the way here that has something of that name decides. */
  #dynamically(fixed: Check, find: (scope: string) => SchemaNode | undefined): Check {
    const found = new Map<string, Check | undefined>()
    for (const scope of this.document.bases()) {
      if (++this.#dynamicTargets > SCHEMA_LIMITS.dynamicTargetsMax) {
        const message = `the dynamic references could lead to more than ${SCHEMA_LIMITS.dynamicTargetsMax} places`
        throw new SchemaRefused('', message)
      }
      const node = find(scope)
      if (node !== undefined) found.set(scope, this.compile(node, undefined))
    }
    return (value, run, seen) => {
      run.budget.charge(run.scope.length / SCOPES_PER_STEP)
      const scope = run.scope.find((passed) => found.has(passed))
      const check = (scope === undefined ? undefined : found.get(scope)) ?? fixed
      return check(value, run, seen)
    }
  }

  #linkOf(schema: SchemaObject): Linked {
    const existing = this.#linked.get(schema)
    if (existing !== undefined) return existing
    const { document } = this
    const linked = new Linked(document.isDynamic ? document.baseOf(schema) : undefined)
    this.#linked.set(schema, linked)
    this.#queue.push(schema)
    return linked
  }

  #compileNode(schema: SchemaObject): void {
    this.#linkOf(schema).check = compileUnevaluated(schema, this, all(compileKeywords(schema, this)))
  }

  /** A schema that is applied to the same value by itself, through whatever others, would be applied without end. */
  #refuseEndless(): void {
    const done = new Set<SchemaObject>()
    const open = new Set<SchemaObject>()
    const visit = (schema: SchemaObject): void => {
      if (done.has(schema)) return
      if (open.has(schema)) {
        throw new SchemaRefused(
          this.document.pointerOf(schema),
          'this schema leads back to itself for the same value, without end',
        )
      }
      open.add(schema)
      for (const next of this.#linkOf(schema).inPlace) visit(next)
      open.delete(schema)
      done.add(schema)
    }
    for (const schema of this.#linked.keys()) visit(schema)
  }
}

function isRecursive(node: SchemaNode | undefined): boolean {
  return typeof node === 'object' && own(node, '$recursiveAnchor') === true
}

function all(checks: readonly Check[]): Check {
  if (checks.length === 0) return NO_CHECK
  if (checks.length === 1) return checks[0]
  if (checks.length === 2) {
    const [first, second] = checks
    return (value, run, seen) => first(value, run, seen) && second(value, run, seen)
  }
  return (value: unknown, run: CheckRun, seen: Evaluated | undefined) => {
    for (const check of checks) if (!check(value, run, seen)) return false
    return true
  }
}
