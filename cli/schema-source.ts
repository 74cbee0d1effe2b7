import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs'
import { CompiledSchema } from '../src/schema/compiled-schema.ts'
import { SCHEMA_LIMITS } from '../src/schema/limits.ts'
import { DRAFTS, parseDraft, SchemaRefused } from '../src/schema/schema-document.ts'
import type { Draft } from '../src/schema/schema-document.ts'
import type { JsonConnection } from '../client/json-connection.ts'
import { call, type Answer } from '../client/operations.ts'
import type { CommandOption } from './command.ts'
import { CliFailure, usageFailure } from './failure.ts'
import { readTopics } from './topics.ts'

/** A schema that was read, and what to call it in messages. */
export interface NamedSchema {
  readonly name: string
  readonly text: string
  readonly compiled: CompiledSchema
}

export const DRAFT_OPTION: CommandOption = {
  flags: '--draft <DRAFT>',
  description: `the draft of a schema that does not say: ${DRAFTS.join(', ')} (the last)`,
  parse(text) {
    const draft = parseDraft(text)
    if (draft !== undefined) return draft
    throw usageFailure(`Cannot use ${JSON.stringify(text)} as a draft: ${DRAFTS.join(', ')} are understood`)
  },
}

/**
 * Reads and compiles the schema in a file.
 *
 * @throws CliFailure with the place in the file; Node's error when it cannot be read
 */
export function readSchemaFile(path: string, draft: Draft | undefined): NamedSchema {
  const file = openSync(path, 'r')
  try {
    const { size } = fstatSync(file)
    if (size > SCHEMA_LIMITS.bytesMax)
      throw refuseSchema(path, `it has ${size} bytes, ${SCHEMA_LIMITS.bytesMax} are the most`)
    return compileNamed(path, new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file)), draft)
  } catch (error) {
    // A TypeError is the decoder's.
    throw error instanceof TypeError ? refuseSchema(path, 'it is not UTF-8 text') : error
  } finally {
    closeSync(file)
  }
}

/** @throws CliFailure with the place in the text */
export function compileNamed(name: string, text: string, draft: Draft | undefined): NamedSchema {
  try {
    return { name, text, compiled: new CompiledSchema(text, draft) }
  } catch (error) {
    if (!(error instanceof SchemaRefused)) throw error
    const { line = 1, column = 1 } = error.place ?? {}
    throw refuseSchema(`${name}:${line}:${column}`, error.message)
  }
}

function refuseSchema(place: string, reason: string): CliFailure {
  return new CliFailure(2, 'INVALID_SCHEMA', `Cannot take the schema, ${place}: ${reason}`, [
    'What can be in one:  docs/schema.md of CafeLog',
  ])
}

/** What the broker knows of the schema of a topic. @throws CliFailure when there is no such topic */
export async function readTopicSchema(
  connection: JsonConnection,
  topic: string,
  version?: number,
): Promise<Answer<'GET_SCHEMA'>> {
  await readTopics(connection, [topic])
  const known = await call(connection, 'GET_SCHEMA', { topic })
  if (version === undefined || version === known.version?.version) return known
  if (known.versions.some((candidate) => candidate.version === version)) {
    return call(connection, 'GET_SCHEMA', { topic, version })
  }
  const [first] = known.versions
  const kept =
    first === undefined ? 'it never had one' : `${first.version} to ${known.versions.at(-1)?.version} are kept`
  throw new CliFailure(
    3,
    'SCHEMA_NOT_FOUND',
    `There is no version ${version} of the schema of topic ${JSON.stringify(topic)}: ${kept}`,
    [`What is there:  brokerctl schema get ${topic} --versions`],
  )
}

/** The schema of a topic, or a version of it. @throws CliFailure when there is none */
export async function readSchemaOf(connection: JsonConnection, topic: string, version?: number): Promise<NamedSchema> {
  const { version: found } = await readTopicSchema(connection, topic, version)
  if (found === undefined || found.schema === null) throw hasNoSchema(topic)
  return compileNamed(`${topic} version ${found.version}`, found.schema, found.draft as Draft)
}

/** There is nothing to check the records of a topic with. */
export function hasNoSchema(topic: string): CliFailure {
  return new CliFailure(3, 'SCHEMA_NOT_FOUND', `Topic ${JSON.stringify(topic)} has no schema`, [
    `Begin with what its records look like:  brokerctl schema infer --topic ${topic} > ${topic}.json`,
    `Set one:  brokerctl schema set ${topic} ${topic}.json --mode warn`,
  ])
}
