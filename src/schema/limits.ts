/** What a schema may be: one that is larger is refused before anything is done with it. */
export const SCHEMA_LIMITS = {
  /** Of its text. */
  bytesMax: 64 * 1024,
  depthMax: 32,
  /** Objects and booleans that are schemas, in all of the document. */
  schemasMax: 1_000,
  /** Values of JSON in all of the document: what `enum` lists counts here. */
  valuesMax: 10_000,
  patternCharactersMax: 1_000,
  /** Of the programs that all of its patterns are made into, together; a class with `\p{…}` counts as 2,000. */
  patternStepsMax: 100_000,
  /** Places that its dynamic references could lead to, together. */
  dynamicTargetsMax: 5_000,
} as const

/** What the value of a record may be that is checked against a schema. */
export const VALUE_LIMITS = {
  bytesMax: 1024 * 1024,
  depthMax: 64,
  keysMax: 10_000,
  valuesMax: 100_000,
} as const

/** Of JSON text, counted before it is parsed. */
export interface JsonLimits {
  readonly bytesMax: number
  readonly depthMax: number
  readonly keysMax: number
  readonly valuesMax: number
}

/** How deep schemas may be applied within each other while one value is checked: `$ref` may lead to itself. */
export const NESTING_MAX = 600
