import type { SchemaVersionOverview } from '../src/protocols/json/wire.ts'
import { wholeNumber, type Command } from './command.ts'
import { usageFailure } from './failure.ts'
import { compactJson, indentJson } from './json-text.ts'
import { isoTime, localTime } from './moment.ts'
import { groupDigits } from './numbers.ts'
import { printRows, type Column } from './output.ts'
import { hasNoSchema, readTopicSchema } from './schema-source.ts'

interface Options {
  readonly version?: number
  readonly versions?: boolean
}

const COLUMNS: readonly Column<SchemaVersionOverview>[] = [
  { title: 'VERSION', value: (row) => row.version },
  { title: 'MODE', value: (row) => (row.bytes === null ? null : row.mode) },
  { title: 'DRAFT', value: (row) => (row.bytes === null ? null : row.draft) },
  { title: 'SIZE', kind: 'bytes', value: (row) => row.bytes },
  { title: 'SET', value: (row) => localTime(row.setAt) },
]

export const schemaGet: Command<Options> = {
  name: 'schema get',
  summary: 'show the schema of a topic',
  details: [
    'Prints the schema as it was set, ready for a file; what is known of it goes to stderr. With -j both are one document.',
  ],
  arguments: [{ name: 'TOPIC', description: 'the topic', completes: 'topic' }],
  options: [
    {
      flags: '--version <N>',
      description: 'this version of it (the last)',
      parse: wholeNumber('a version', 1, usageFailure),
    },
    { flags: '--versions', description: 'list the versions that are kept' },
  ],
  examples: [
    { line: 'brokerctl schema get orders > orders.json', does: 'the schema in force' },
    { line: 'brokerctl schema get orders --versions', does: 'what was in force before' },
  ],
  exitCodes: [3],
  async run(session, [topic = ''], { version, versions }) {
    const connection = await session.connect()
    const known = await readTopicSchema(connection, topic, version)
    if (versions === true) {
      const whenEmpty = `Topic "${topic}" never had a schema`
      return printRows(session, known.versions, { columns: COLUMNS, name: (row) => String(row.version), whenEmpty })
    }
    const { version: found, active, counts, declaredIn } = known
    if (found === undefined || found.schema === null) throw hasNoSchema(topic)
    const { schema, setAt, bytes: _, ...facts } = found
    if (session.output === 'json' || session.output === 'yaml' || session.output === 'jsonl') {
      const document = { topic, ...facts, setAt: isoTime(setAt), active, counts, declaredIn }
      // The schema is spliced in as it was written: numbers in it are not to be rounded.
      const text = `${JSON.stringify(document).slice(0, -1)},"schema":${compactJson(schema)}}`
      if (session.output === 'jsonl') return session.write(`${text}\n`)
      if (session.output === 'json') return session.write(`${indentJson(text, (token) => token)}\n`)
      const { stringify } = await import('yaml')
      return session.write(stringify(JSON.parse(text)))
    }
    if (session.output === 'name') return session.write(`${found.version}\n`)
    await session.write(schema.endsWith('\n') ? schema : `${schema}\n`)
    const isActive = found.version === active ? '' : ', not in force'
    session.note(`${topic}: version ${found.version}${isActive}, ${describe(found)}, set ${localTime(setAt)}`)
    if (counts !== undefined && found.version === active) {
      const { valid, invalid } = counts
      session.note(`checked since the broker started: ${groupDigits(valid)} fit, ${groupDigits(invalid)} did not`)
    }
    if (declaredIn !== undefined) session.note(`topics.yml declares it: ${declaredIn}`)
  },
}

function describe({ mode, draft }: SchemaVersionOverview): string {
  return `mode ${mode}, draft ${draft}`
}
