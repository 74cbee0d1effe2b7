import { compactJson, isJsonText, memberTexts } from './json-text.ts'
import { isoTime } from './moment.ts'
import { textOf, type Header, type LogRecord, type NewRecord } from './record.ts'

/**
 * One record as one line of JSON, version 1: what `consume -j` prints and `produce --input jsonl` reads back, byte for
 * byte. `valueType` says how to read `value`: `json` (the payload itself, embedded as its own text), `string`, `base64`
 * or `null`. `keyType: "base64"` stands beside a key that is not UTF-8. `headers` is an object, or, where an object
 * could not hold them (a name twice, bytes that are no text), an array of `{"key","value","valueType"}`.
 */
export function toEnvelope(record: LogRecord): string {
  const keyText = record.key === null ? null : textOf(record.key)
  const key = keyText === undefined ? `"${record.key?.toString('base64')}","keyType":"base64"` : JSON.stringify(keyText)
  const headers = JSON.stringify(headersValue(record.headers))
  return (
    `{"v":1,"topic":${JSON.stringify(record.topic)},"partition":${record.partition},"offset":"${record.offset}",` +
    `"timestamp":${JSON.stringify(isoTime(record.timestamp))},"key":${key},${valueMembers(record.value)},` +
    `"headers":${headers},"dueAt":null}`
  )
}

function valueMembers(value: Buffer | null): string {
  if (value === null) return '"value":null,"valueType":"null"'
  const text = textOf(value)
  if (text === undefined) return `"value":"${value.toString('base64')}","valueType":"base64"`
  if (!isJsonText(text)) return `"value":${JSON.stringify(text)},"valueType":"string"`
  // Line ends in valid JSON are only ever white space between tokens.
  const line = text.replace(/[\r\n]/g, ' ').trim()
  // What one line cannot hold stands beside it, so that reading it back gives the very same bytes.
  const original = line === text ? '' : `,"valueText":${JSON.stringify(text)}`
  return `"value":${line},"valueType":"json"${original}`
}

type HeaderEntry = { key: string; value: string | null; valueType?: 'base64' }

function headersValue(headers: readonly Header[]): Record<string, string | null> | HeaderEntry[] {
  const entries = headers.map(({ key, value }): HeaderEntry => {
    const text = value === null ? null : textOf(value)
    return text === undefined
      ? { key, value: value?.toString('base64') ?? null, valueType: 'base64' }
      : { key, value: text }
  })
  const names = new Set(entries.map((entry) => entry.key))
  // An object would sort names that look like integers to the front.
  const fitsObject =
    names.size === entries.length &&
    entries.every((entry) => entry.valueType === undefined && !/^\d+$/.test(entry.key) && entry.key !== '__proto__')
  return fitsObject ? Object.fromEntries(entries.map((entry) => [entry.key, entry.value])) : entries
}

/**
 * Reads one line of `produce --input jsonl`: an envelope, or any JSON object with a `value` (and perhaps `key`,
 * `headers`, `timestamp`, `partition`, `dueAt`). Without `valueType` a string is its text, null is a tombstone, and
 * everything else is sent as the JSON text that stands there.
 *
 * @throws Error that says what is wrong with the line.
 */
export function fromEnvelope(line: string): NewRecord {
  const object = parseLine(line)
  if (!('value' in object)) {
    throw new Error('There is no "value" in it: to send lines as they are, leave out --input jsonl')
  }
  const timestamp = momentOf(object, 'timestamp')
  const dueAt = momentOf(object, 'dueAt')
  const { partition } = object
  if (partition !== undefined && partition !== null && !Number.isSafeInteger(partition)) {
    throw new Error(`Cannot use partition ${JSON.stringify(partition)}: a whole number`)
  }
  return {
    key: bytesOf(object['key'], object['keyType'], 'key'),
    value: valueOf(object, line),
    headers: headersOf(object['headers']),
    ...(timestamp === undefined ? {} : { timestamp }),
    ...(dueAt === undefined ? {} : { dueAt }),
    ...(typeof partition === 'number' ? { partition } : {}),
  }
}

function parseLine(line: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch (error) {
    throw new Error(`It is not valid JSON: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Error('It is not a JSON object: {"key":…,"value":…}')
  }
  return value as Record<string, unknown>
}

function valueOf(object: Record<string, unknown>, line: string): Buffer | null {
  const { value, valueType, valueText } = object
  const isEmbedded = valueType === 'json' || (valueType === undefined && typeof value !== 'string' && value !== null)
  if (!isEmbedded) return bytesOf(value, valueType, 'value')
  const text = memberTexts(line).get('value') ?? 'null'
  // The original text counts only while it still says the same: a value edited on the way wins.
  if (typeof valueText === 'string' && isJsonText(valueText) && compactJson(valueText) === compactJson(text)) {
    return Buffer.from(valueText)
  }
  return Buffer.from(text)
}

function bytesOf(value: unknown, type: unknown, name: string): Buffer | null {
  if (type !== undefined && type !== 'string' && type !== 'base64' && type !== 'null') {
    throw new Error(`Cannot use ${name}Type ${JSON.stringify(type)}: json (of values only), string, base64 or null`)
  }
  if (value === null || value === undefined) return null
  if (typeof value !== 'string') throw new Error(`Cannot use ${JSON.stringify(value)} as ${name}: a string or null`)
  if (type !== 'base64') return Buffer.from(value)
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(value)) {
    throw new Error(`The ${name} is not base64`)
  }
  return Buffer.from(value, 'base64')
}

function headersOf(value: unknown): Header[] {
  if (value === undefined || value === null) return []
  if (typeof value !== 'object') throw new Error('The headers are neither an object nor an array')
  if (!Array.isArray(value)) {
    return Object.entries(value).map(([key, text]) => ({ key, value: bytesOf(text, undefined, 'header') }))
  }
  return value.map((entry: unknown) => {
    const { key, value: text, valueType } = (entry ?? {}) as Record<string, unknown>
    if (typeof key !== 'string') throw new Error('A header has no "key"')
    return { key, value: bytesOf(text, valueType, 'header') }
  })
}

function momentOf(object: Record<string, unknown>, name: 'timestamp' | 'dueAt'): number | undefined {
  const value = object[name]
  if (value === undefined || value === null) return undefined
  const moment =
    typeof value === 'string'
      ? /^\d+$/.test(value)
        ? Number(value)
        : Date.parse(value)
      : typeof value === 'number'
        ? value
        : NaN
  if (!Number.isSafeInteger(moment) || moment < 0) {
    throw new Error(`Cannot use ${name} ${JSON.stringify(value)}: milliseconds since 1970, or 2026-01-31T10:30:00Z`)
  }
  return moment
}
