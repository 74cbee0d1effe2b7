import type { Check } from './check-run.ts'
import { compileArrayKeywords } from './array-keywords.ts'
import { compileObjectKeywords } from './object-keywords.ts'
import { own } from './schema-document.ts'
import type { SchemaDocument, SchemaObject } from './schema-document.ts'
import { compileValueKeywords } from './value-keywords.ts'
import { compileCombinations } from './combination-keywords.ts'

/** What compiles the schemas within a schema. */
export interface Compiler {
  readonly document: SchemaDocument
  /** `appliedBy` is the schema around it when both are applied to the same value. */
  compile(node: unknown, appliedBy: SchemaObject | undefined): Check
  /** @throws SchemaRefused */
  compileReference(from: SchemaObject, keyword: '$ref' | '$dynamicRef' | '$recursiveRef'): Check
}

/**
 * The checks of one schema, those first that cost least. What asks for what the others have looked at comes last, around
 * all of them.
 *
 * @throws SchemaRefused, PatternRefused
 */
export function compileKeywords(schema: SchemaObject, compiler: Compiler): Check[] {
  const { draft } = compiler.document
  // In draft 7 nothing counts beside a reference.
  if (draft === '7' && own(schema, '$ref') !== undefined) return [compiler.compileReference(schema, '$ref')]
  const checks = [
    ...compileValueKeywords(schema, compiler),
    ...compileObjectKeywords(schema, compiler),
    ...compileArrayKeywords(schema, compiler),
  ]
  if (own(schema, '$ref') !== undefined) checks.push(compiler.compileReference(schema, '$ref'))
  if (draft === '2019-09' && own(schema, '$recursiveRef') !== undefined) {
    checks.push(compiler.compileReference(schema, '$recursiveRef'))
  }
  if (draft === '2020-12' && own(schema, '$dynamicRef') !== undefined) {
    checks.push(compiler.compileReference(schema, '$dynamicRef'))
  }
  checks.push(...compileCombinations(schema, compiler))
  return checks
}
