import type { CompiledSchema } from '../schema/compiled-schema.ts'
import type { Draft } from '../schema/schema-document.ts'
import { DRAFTS, parseDraft } from '../schema/schema-document.ts'
import type { Broker } from './broker.ts'
import { compileSchema } from './topic-schemas.ts'
import type { SchemaVersion } from './topic-schemas.ts'
import type { Topic } from './topics.ts'

// What both doors say of the schemas of a topic.

/** How many records a schema may be tried on, and on how many it is when nobody says. */
export const TRIED_RECORDS = { min: 1, max: 100_000 }
const TRIED_RECORDS_DEFAULT = 1_000

/** A version without its text. */
export function describeVersion({ version, mode, draft, setAtMs, text }: SchemaVersion) {
  return { version, mode, draft, setAt: setAtMs, bytes: text === undefined ? null : Buffer.byteLength(text) }
}

/** The file that sets the schema of a topic again at every start, if there is one. */
export function declaredIn({ schemas }: Broker, { name }: Topic): { declaredIn?: string } {
  const path = schemas.declaredIn(name)
  return path === undefined ? {} : { declaredIn: path }
}

/** The `draft` of a request. */
export function readDraft(fields: {
  optionalText(name: string): string | undefined
  wrong(name: string, right: string): Error
}): Draft | undefined {
  const text = fields.optionalText('draft')
  const draft = text === undefined ? undefined : parseDraft(text)
  if (text !== undefined && draft === undefined) throw fields.wrong('draft', `one of ${DRAFTS.join(', ')} is needed`)
  return draft
}

/**
 * What a schema says of the last records of a topic: of the one given, else of the topic's own; undefined when there is neither.
 *
 * @throws BrokerError as `compileSchema` and `SchemaTrials.run`
 */
export async function trySchema(
  { schemas, schemaTrials }: Broker,
  topic: Topic,
  wish: { readonly text: string | undefined; readonly last: number | undefined; readDraft(): Draft | undefined },
) {
  const { text, last = TRIED_RECORDS_DEFAULT } = wish
  const active = schemas.get(topic.name)
  const compiled: CompiledSchema | undefined =
    text === undefined ? active?.compiled : compileSchema(topic.name, { text, draft: wish.readDraft() })
  if (compiled === undefined) return undefined
  const { valid, invalid, isComplete, groups } = await schemaTrials.run(topic, compiled, last)
  return {
    topic: topic.name,
    version: text === undefined ? (active?.version ?? null) : null,
    checked: valid + invalid,
    valid,
    invalid,
    complete: isComplete,
    faults: groups,
  }
}
