import { groupDigits, humanBytes } from './numbers.ts'
import type { Session } from './session.ts'
import { visible } from './terminal-text.ts'

/** One column of a table. The rows themselves are what JSON and YAML show. */
export interface Column<Row> {
  readonly title: string
  /** How a person is shown a number: 1,204 or 1.2 MB. A pipe gets the plain number. */
  readonly kind?: 'count' | 'bytes'
  /** Only with `--output wide` (and csv). */
  readonly isWide?: true
  value(row: Row): string | number | null
}

export interface RowsOptions<Row> {
  readonly columns: readonly Column<Row>[]
  /** What `--output name` prints of a row. */
  name(row: Row): string
  /** The document that `--output json` and `yaml` print when it is more than the rows. */
  readonly document?: object
  /** Printed above a table. */
  readonly heading?: string
  /** Said on stderr when there are no rows: what to do next. */
  readonly whenEmpty?: string
}

/** Prints rows in the form that was asked for. */
export async function printRows<Row extends object>(session: Session, rows: readonly Row[], options: RowsOptions<Row>) {
  switch (session.output) {
    case 'json':
      return session.write(`${JSON.stringify(options.document ?? rows, null, 2)}\n`)
    case 'yaml': {
      const { stringify } = await import('yaml')
      return session.write(stringify(options.document ?? rows))
    }
    case 'jsonl':
      return session.write(rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
    case 'csv':
      return session.write(csv(rows, options.columns, session.hasHeaders))
    case 'name':
      return session.write([...new Set(rows.map((row) => options.name(row)))].map((name) => `${name}\n`).join(''))
    case 'table':
    case 'wide': {
      if (options.heading !== undefined) await session.write(`${options.heading}\n`)
      if (rows.length === 0 && options.whenEmpty !== undefined) return session.note(options.whenEmpty)
      const columns = options.columns.filter((column) => session.output === 'wide' || column.isWide === undefined)
      if (options.heading !== undefined) await session.write('\n')
      return session.write(await formatTable(session, rows, columns))
    }
  }
}

async function formatTable<Row>(
  session: Session,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
): Promise<string> {
  const { default: Table } = await import('cli-table3')
  const none = ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
  const inner = ['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle']
  const table = new Table({
    chars: Object.fromEntries([...none, ...inner].map((name) => [name, ''])),
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2, compact: true },
  })
  if (session.hasHeaders) table.push(columns.map((column) => session.colors.bold(column.title)))
  for (const row of rows) table.push(columns.map((column) => cell(session, column, row)))
  return `${table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')}\n`
}

function cell<Row>(session: Session, column: Column<Row>, row: Row): string {
  const value = column.value(row)
  if (value === null) return session.isTerminal ? session.colors.dim('–') : '-'
  if (!session.isTerminal) return String(value)
  if (typeof value === 'string') return visible(value)
  if (column.kind === 'bytes') return humanBytes(value)
  return column.kind === 'count' ? groupDigits(value) : String(value)
}

function csv<Row>(rows: readonly Row[], columns: readonly Column<Row>[], hasHeaders: boolean): string {
  const lines = rows.map((row) => columns.map((column) => csvField(column.value(row))))
  if (hasHeaders) lines.unshift(columns.map((column) => csvField(column.title.toLowerCase().replaceAll(/[ -]/g, '_'))))
  return lines.map((fields) => `${fields.join(',')}\n`).join('')
}

function csvField(value: string | number | null): string {
  const text = String(value ?? '')
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

/** `GROUP analytics   LAG 1,204`: the line above a table. */
export function headingOf(session: Session, facts: Readonly<Record<string, string | number>>): string {
  return Object.entries(facts)
    .map(([title, value]) => {
      const text = typeof value === 'number' && session.isTerminal ? groupDigits(value) : String(value)
      return `${session.colors.bold(title)} ${text}`
    })
    .join('   ')
}

/** Prints what became of each thing that a command changed: a sentence for a person, the rows for a program. */
export async function printOutcomes<Row extends { readonly name: string }>(
  session: Session,
  rows: readonly Row[],
  sentence: (row: Row) => string,
) {
  if (session.output === 'table' || session.output === 'wide') {
    if (session.isQuiet) return
    return session.write(rows.map((row) => `${sentence(row)}\n`).join(''))
  }
  const titles = Object.keys(rows[0] ?? {}) as (keyof Row & string)[]
  const columns = titles.map((title) => ({ title, value: (row: Row) => String(row[title]) }))
  return printRows(session, rows, { columns, name: (row) => row.name })
}
