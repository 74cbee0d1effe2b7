import type { SchemaFaultGroup } from '../src/protocols/json/wire.ts'
import type { Draft } from '../src/schema/schema-document.ts'
import { call, type Answer } from '../client/operations.ts'
import { wholeNumber, type Command } from './command.ts'
import { CliFailure, usageFailure } from './failure.ts'
import { counted } from './numbers.ts'
import { headingOf, printRows, type Column } from './output.ts'
import { DRAFT_OPTION, hasNoSchema, readSchemaFile, readTopicSchema } from './schema-source.ts'
import type { Session } from './session.ts'
import { readTopics } from './topics.ts'

const LAST_DEFAULT = 1_000

interface Options {
  readonly last?: number
  readonly draft?: Draft
}

const COLUMNS: readonly Column<SchemaFaultGroup>[] = [
  { title: 'COUNT', kind: 'count', value: (row) => row.count },
  { title: 'REASON', value: (row) => row.reason },
  { title: 'POINTER', value: (row) => row.pointer || '/' },
  { title: 'EXAMPLE', value: (row) => placesOf(row).slice(0, 1).join('') },
  { title: 'EXAMPLES', isWide: true, value: (row) => placesOf(row).join(' ') },
  { title: 'MESSAGE', value: (row) => row.message },
]

export const schemaCheck: Command<Options> = {
  name: 'schema check',
  summary: 'try a schema on records that a topic has',
  details: [
    'Nothing is changed. The last records are shared out between the partitions. Places are PARTITION@OFFSET, and a * in a pointer stands for any index of an array.',
  ],
  arguments: [
    { name: 'TOPIC', description: 'the topic', completes: 'topic' },
    { name: 'FILE', description: "the schema (the topic's own)", isOptional: true },
  ],
  options: [
    {
      flags: '-n, --last <N>',
      description: `so many records, the last ones (${LAST_DEFAULT}); 100000 at most`,
      parse: wholeNumber('a number of records', 1, usageFailure),
    },
    DRAFT_OPTION,
  ],
  examples: [
    { line: 'brokerctl schema check orders orders.json --last 10000', does: 'would they have been accepted?' },
    { line: 'brokerctl schema check orders', does: 'the records in it against the schema in force' },
  ],
  exitCodes: [3, 7],
  async run(session, [topic = '', file], { last = LAST_DEFAULT, draft }) {
    const schema = file === undefined ? undefined : readSchemaFile(file, draft)
    const connection = await session.connect()
    await readTopics(connection, [topic])
    if (schema === undefined && (await readTopicSchema(connection, topic)).active === null) throw hasNoSchema(topic)
    const request = {
      topic,
      last,
      ...(schema !== undefined && { schema: schema.text, ...(draft !== undefined && { draft }) }),
    }
    const trial = await call(connection, 'CHECK_SCHEMA', request)
    await printTrial(session, trial)
    if (!trial.complete) session.warn(`Time ran out: only ${counted(trial.checked, 'record')} could be checked`)
    if (trial.invalid > 0) {
      const message = `${counted(trial.invalid, 'record')} of ${trial.checked} checked in topic "${topic}" do not fit`
      throw new CliFailure(7, 'SCHEMA_VALIDATION_FAILED', message, [
        `Look at one:  brokerctl consume ${topic} -p PARTITION -o OFFSET -n 1`,
      ])
    }
  },
}

/** Prints what a schema says of records that are there. */
export async function printTrial(session: Session, trial: Answer<'CHECK_SCHEMA'>): Promise<void> {
  const { topic, checked, valid, invalid, faults } = trial
  await printRows(session, faults, {
    columns: COLUMNS,
    name: (row) => row.pointer,
    document: trial,
    heading: headingOf(session, { TOPIC: topic, CHECKED: checked, VALID: valid, INVALID: invalid }),
    whenEmpty: checked === 0 ? 'There are no records to check' : 'All of them fit',
  })
}

function placesOf({ examples }: SchemaFaultGroup): string[] {
  return examples.map(({ partition, offset }) => `${partition}@${offset}`)
}
