import { SchemaInference } from '../src/schema/schema-inference.ts'
import { JsonFault, parseGuardedJson } from '../src/schema/guarded-json.ts'
import { VALUE_LIMITS } from '../src/schema/limits.ts'
import { call } from '../client/operations.ts'
import type { JsonConnection } from '../client/json-connection.ts'
import { wholeNumber, type Command } from './command.ts'
import { CliFailure, usageFailure } from './failure.ts'
import { counted } from './numbers.ts'
import { valuesOf } from './schema-validate.ts'
import type { Session } from './session.ts'
import { readTopics } from './topics.ts'

const LAST_DEFAULT = 1_000
const ENUM_DEFAULT = 8
const FETCH_BYTES = 1024 * 1024

interface Options {
  readonly topic?: string
  readonly last?: number
  readonly strict?: boolean
  readonly formats?: boolean
  readonly enums?: number
}

export const schemaInfer: Command<Options> = {
  name: 'schema infer',
  summary: 'make a schema of what records look like',
  details: [
    'From JSON on each line of a file or of stdin, or from the last records of a topic. All of these fit the schema, of draft 2020-12, that goes to stdout. It is a beginning: look at it before you set it.',
    'Members that all objects have become required. Formats are said where all texts have one, an enum where few texts come again and again.',
  ],
  arguments: [{ name: 'FILE', description: 'the values (stdin)', isOptional: true }],
  options: [
    { flags: '--topic <TOPIC>', description: 'from the records of this topic', completes: 'topic' },
    {
      flags: '-n, --last <N>',
      description: `with --topic: the last N records of each partition (${LAST_DEFAULT})`,
      parse: wholeNumber('a number of records', 1, usageFailure),
    },
    { flags: '--strict', description: 'no other members than those that were seen' },
    { flags: '--no-formats', description: 'say nothing of formats' },
    {
      flags: '--enums <N>',
      description: `an enum for at most N different texts (${ENUM_DEFAULT}); 0 for none`,
      parse: wholeNumber('a number of values', 0, usageFailure),
    },
  ],
  examples: [
    { line: 'brokerctl schema infer --topic orders > orders.json', does: 'what orders look like' },
    { line: 'brokerctl schema infer --strict --enums 0 < events.jsonl', does: 'from a file, and stricter' },
  ],
  exitCodes: [3],
  async run(session, [file], { topic, last, strict, formats, enums = ENUM_DEFAULT }) {
    if (topic !== undefined && file !== undefined) throw usageFailure('A file and --topic exclude each other')
    if (topic === undefined && last !== undefined) throw usageFailure('--last goes with --topic')
    const options = { isClosed: strict === true, hasFormats: formats !== false, enumValuesMax: enums }
    const inference = new SchemaInference(options)
    const values =
      topic === undefined ? fromLines(session, file) : fromTopic(await session.connect(), topic, last ?? LAST_DEFAULT)
    let passedOver = 0
    for await (const value of values) {
      try {
        inference.add(parseGuardedJson(value, VALUE_LIMITS))
      } catch (error) {
        if (!(error instanceof JsonFault)) throw error
        passedOver++
      }
    }
    if (passedOver > 0) session.warn(`Passed over ${counted(passedOver, 'value')} that cannot be taken for JSON`)
    if (inference.count === 0) {
      throw new CliFailure(3, 'NOTHING_TO_INFER', 'There is no value to infer a schema from')
    }
    await session.write(inference.toText())
    session.note(`from ${counted(inference.count, 'value')}`)
  },
}

async function* fromLines(session: Session, file: string | undefined): AsyncGenerator<Buffer> {
  for await (const { value } of valuesOf(session, file, false)) yield value
}

/** The values of the last records of each partition, without those that have none. */
async function* fromTopic(connection: JsonConnection, topic: string, last: number): AsyncGenerator<Buffer> {
  const [metadata] = await readTopics(connection, [topic])
  for (const { partition, logStartOffset, highWatermark } of metadata?.partitions ?? []) {
    let next = Math.max(logStartOffset, highWatermark - last)
    while (next < highWatermark) {
      const request = { topic, partition, offset: next, maxBytes: FETCH_BYTES, maxWaitMs: 0 }
      const { records, nextOffset = 0 } = await call(connection, 'FETCH', request)
      for (const { offset, value } of records) {
        if (offset >= next && offset < highWatermark && value !== null) yield Buffer.from(value, 'base64')
      }
      const reached = Math.max(nextOffset, (records.at(-1)?.offset ?? -1) + 1)
      // What is left may not be for consumers yet: records of a transaction that goes on.
      if (reached <= next) break
      next = reached
    }
  }
}
