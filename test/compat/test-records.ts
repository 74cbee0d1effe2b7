import type { Agent } from './agents.ts'

// The records that agents send and print, as clients/README.md defines them.

const TIMESTAMP_FIRST = 1_700_000_000_000
const DIGIT_0 = 48
/** Where the partition's digits begin in a line: {"p":… */
const PARTITION_AT = 5

/** What line an agent prints for record `i`, up to its timestamp when the producer cannot say that. */
function lineOf(i: number, place: { readonly partition: number; readonly offset: number }, producer: Agent): string {
  const hasHeaders = !producer.cannotSend.includes('headers')
  const isNothing = i % 11 === 0 && i % 13 === 0
  const keyOfNone = isNothing && producer.cannotSend.includes('nothing') ? base64('nothing') : null
  const key = i % 11 === 0 ? keyOfNone : base64(`key-${i % 97}`)
  const value = i % 13 === 0 ? null : base64(`value-${i}-${'x'.repeat(i % 200)}`)
  const headers = hasHeaders ? [['n', base64(String(i))], ...(i % 3 === 0 ? [['empty', '']] : [])] : []
  const line = JSON.stringify({ p: place.partition, o: place.offset, k: key, v: value, h: headers })
  if (producer.cannotSend.includes('timestamps')) return `${line.slice(0, -1)},"t":`
  return `${line.slice(0, -1)},"t":${TIMESTAMP_FIRST + i}}`
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64')
}

/**
 * Compares what a consumer prints with what a producer was told to send: records 0 to count - 1, record `i` at partition
 * `i % partitions`, each partition's in order. The lines are made once and serve all consumers.
 */
export class ExpectedRecords {
  readonly #lines: readonly Buffer[]
  readonly #partitions: number

  constructor(producer: Agent, count: number, partitions: number) {
    this.#partitions = partitions
    this.#lines = Array.from({ length: count }, (_, i) => {
      return Buffer.from(lineOf(i, { partition: i % partitions, offset: Math.floor(i / partitions) }, producer))
    })
  }

  /** A listener for the lines of one consumer, and the check that all have come. */
  reader(): { readonly onLine: (line: Buffer) => void; readonly finish: () => void } {
    const seen = Array.from({ length: this.#partitions }, () => 0)
    return {
      onLine: (line) => {
        const partition = line[PARTITION_AT] - DIGIT_0
        const n = seen[partition]
        const expected = this.#lines[partition + n * this.#partitions]
        if (expected === undefined) throw new Error(`a record too many: ${line.toString()}`)
        seen[partition] = n + 1
        if (line.length >= expected.length && expected.compare(line, 0, expected.length) === 0) return
        compareInWords(line.toString(), expected.toString())
      },
      finish: () => {
        const count = seen.reduce((sum, one) => sum + one, 0)
        if (count !== this.#lines.length) {
          throw new Error(`${count} of ${this.#lines.length} records have come, by partition ${seen.join(', ')}`)
        }
      },
    }
  }
}

/** A line that differs in its bytes may still say the same: an agent need not print as Node.js does. */
function compareInWords(line: string, expected: string): void {
  const isOpen = expected.endsWith('"t":')
  const wanted = JSON.parse(isOpen ? `${expected}0}` : expected)
  const { p, o, k, v, h, t } = JSON.parse(line)
  const got = JSON.stringify({ p, o, k, v, h, t: isOpen ? 0 : t })
  if (got === JSON.stringify(wanted)) return
  throw new Error(`a record differs:\n  it is        ${got}\n  it should be ${JSON.stringify(wanted)}`)
}
