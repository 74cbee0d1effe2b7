import { usageFailure } from './failure.ts'
import { isJsonText } from './json-text.ts'
import { isoTime, localTime } from './moment.ts'
import { textOf, type Header, type LogRecord } from './record.ts'

/** The escapes of `consume -f` and `produce --report`, for the help. */
export const FORMAT_HELP =
  '%t topic  %p partition  %o offset  %k key  %v value  %h headers  %d time  %T %K %V their lengths in bytes  %% percent; ' +
  '{hex} {base64} {json} after %k %v %h, {iso} {local} {ms} {s} after %d; \\n \\t \\r \\\\ \\xNN'

type Part = Buffer | ((record: LogRecord) => Buffer)

/** Turns a record into the bytes of a format. */
export type RecordFormatter = (record: LogRecord) => Buffer

/**
 * Compiles a format string such as `%p %o %k %v{json}\n`. Keys and values come out byte for byte unless a modifier says
 * otherwise; nothing is added, so a line wants its `\n`.
 *
 * @throws CliFailure
 */
export function compileFormat(format: string): RecordFormatter {
  const parts: Part[] = []
  for (let at = 0; at < format.length;) {
    const escape = /^%([a-zA-Z%])(?:\{([^}]*)\})?/.exec(format.slice(at))
    if (escape) {
      const [text, letter = '', modifier] = escape
      parts.push(letter === '%' ? Buffer.from('%') : partOf(letter, modifier))
      at += letter === '%' ? 2 : text.length
      continue
    }
    if (format[at] === '%')
      throw formatFailure(format, 'a % at its end or before no letter; write %% for a percent sign')
    const backslash = /^\\(?:x([0-9a-fA-F]{2})|(.))/s.exec(format.slice(at))
    if (backslash) {
      parts.push(
        backslash[1] === undefined ? plainEscape(format, backslash[2] ?? '') : Buffer.from(backslash[1], 'hex'),
      )
      at += backslash[0].length
      continue
    }
    const literal = /^(?:[^%\\]|\\$)+/.exec(format.slice(at))?.[0] ?? format.slice(at)
    parts.push(Buffer.from(literal))
    at += literal.length
  }
  return (record) => Buffer.concat(parts.map((part) => (typeof part === 'function' ? part(record) : part)))
}

function plainEscape(format: string, letter: string): Buffer {
  const character = { n: '\n', t: '\t', r: '\r', '0': '\0', '\\': '\\' }[letter]
  if (character === undefined) throw formatFailure(format, `\\${letter} is none of \\n \\t \\r \\0 \\\\ \\xNN`)
  return Buffer.from(character)
}

function formatFailure(format: string, why: string) {
  return usageFailure(`Cannot use the format ${JSON.stringify(format)}: ${why}`, FORMAT_HELP)
}

function partOf(letter: string, modifier: string | undefined): Part {
  switch (letter) {
    case 't':
      return text(letter, modifier, (record) => record.topic)
    case 'p':
      return text(letter, modifier, (record) => String(record.partition))
    case 'o':
      return text(letter, modifier, (record) => String(record.offset))
    case 'T':
      return text(letter, modifier, (record) => String(Buffer.byteLength(record.topic)))
    case 'K':
      return text(letter, modifier, (record) => String(record.key?.length ?? 0))
    case 'V':
      return text(letter, modifier, (record) => String(record.value?.length ?? 0))
    case 'k': {
      const encode = bytesEncoder(letter, modifier)
      return (record) => encode(record.key)
    }
    case 'v': {
      const encode = bytesEncoder(letter, modifier)
      return (record) => encode(record.value)
    }
    case 'h': {
      const encode = headersEncoder(modifier)
      return (record) => encode(record.headers)
    }
    case 'd': {
      const write = timeWriter(modifier)
      return (record) => Buffer.from(write(record.timestamp))
    }
    default:
      throw usageFailure(`Cannot use %${letter} in a format`, FORMAT_HELP)
  }
}

function text(letter: string, modifier: string | undefined, get: (record: LogRecord) => string): Part {
  if (modifier !== undefined)
    throw usageFailure(`%${letter} takes no modifier, but {${modifier}} follows it`, FORMAT_HELP)
  return (record) => Buffer.from(get(record))
}

const NOTHING = Buffer.alloc(0)

function bytesEncoder(letter: string, modifier: string | undefined): (bytes: Buffer | null) => Buffer {
  switch (modifier) {
    case undefined:
      return (bytes) => bytes ?? NOTHING
    case 'hex':
    case 'base64':
      return (bytes) => Buffer.from(bytes?.toString(modifier) ?? '')
    case 'json':
      return (bytes) => Buffer.from(asJson(bytes))
    default:
      throw usageFailure(`Cannot use {${modifier}} after %${letter}: {hex}, {base64} or {json}`, FORMAT_HELP)
  }
}

/** Valid JSON as it stands, other text as a JSON string, bytes as base64, nothing as null. */
function asJson(bytes: Buffer | null): string {
  if (bytes === null) return 'null'
  const content = textOf(bytes)
  if (content === undefined) return JSON.stringify(bytes.toString('base64'))
  return isJsonText(content) ? content.replace(/[\r\n]/g, ' ').trim() : JSON.stringify(content)
}

function headersEncoder(modifier: string | undefined): (headers: readonly Header[]) => Buffer {
  if (modifier === 'json') {
    return (headers) => {
      const members = headers.map(
        ({ key, value }) =>
          `${JSON.stringify(key)}:${JSON.stringify(value && (textOf(value) ?? value.toString('base64')))}`,
      )
      return Buffer.from(`{${members.join(',')}}`)
    }
  }
  const encode = bytesEncoder('h', modifier)
  return (headers) => {
    const parts = headers.map(({ key, value }) => Buffer.concat([Buffer.from(`${key}=`), encode(value)]))
    return Buffer.concat(parts.flatMap((part, index) => (index === 0 ? [part] : [Buffer.from(','), part])))
  }
}

function timeWriter(modifier: string | undefined): (timestamp: number) => string {
  switch (modifier) {
    case undefined:
    case 'ms':
      return String
    case 's':
      return (timestamp) => String(Math.floor(timestamp / 1_000))
    case 'iso':
      return (timestamp) => isoTime(timestamp) ?? ''
    case 'local':
      return localTime
    default:
      throw usageFailure(`Cannot use {${modifier}} after %d: {ms}, {s}, {iso} or {local}`, FORMAT_HELP)
  }
}
