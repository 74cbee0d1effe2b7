import { declaredIn, describeVersion, readDraft, TRIED_RECORDS, trySchema } from '../../../broker/schema-answers.ts'
import { SCHEMA_MODES } from '../../../broker/topic-schemas.ts'
import type { Operation } from '../context.ts'

const VERSION_RANGE = { min: 1, max: Number.MAX_SAFE_INTEGER }

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
    ...(version !== undefined && { version: { ...describeVersion(version), schema: version.text ?? null } }),
    versions: versions.map(describeVersion),
    ...declaredIn(broker, topic),
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
  return { ok: true, version, changed: isNew, ...declaredIn(broker, topic) }
}

/** UNSET_SCHEMA: the records of a topic are not checked any more. */
export const unsetSchema: Operation<'UNSET_SCHEMA'> = async ({ broker, logger, peer }, fields) => {
  const topic = broker.topics.getExisting(fields.text('topic'))
  const changed = await broker.schemas.unset(topic)
  if (changed) logger.info({ topic: topic.name, peer }, 'a schema was taken away')
  return { ok: true, changed, ...declaredIn(broker, topic) }
}

/** CHECK_SCHEMA: what a schema says of the records that a topic has. Nothing is changed. */
export const checkSchema: Operation<'CHECK_SCHEMA'> = async ({ broker }, fields) => {
  const topic = broker.topics.getExisting(fields.text('topic'))
  const tried = await trySchema(broker, topic, {
    last: fields.optionalInteger('last', TRIED_RECORDS),
    text: fields.optionalText('schema'),
    readDraft: () => readDraft(fields),
  })
  if (tried !== undefined) return tried
  throw fields.wrong('schema', `topic "${topic.name}" has no schema, so that one to try is needed`)
}
