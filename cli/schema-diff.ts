import type { Draft } from '../src/schema/schema-document.ts'
import { findSchemaChanges } from '../src/schema/schema-difference.ts'
import type { SchemaChange } from '../src/schema/schema-difference.ts'
import { wholeNumber, type Command } from './command.ts'
import { CliFailure, usageFailure } from './failure.ts'
import { counted } from './numbers.ts'
import { printRows, type Column } from './output.ts'
import { DRAFT_OPTION, hasNoSchema, readSchemaFile, readSchemaOf, readTopicSchema } from './schema-source.ts'
import type { NamedSchema } from './schema-source.ts'
import type { Session } from './session.ts'

interface Options {
  readonly topic?: string
  readonly from?: number
  readonly to?: number
  readonly draft?: Draft
  readonly check?: boolean
}

const COLUMNS: readonly Column<SchemaChange>[] = [
  { title: 'VALID-MAY-FAIL', value: (row) => (row.mayInvalidate ? 'yes' : 'no') },
  { title: 'INVALID-MAY-PASS', value: (row) => (row.mayAdmit ? 'yes' : 'no') },
  { title: 'POINTER', value: (row) => row.pointer || '/' },
  { title: 'CHANGE', value: (row) => row.message },
]

export const schemaDiff: Command<Options> = {
  name: 'schema diff',
  summary: 'what a schema changes against another, and for whom',
  details: [
    "Two files, without a broker; with --topic, a file against the topic's schema; with --topic alone, the last version against the one before it, or those that --from and --to name.",
    'For each change it says whether records that were valid may fail from now on, and whether records that were not may pass. Where that cannot be seen from the schemas, it says yes to both.',
  ],
  arguments: [{ name: 'FILES', description: 'the old schema and the new one', isOptional: true, isVariadic: true }],
  options: [
    { flags: '--topic <TOPIC>', description: 'the schema of this topic is the old one', completes: 'topic' },
    {
      flags: '--from <N>',
      description: 'with --topic: this version is the old one',
      parse: wholeNumber('a version', 1, usageFailure),
    },
    {
      flags: '--to <N>',
      description: 'with --topic: this version is the new one',
      parse: wholeNumber('a version', 1, usageFailure),
    },
    DRAFT_OPTION,
    { flags: '--check', description: 'exit code 7 when valid records may fail' },
  ],
  examples: [
    { line: 'brokerctl schema diff orders.json --topic orders', does: 'what setting this file would change' },
    { line: 'brokerctl schema diff --topic orders --from 1 --to 3', does: 'two versions of the past' },
    { line: 'brokerctl schema diff old.json new.json --check', does: 'for a build: fails when the change breaks' },
  ],
  exitCodes: [3, 7],
  async run(session, files, options) {
    const [before, after] = await readBoth(session, files, options)
    const changes = findSchemaChanges(before.compiled, after.compiled)
    await printRows(session, changes, {
      columns: COLUMNS,
      name: (row) => row.pointer,
      whenEmpty: `${before.name} and ${after.name} say the same`,
    })
    const breaking = changes.filter(({ mayInvalidate }) => mayInvalidate).length
    if (changes.length > 0) {
      session.note(
        breaking > 0
          ? `Valid records may fail by ${counted(breaking, 'change')} of ${changes.length}`
          : 'What was valid stays valid',
      )
    }
    if (options.check === true && breaking > 0) {
      throw new CliFailure(7, 'SCHEMA_INCOMPATIBLE', `Records valid by ${before.name} may fail by ${after.name}`, [
        'Try it on what is there:  brokerctl schema check TOPIC FILE --last 10000',
      ])
    }
  },
}

/** @throws CliFailure when it is not clear which two are meant, or one is not there */
async function readBoth(
  session: Session,
  files: readonly string[],
  { topic, from, to, draft }: Options,
): Promise<readonly [before: NamedSchema, after: NamedSchema]> {
  if (files.length > 2) throw usageFailure(`Two schemas are compared, not ${files.length}`)
  const [first, second] = files
  if (topic === undefined) {
    if (from !== undefined || to !== undefined) throw usageFailure('--from and --to go with --topic')
    if (first === undefined || second === undefined) {
      throw usageFailure('Which two schemas?  OLD NEW, or FILE --topic TOPIC, or --topic TOPIC')
    }
    return [readSchemaFile(first, draft), readSchemaFile(second, draft)]
  }
  if (second !== undefined) throw usageFailure('With --topic there is at most one file, the new schema')
  if (first !== undefined && to !== undefined) throw usageFailure('A file and --to exclude each other')
  const file = first === undefined ? undefined : readSchemaFile(first, draft)
  const connection = await session.connect()
  if (file !== undefined) return [await readSchemaOf(connection, topic, from), file]
  const { versions } = await readTopicSchema(connection, topic)
  const withSchema = versions.filter(({ bytes }) => bytes !== null)
  const last = to ?? withSchema.at(-1)?.version
  if (last === undefined) throw hasNoSchema(topic)
  const earlier = from ?? withSchema.findLast(({ version }) => version < last)?.version
  if (earlier === undefined) {
    throw usageFailure(`There is only version ${last} of the schema of topic "${topic}"`, 'Compare it with a file')
  }
  return [await readSchemaOf(connection, topic, earlier), await readSchemaOf(connection, topic, last)]
}
