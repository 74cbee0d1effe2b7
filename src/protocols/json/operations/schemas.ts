import { compileSchema, SCHEMA_MODES } from '../../../broker/topic-schemas.ts'
import type { SchemaVersion } from '../../../broker/topic-schemas.ts'
import { DRAFTS, parseDraft } from '../../../schema/schema-document.ts'
import type { Draft } from '../../../schema/schema-document.ts'
import type { Operation, OperationContext } from '../context.ts'
import type { Fields } from '../fields.ts'
import type { SchemaVersionOverview } from '../wire.ts'

const VERSION_RANGE = { min: 1, max: Number.MAX_SAFE_INTEGER }
const LAST_RANGE = { min: 1, max: 100_000 }
const LAST_DEFAULT = 1_000

/** GET_SCHEMA: a schema of a topic, and the list of its versions. */
export const getSchema: Operation<'GET_SCHEMA'> = ({ broker }, fields) => {
  const topic = broker.topics.getExisting(fields.text('topic'))
  const versions = broker.schemas.versions(topic)
  const wanted = fields.optionalInteger('version', VERSION_RANGE) ?? versions.at(-1)?.version
  const version = versions.find((known) => known.version === wanted)
  if (wanted !== undefined && version === undefined) {
    const kept =
      versions.length === 0 ? 'it has none' : `${versions[0].version} to ${versions.at(-1)?.version} are kept`
    throw fields.wrong('version', `a version of the schema of topic "${topic.name}" is needed: ${kept}`)
  }
  const active = broker.schemas.get(topic.name)
  return {
    topic: topic.name,
    active: active?.version ?? null,
    ...(active !== undefined && { counts: { ...active.counts } }),
    ...(version !== undefined && { version: { ...toOverview(version), schema: version.text ?? null } }),
    versions: versions.map(toOverview),
    ...declaredIn(broker, topic.name),
  }
}

/** SET_SCHEMA: the records of a topic are checked with this from now on. */
export const setSchema: Operation<'SET_SCHEMA'> = async ({ broker, logger, peer }, fields) => {
  const topic = broker.topics.getExisting(fields.text('topic'))
  const text = fields.text('schema')
  const name = fields.text('mode')
  const mode = SCHEMA_MODES.find((known) => known === name)
  if (mode === undefined) throw fields.wrong('mode', `one of ${SCHEMA_MODES.join(', ')} is needed`)
  const wish = { text, mode, draft: readDraft(fields) }
  const isTrial = fields.optionalBoolean('dryRun') === true
  const { version, isNew } = await broker.schemas.set(broker.topics, topic, wish, { isTrial })
  if (isNew && !isTrial) {
    logger.info({ topic: topic.name, version, mode, peer }, 'a schema was set')
  }
  return { ok: true, version, changed: isNew, ...declaredIn(broker, topic.name) }
}

/** UNSET_SCHEMA: the records of a topic are not checked any more. */
export const unsetSchema: Operation<'UNSET_SCHEMA'> = async ({ broker, logger, peer }, fields) => {
  const topic = broker.topics.getExisting(fields.text('topic'))
  const changed = await broker.schemas.unset(topic)
  if (changed) logger.info({ topic: topic.name, peer }, 'a schema was taken away')
  return { ok: true, changed, ...declaredIn(broker, topic.name) }
}

/** CHECK_SCHEMA: what a schema says of the records that a topic has. Nothing is changed. */
export const checkSchema: Operation<'CHECK_SCHEMA'> = async ({ broker }, fields) => {
  const topic = broker.topics.getExisting(fields.text('topic'))
  const last = fields.optionalInteger('last', LAST_RANGE) ?? LAST_DEFAULT
  const text = fields.optionalText('schema')
  const active = broker.schemas.get(topic.name)
  const compiled = text === undefined ? active?.compiled : compileSchema(topic.name, { text, draft: readDraft(fields) })
  if (compiled === undefined) {
    throw fields.wrong('schema', `topic "${topic.name}" has no schema, so that one to try is needed`)
  }
  const { valid, invalid, isComplete, groups } = await broker.schemaTrials.run(topic, compiled, last)
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

function readDraft(fields: Fields): Draft | undefined {
  const text = fields.optionalText('draft')
  const draft = text === undefined ? undefined : parseDraft(text)
  if (text !== undefined && draft === undefined) throw fields.wrong('draft', `one of ${DRAFTS.join(', ')} is needed`)
  return draft
}

function toOverview({ version, mode, draft, setAtMs, text }: SchemaVersion): SchemaVersionOverview {
  return { version, mode, draft, setAt: setAtMs, bytes: text === undefined ? null : Buffer.byteLength(text) }
}

function declaredIn(broker: OperationContext['broker'], topic: string): { declaredIn?: string } {
  const path = broker.schemas.declaredIn(topic)
  return path === undefined ? {} : { declaredIn: path }
}
