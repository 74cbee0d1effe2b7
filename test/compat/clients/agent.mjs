// What the agents in JavaScript share: the test records, and the lines that they print. README.md says what an agent is.

const NAMES_OF_HEADERS = ['n', 'empty']
const CHUNK_CHARS = 64 * 1024

/** Test record `i`, as README.md defines it. Key and value are text or null, headers are pairs of text. */
export function testRecord(i) {
  const headers = [[NAMES_OF_HEADERS[0], String(i)]]
  if (i % 3 === 0) headers.push([NAMES_OF_HEADERS[1], ''])
  return {
    key: i % 11 === 0 ? null : `key-${i % 97}`,
    value: i % 13 === 0 ? null : `value-${i}-${'x'.repeat(i % 200)}`,
    headers,
    timestamp: 1_700_000_000_000 + i,
  }
}

/** Test records first to first + count - 1, in pieces of at most `size`. */
export function* piecesOf({ first, count, partitions }, size = 1000) {
  for (let start = first; start < first + count; start += size) {
    const length = Math.min(size, first + count - start)
    yield Array.from({ length }, (_, index) => {
      const i = start + index
      return { ...testRecord(i), partition: i % partitions }
    })
  }
}

let printed = ''

/** Prints a value as one line, soon: `flush` says when. */
export function print(value) {
  printed += `${JSON.stringify(value)}\n`
  if (printed.length > CHUNK_CHARS) flush()
}

/** Writes what was printed, without waiting until somebody has read it. */
export function flush() {
  if (printed === '') return
  process.stdout.write(printed)
  printed = ''
}

/** Resolves when everything is written: the program may end then. */
function flushed() {
  flush()
  return new Promise((resolve) => process.stdout.write('', resolve))
}

/** Prints a record that was consumed. Key, value and headers' values are buffers or null. */
export function printRecord({ partition, offset, key, value, headers, timestamp }) {
  const pairs = headers.map(([name, bytes]) => [name, base64(bytes)])
  print({ p: partition, o: Number(offset), k: base64(key), v: base64(value), h: pairs, t: Number(timestamp) })
}

function base64(bytes) {
  return bytes === null || bytes === undefined ? null : bytes.toString('base64')
}

/** The number of a test record, from its header "n" or its value; both may be missing. */
export function numberOf(headerN, value) {
  if (headerN !== null && headerN !== undefined) return Number(headerN.toString())
  return value === null || value === undefined ? -1 : Number(/\d+/.exec(value.toString())?.[0] ?? -1)
}

/** Ends the program with exit code 4 when `idle()` has not been called for 30 seconds. */
export function watchIdle() {
  let seenAt = Date.now()
  setInterval(async () => {
    if (Date.now() - seenAt < 30_000) return
    process.stderr.write('no record for 30 seconds\n')
    await flushed()
    process.exit(4)
  }, 500).unref()
  return () => {
    seenAt = Date.now()
  }
}

/** Calls back once the line "stop" comes on standard input, or when that ends. */
export function onStop(stop) {
  let text = ''
  let isTold = false
  const tell = () => {
    if (isTold) return
    isTold = true
    stop()
  }
  process.stdin.setEncoding('utf8').on('data', (piece) => {
    text += piece
    if (/^stop$/m.test(text)) tell()
  })
  process.stdin.on('end', tell)
}

/** What an agent cannot do. */
export class CannotDo extends Error {}

/** Runs the command that the words of the command line ask for, and ends the program. */
export async function run(commands) {
  const [, , command, json] = process.argv
  try {
    if (!(command in commands))
      throw new CannotDo(`there is no command ${command}: ${Object.keys(commands).join(', ')}`)
    await commands[command](JSON.parse(json))
    await flushed()
    process.exit(0)
  } catch (error) {
    await flushed()
    process.stderr.write(`${error?.stack ?? error}\n`)
    for (let cause = error?.cause; cause; cause = cause.cause) process.stderr.write(`because of ${cause.message}\n`)
    for (const inner of error?.errors ?? []) process.stderr.write(`among them ${inner?.stack ?? inner}\n`)
    process.exit(error instanceof CannotDo ? 3 : 1)
  }
}
