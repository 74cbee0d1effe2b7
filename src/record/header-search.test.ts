import { expect, test } from 'vitest'
import { mayHaveHeader } from './header-search.ts'
import { RecordBatchBuilder } from './record-batch-builder.ts'

const NAME = Buffer.from('cafelog-d')

function search(...records: { value: string | null; header?: string }[]): boolean {
  const builder = new RecordBatchBuilder()
  builder.begin()
  for (const { value, header } of records) {
    const headers = header === undefined ? [] : [{ key: header, value: null }]
    builder.add(Buffer.from('k'), value === null ? null : Buffer.from(value), 1_700_000_000_000, headers)
  }
  return mayHaveHeader(Buffer.from(builder.finish()), NAME)
}

test('a header is found among large and small records, and its name in a value is not taken for one', () => {
  const long = 'x'.repeat(500)
  expect(search({ value: 'v' }, { value: null })).toBe(false)
  expect(search({ value: 'v', header: 'cafelog-due-at' })).toBe(true)
  expect(search({ value: long }, { value: long, header: 'cafelog-delay-ms' }, { value: long })).toBe(true)
  expect(search({ value: long, header: 'other' }, { value: long })).toBe(false)
  expect(search({ value: `cafelog-due-at ${long}` }, { value: null }, { value: long })).toBe(false)
})
