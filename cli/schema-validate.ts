import { createReadStream, openSync, readFileSync } from 'node:fs'
import { findSchemaFault } from '../src/schema/check-value.ts'
import type { Draft } from '../src/schema/schema-document.ts'
import { wholeNumber, type Command } from './command.ts'
import { CliFailure, usageFailure } from './failure.ts'
import { splitLines } from './lines.ts'
import { counted } from './numbers.ts'
import { printRows, type Column } from './output.ts'
import { DRAFT_OPTION, readSchemaFile, readSchemaOf } from './schema-source.ts'
import type { Session } from './session.ts'

const LINE_BYTES_MAX = 10 * 1024 * 1024
const FAULTS_SHOWN = 100

interface Options {
  readonly schema?: string
  readonly topic?: string
  readonly version?: number
  readonly draft?: Draft
  readonly document?: boolean
  readonly max?: number
}

interface FaultRow {
  readonly line: number
  readonly pointer: string
  readonly reason: string
  readonly message: string
}

const COLUMNS: readonly Column<FaultRow>[] = [
  { title: 'LINE', value: (row) => row.line },
  { title: 'REASON', value: (row) => row.reason },
  { title: 'POINTER', value: (row) => row.pointer || '/' },
  { title: 'MESSAGE', value: (row) => row.message },
]

export const schemaValidate: Command<Options> = {
  name: 'schema validate',
  summary: 'check values in a file or from stdin with a schema',
  details: [
    'A value on each line, as consume prints them. With --schema no broker is needed. What does not fit is listed on stdout, and the exit code is 7 then.',
  ],
  arguments: [{ name: 'FILE', description: 'the values (stdin)', isOptional: true }],
  options: [
    { flags: '--schema <FILE>', description: 'the schema, in a file' },
    { flags: '--topic <TOPIC>', description: 'the schema of this topic', completes: 'topic' },
    {
      flags: '--version <N>',
      description: 'with --topic: this version of it (the last)',
      parse: wholeNumber('a version', 1, usageFailure),
    },
    DRAFT_OPTION,
    { flags: '--document', description: 'the input is one value, on however many lines' },
    {
      flags: '-n, --max <N>',
      description: `list so many at most (${FAULTS_SHOWN}); all are counted`,
      parse: wholeNumber('a number of lines', 1, usageFailure),
    },
  ],
  examples: [
    { line: 'brokerctl schema validate events.jsonl --schema events.json', does: 'without a broker' },
    { line: 'brokerctl consume orders -e --raw | brokerctl schema validate --topic orders', does: 'from a pipe' },
    { line: 'brokerctl schema validate order.json --document --topic orders', does: 'one value, indented' },
  ],
  exitCodes: [3, 7],
  async run(session, [file], { schema, topic, version, draft, document, max = FAULTS_SHOWN }) {
    if ((schema === undefined) === (topic === undefined)) {
      throw usageFailure('With which schema?  --schema FILE, or --topic TOPIC')
    }
    const named =
      schema !== undefined
        ? readSchemaFile(schema, draft)
        : await readSchemaOf(await session.connect(), topic ?? '', version)
    const rows: FaultRow[] = []
    let checked = 0
    let invalid = 0
    for await (const { line, value } of valuesOf(session, file, document === true)) {
      checked++
      const fault = findSchemaFault(value, named.compiled)
      if (fault === undefined) continue
      invalid++
      if (rows.length < max) rows.push({ line, ...fault })
    }
    await printRows(session, rows, { columns: COLUMNS, name: (row) => String(row.line), whenEmpty: '' })
    if (invalid === 0) return session.note(`${counted(checked, 'value')} checked with ${named.name}: all fit`)
    const message = `${counted(invalid, 'value')} of ${checked} do not fit ${named.name}`
    throw new CliFailure(7, 'SCHEMA_VALIDATION_FAILED', message)
  },
}

/** The values of a file, or of stdin, with the number of their line. Lines without anything are passed over. */
export async function* valuesOf(
  session: Session,
  file: string | undefined,
  isDocument: boolean,
): AsyncGenerator<{ readonly line: number; readonly value: Buffer }> {
  if (isDocument && file !== undefined) {
    yield { line: 1, value: readFileSync(file) }
    return
  }
  const input = file === undefined ? session.stdin : createReadStream('', { fd: openSync(file, 'r') })
  if (isDocument) {
    const pieces: Buffer[] = []
    for await (const piece of input) pieces.push(Buffer.from(piece as Buffer))
    yield { line: 1, value: Buffer.concat(pieces) }
    return
  }
  let line = 0
  for await (const lines of splitLines(input, LINE_BYTES_MAX)) {
    for (const value of lines) {
      line++
      if (value.toString('latin1').trim() !== '') yield { line, value }
    }
  }
}
