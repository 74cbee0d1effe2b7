import { declaredIn, describeVersion, readDraft, TRIED_RECORDS, trySchema } from '../broker/schema-answers.ts'
import { SCHEMA_MODES } from '../broker/topic-schemas.ts'
import type { Topic } from '../broker/topics.ts'
import type { ApiFields } from './api-fields.ts'
import { SAFE_RANGE } from './api-fields.ts'
import { ApiRefusal } from './api-errors.ts'
import type { ApiAnswer, ApiCall, ApiRoute } from './api-route.ts'
import { findRawMember } from './raw-json.ts'

const PATH = '/topics/:topic/schema'

/** The JSON Schema of a topic. */
export const SCHEMA_ROUTES: readonly ApiRoute[] = [
  {
    method: 'GET',
    path: PATH,
    action: 'show the schema',
    operation: 'get_schema',
    endpoint: 'admin',
    handle: getSchema,
  },
  {
    method: 'PUT',
    path: PATH,
    action: 'set the schema',
    operation: 'set_schema',
    endpoint: 'admin',
    handle: setSchema,
  },
  {
    method: 'DELETE',
    path: PATH,
    action: 'take the schema away',
    operation: 'unset_schema',
    endpoint: 'admin',
    async handle({ broker, params }) {
      const topic = broker.topics.getExisting(params.topic)
      if (!(await broker.schemas.unset(topic))) throw noSchema(topic)
      return { body: { deleted: true, ...declaredIn(broker, topic) } }
    },
  },
  {
    method: 'POST',
    path: `${PATH}/check`,
    action: 'check a schema',
    operation: 'check_schema',
    endpoint: 'admin',
    handle: checkSchema,
  },
]

function getSchema({ broker, params, query }: ApiCall): ApiAnswer {
  const fields = query(['version'])
  const topic = broker.topics.getExisting(params.topic)
  const versions = broker.schemas.versions(topic)
  const wanted = fields.optionalInteger('version', SAFE_RANGE)
  const found = wanted === undefined ? versions.at(-1) : versions.find(({ version }) => version === wanted)
  if (found === undefined && wanted !== undefined && versions.length > 0) {
    const kept = `${versions[0].version} to ${versions.at(-1)?.version}`
    throw new ApiRefusal(404, 'NOT_FOUND', `Topic "${topic.name}" has no schema version ${wanted}: ${kept} are kept`)
  }
  if (found === undefined || (found.text === undefined && wanted === undefined)) throw noSchema(topic)
  const rest = JSON.stringify({
    versions: versions.map(describeVersion),
    ...declaredIn(broker, topic),
  })
  // The schema as it was written: JSON.parse would change what its numbers look like.
  return {
    body: `{"topic":"${topic.name}",${inner(describeVersion(found))},"schema":${found.text ?? 'null'},${rest.slice(1)}`,
  }
}

async function setSchema({ broker, params, bytes, body }: ApiCall): Promise<ApiAnswer> {
  const fields = body(['schema', 'mode', 'draft', 'dryRun'])
  const text = readSchema(fields, bytes) ?? fields.missing('schema', 'a JSON Schema is needed')
  const mode =
    fields.optionalChoice('mode', SCHEMA_MODES) ?? fields.missing('mode', `one of ${SCHEMA_MODES.join(', ')} is needed`)
  const topic = broker.topics.getExisting(params.topic)
  const isTrial = fields.optionalBoolean('dryRun') ?? false
  const wish = { text, mode, draft: readDraft(fields) }
  const { version, isNew } = await broker.schemas.set(broker.topics, topic, wish, { isTrial })
  const status = isNew && !isTrial ? 201 : 200
  return { status, body: { topic: topic.name, version, mode, changed: isNew, ...declaredIn(broker, topic) } }
}

async function checkSchema({ broker, params, bytes, body }: ApiCall): Promise<ApiAnswer> {
  const fields = body(['schema', 'draft', 'last'])
  const topic = broker.topics.getExisting(params.topic)
  const tried = await trySchema(broker, topic, {
    last: fields.optionalInteger('last', TRIED_RECORDS),
    text: readSchema(fields, bytes),
    readDraft: () => readDraft(fields),
  })
  if (tried !== undefined) return { body: tried }
  return fields.missing('schema', `topic "${topic.name}" has none, so that one to try is needed`)
}

/** As it was written, so that line and column in refusals count from where it begins. */
function readSchema(fields: ApiFields, bytes: Buffer): string | undefined {
  const raw = fields.get('schema') === undefined ? undefined : findRawMember(bytes, 0, 'schema')
  return raw === undefined ? undefined : bytes.toString('utf8', raw.start, raw.end)
}

/** The members of an object, without its braces. */
function inner(object: object): string {
  return JSON.stringify(object).slice(1, -1)
}

function noSchema({ name }: Topic): ApiRefusal {
  return new ApiRefusal(404, 'NOT_FOUND', `Topic "${name}" has no schema: PUT sets one`)
}
