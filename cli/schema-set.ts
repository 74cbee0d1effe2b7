import { SCHEMA_MODE_NAMES, type SchemaModeName } from '../src/protocols/json/wire.ts'
import type { Draft } from '../src/schema/schema-document.ts'
import type { JsonConnection } from '../client/json-connection.ts'
import { call } from '../client/operations.ts'
import { wholeNumber, type Command } from './command.ts'
import { CliFailure, usageFailure } from './failure.ts'
import { counted } from './numbers.ts'
import { printOutcomes } from './output.ts'
import { printTrial } from './schema-check.ts'
import { DRAFT_OPTION, readSchemaFile, type NamedSchema } from './schema-source.ts'
import type { Session } from './session.ts'
import { readTopics } from './topics.ts'

interface Options {
  readonly mode?: SchemaModeName
  readonly draft?: Draft
  readonly checkLast?: number
  readonly dryRun?: boolean
}

export const schemaSet: Command<Options> = {
  name: 'schema set',
  summary: 'check the records of a topic with a schema from now on',
  details: [
    'Modes, for records that do not fit: reject refuses them with all that was sent along, dlq puts them into the dead letter topic, warn stores and counts them.',
    'Each schema that is set is a version. Where topics.yml declares the schema of the topic, that one is set again at the next start or SIGHUP.',
  ],
  arguments: [
    { name: 'TOPIC', description: 'the topic', completes: 'topic' },
    { name: 'FILE', description: 'the schema: JSON Schema of draft 7, 2019-09 or 2020-12' },
  ],
  options: [
    { flags: '-m, --mode <MODE>', description: 'what becomes of records that do not fit', choices: SCHEMA_MODE_NAMES },
    DRAFT_OPTION,
    {
      flags: '--check-last <N>',
      description: 'only if the last N records of the topic would fit',
      parse: wholeNumber('a number of records', 1, usageFailure),
    },
    { flags: '--dry-run', description: 'say what would change' },
  ],
  examples: [
    { line: 'brokerctl schema set orders orders.json --mode warn', does: 'count what does not fit' },
    { line: 'brokerctl schema set orders orders.json --mode reject --check-last 10000', does: 'try it first' },
  ],
  exitCodes: [3, 7],
  async run(session, [topic = '', file = ''], { mode, draft, checkLast, dryRun }) {
    if (mode === undefined) throw usageFailure(`Which mode?  --mode ${SCHEMA_MODE_NAMES.join(', --mode ')}`)
    const schema = readSchemaFile(file, draft)
    const connection = await session.connect()
    await readTopics(connection, [topic])
    if (checkLast !== undefined) await tryFirst(session, connection, { topic, schema, draft, last: checkLast })
    const request = { topic, schema: schema.text, mode, ...(draft !== undefined && { draft }), dryRun: dryRun === true }
    const { version, changed, declaredIn } = await call(connection, 'SET_SCHEMA', request)
    const status = !changed ? 'unchanged' : dryRun === true ? 'would-be-set' : 'set'
    await printOutcomes(session, [{ name: topic, version, mode, status }], () => {
      if (!changed) return `Topic "${topic}" has this schema already, as version ${version}`
      if (dryRun === true) return `This would be version ${version} of the schema of topic "${topic}", mode ${mode}`
      return `${session.colors.green('✓')} Set version ${version} of the schema of topic "${topic}", mode ${mode}`
    })
    if (dryRun === true) session.note('Nothing was changed: this was a dry run')
    else if (changed) warnOfFile(session, declaredIn)
  },
}

export const schemaUnset: Command = {
  name: 'schema unset',
  summary: 'check the records of a topic no more',
  details: ['Asks first. Where nobody can answer, in a script, it wants --yes. The versions stay.'],
  arguments: [{ name: 'TOPIC', description: 'the topic', completes: 'topic' }],
  examples: [{ line: 'brokerctl schema unset orders --yes', does: 'anything may be sent again' }],
  exitCodes: [3],
  async run(session, [topic = '']) {
    const connection = await session.connect()
    await readTopics(connection, [topic])
    await session.confirm(`Check the records of topic "${topic}" no more?`)
    const { changed, declaredIn } = await call(connection, 'UNSET_SCHEMA', { topic })
    await printOutcomes(session, [{ name: topic, status: changed ? 'unset' : 'unchanged' }], () =>
      changed
        ? `${session.colors.green('✓')} Topic "${topic}" has no schema any more`
        : `Topic "${topic}" has no schema`,
    )
    if (changed) warnOfFile(session, declaredIn)
  },
}

/** @throws CliFailure when some records would not fit */
async function tryFirst(
  session: Session,
  connection: JsonConnection,
  wish: {
    readonly topic: string
    readonly schema: NamedSchema
    readonly draft: Draft | undefined
    readonly last: number
  },
) {
  const { topic, schema, draft, last } = wish
  const request = { topic, schema: schema.text, ...(draft !== undefined && { draft }), last }
  const trial = await call(connection, 'CHECK_SCHEMA', request)
  if (trial.invalid > 0) {
    await printTrial(session, trial)
    throw new CliFailure(
      7,
      'SCHEMA_VALIDATION_FAILED',
      `Nothing was set: ${counted(trial.invalid, 'record')} of the ${trial.checked} checked in topic "${topic}" would not fit`,
      ['Set it all the same, for records to come: leave out --check-last'],
    )
  }
  if (!trial.complete) session.warn(`Time ran out after ${counted(trial.checked, 'record')}, all of which fit`)
  else session.note(`${counted(trial.checked, 'record')} of the topic checked: all fit`)
}

function warnOfFile(session: Session, declaredIn: string | undefined) {
  if (declaredIn === undefined) return
  session.warn(`topics.yml declares ${declaredIn} for this topic: it is set again at the next start or SIGHUP`)
}
