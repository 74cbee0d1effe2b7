import { quote } from '../../base/untrusted-json.ts'
import { BASE64_SLACK_BYTES, decodeBase64 } from '../../base/base64.ts'
import { viewBytes } from '../../base/bytes.ts'
import { isTopicName } from '../../base/topic-name.ts'
import { Fields, PARTITION_RANGE } from './fields.ts'
import { asciiBytes, JsonCursor } from './json-cursor.ts'
import { BATCHES_PER_REQUEST_MAX } from './limits.ts'
import { parsePayload, refuse } from './payload.ts'
import { TurnArena } from './turn-arena.ts'

// Nearly all PRODUCE_BATCHES payloads look like this, give or take the order and the white space:
//
//   {"acks":1,"batches":[{"topic":"orders","partition":0,"batch":"AAAA…"}]}
//
// What counts are the bytes of base64: making one text of the payload, parsing that, and decoding the texts in it takes ten
// times as long as decoding them where they lie. As with PRODUCE, whatever has another shape goes through JSON.parse.

const COMMA = 0x2c
const OPENING_BRACKET = 0x5b
const CLOSING_BRACKET = 0x5d
const OPENING_BRACE = 0x7b
const CLOSING_BRACE = 0x7d

const ACKS = asciiBytes('"acks":')
const ALL = asciiBytes('"all"')
const BATCHES = asciiBytes('"batches":')
const BATCH = asciiBytes('"batch":')
const PARTITION = asciiBytes('"partition":')
const TOPIC = asciiBytes('"topic":')

/** A record batch as it was sent: nothing but its base64 has been looked at. */
export interface DecodedBatch {
  readonly topic: string
  readonly partition: number
  readonly batch: Buffer
}

/** A PRODUCE_BATCHES request. */
export interface BatchesRequest {
  readonly acks: 0 | 1 | 'all'
  /** Of each partition one at the most. */
  readonly batches: readonly DecodedBatch[]
}

/** Takes PRODUCE_BATCHES payloads apart. */
export class BatchesParser {
  readonly #cursor = new JsonCursor()
  readonly #arena = new TurnArena()

  /** The batches of all requests so far are no longer needed. */
  turnBegan(): void {
    this.#arena.reset()
  }

  /**
   * Reads the payload that lies in `buffer` from `start` to before `end`. The request keeps nothing of `buffer`; its batches
   * stay until `turnBegan`.
   *
   * @throws BrokerError INVALID_REQUEST that says which batch and which field is wrong
   */
  parse(buffer: Buffer, start: number, end: number): BatchesRequest {
    this.#arena.reserve(countDecodedBytesMax(end - start))
    this.#cursor.begin(buffer, start, end)
    const request = this.#scan() ?? this.#parseAny(buffer.subarray(start, end))
    checkPartitions(request.batches)
    return request
  }

  /** Undefined for any shape but the usual one. */
  #scan(): BatchesRequest | undefined {
    const cursor = this.#cursor
    let acks: 0 | 1 | 'all' | undefined
    let batches: DecodedBatch[] | undefined
    if (!cursor.take(OPENING_BRACE)) return undefined
    do {
      if (acks === undefined && cursor.takeWord(ACKS)) {
        acks = this.#scanAcks()
        if (acks === undefined) return undefined
      } else if (batches === undefined && cursor.takeWord(BATCHES)) {
        batches = this.#scanBatches()
        if (batches === undefined) return undefined
      } else {
        return undefined
      }
    } while (cursor.take(COMMA))
    const isWhole = cursor.take(CLOSING_BRACE) && cursor.isAtEnd
    return isWhole && batches !== undefined ? { acks: acks ?? 'all', batches } : undefined
  }

  #scanAcks(): 0 | 1 | 'all' | undefined {
    const cursor = this.#cursor
    if (cursor.takeWord(ALL)) return 'all'
    const acks = cursor.takeInteger()
    return acks === -1 ? 'all' : acks === 0 || acks === 1 ? acks : undefined
  }

  #scanBatches(): DecodedBatch[] | undefined {
    const cursor = this.#cursor
    if (!cursor.take(OPENING_BRACKET)) return undefined
    const batches: DecodedBatch[] = []
    do {
      const batch = batches.length < BATCHES_PER_REQUEST_MAX ? this.#scanBatch() : undefined
      if (batch === undefined) return undefined
      batches.push(batch)
    } while (cursor.take(COMMA))
    return cursor.take(CLOSING_BRACKET) ? batches : undefined
  }

  #scanBatch(): DecodedBatch | undefined {
    const cursor = this.#cursor
    let topic: string | undefined
    let partition: number | undefined
    let batch: Buffer | undefined
    if (!cursor.take(OPENING_BRACE)) return undefined
    do {
      if (topic === undefined && cursor.takeWord(TOPIC)) {
        topic = cursor.takeText()
        if (topic === undefined || !isTopicName(topic)) return undefined
      } else if (partition === undefined && cursor.takeWord(PARTITION)) {
        partition = cursor.takeInteger()
        if (!(partition >= PARTITION_RANGE.min && partition <= PARTITION_RANGE.max)) return undefined
      } else if (batch === undefined && cursor.takeWord(BATCH)) {
        const bytes = cursor.takeBase64(this.#arena.bytes, this.#arena.at)
        if (bytes < 0) return undefined
        batch = this.#arena.keep(bytes)
      } else {
        return undefined
      }
    } while (cursor.take(COMMA))
    if (!cursor.take(CLOSING_BRACE)) return undefined
    if (topic === undefined || partition === undefined || batch === undefined) return undefined
    return { topic, partition, batch }
  }

  #parseAny(payload: Buffer): BatchesRequest {
    const fields = new Fields('PRODUCE_BATCHES', parsePayload('PRODUCE_BATCHES', payload))
    const acks = fields.acks()
    const items = fields.objects('batches', 'record batches', BATCHES_PER_REQUEST_MAX)
    // The scan before may have decoded some.
    this.#arena.reserve(countDecodedBytesMax(payload.length))
    return { acks, batches: items.map((item) => this.#parseBatch(item)) }
  }

  #parseBatch(item: Fields): DecodedBatch {
    const topic = item.topicName('topic')
    // Adding zero makes a plain one of a negative one.
    const partition = item.integer('partition', PARTITION_RANGE) + 0
    const text = item.text('batch')
    const source = viewBytes(Buffer.from(text))
    const { length } = source.buffer
    if (decodeBase64(source, 0, length, this.#arena.bytes, this.#arena.at) !== length) {
      throw item.wrong('batch', 'base64 text (standard alphabet, padded) of one record batch is needed')
    }
    return { topic, partition, batch: this.#arena.keep(Buffer.byteLength(text, 'base64')) }
  }
}

function countDecodedBytesMax(payloadBytes: number): number {
  return Math.ceil(payloadBytes / 4) * 3 + BASE64_SLACK_BYTES
}

/** Two batches of one partition would have to be told apart in the answer. */
function checkPartitions(batches: readonly DecodedBatch[]): void {
  if (batches.length === 1) return
  const seen = new Set<string>()
  for (const [index, { topic, partition }] of batches.entries()) {
    const key = `${partition} ${topic}`
    if (seen.has(key)) {
      const again = `with ${quote(topic)}, partition ${partition} again as batches[${index}]`
      throw refuse('PRODUCE_BATCHES', again, 'a request has one batch at most for each partition')
    }
    seen.add(key)
  }
}
