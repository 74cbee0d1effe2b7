import type { Spread } from './statistics.ts'

/** 1234567 → `1,234,567`. */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString('en-US')
}

/** A time that was measured in microseconds, with the unit that reads best. */
export function formatMicroseconds(microseconds: number): string {
  if (microseconds < 1000) return `${microseconds.toFixed(0)} µs`
  if (microseconds < 1_000_000) return `${(microseconds / 1000).toFixed(microseconds < 10_000 ? 2 : 1)} ms`
  return `${(microseconds / 1_000_000).toFixed(2)} s`
}

/** The middle of several runs, and how far apart they were. */
export function formatSpread(values: Spread, format: (value: number) => string): string {
  return `${format(values.median)} (${format(values.min)} – ${format(values.max)})`
}

/**
 * A table in plain text. Columns of figures are aligned right. A row may end early: its last cell then takes the room
 * of those that it does not have.
 */
export function formatTable(columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const full = rows.filter((row) => row.length === columns.length)
  const isFigures = columns.map((_, index) => full.length > 0 && full.every((row) => /^[-–\d]/.test(row[index])))
  const widths = columns.map((column, index) => {
    const cells = rows.filter((row) => row.length === columns.length || index < row.length - 1)
    return Math.max(column.length, ...cells.map((row) => row[index].length))
  })
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, index) => {
        const isLastOfShort = index === cells.length - 1 && cells.length < columns.length
        return isFigures[index] && !isLastOfShort ? cell.padStart(widths[index]) : cell.padEnd(widths[index])
      })
      .join('  ')
      .trimEnd()
  return [line(columns), widths.map((width) => '─'.repeat(width)).join('  '), ...rows.map(line)].join('\n')
}
