import { quote } from '../../../base/untrusted-json.ts'
import { BrokerError } from '../../../base/broker-error.ts'
import type { BufferPool } from '../../../base/buffer-pool.ts'
import type { Broker } from '../../../broker/broker.ts'
import { hideAborted } from '../../../broker/hide-aborted.ts'
import { MultiFetch } from '../../../broker/multi-fetch.ts'
import type { PartitionReading, PartitionWish } from '../../../broker/multi-fetch.ts'
import { Turns } from '../../../broker/turns.ts'
import type { AnswerQueue } from '../answer-queue.ts'
import { Exchange } from '../answer-queue.ts'
import type { AnswerPart } from '../batches-encoder.ts'
import { encodeBatches } from '../batches-encoder.ts'
import { encodeAnswer, toWireError } from '../errors.ts'
import { Fields, OFFSET_RANGE, PARTITION_RANGE } from '../fields.ts'
import {
  FETCH_BATCHES_BYTES_MAX,
  FETCH_BYTES_DEFAULT,
  FETCH_WAIT_MS_MAX,
  PARTITIONS_PER_REQUEST_MAX,
} from '../limits.ts'
import type { OperationMeter } from '../meters.ts'
import { parsePayload, refuse } from '../payload.ts'
import type { WireErrorCode } from '../wire.ts'
import { FRAME_TYPES } from '../wire.ts'

/** Bytes of JSON for one of a record batch, as a round figure: base64 makes 1.33 of it. */
const OUTPUT_PER_BYTE = 1.5
const ANY_COUNT = { min: 0, max: Number.MAX_SAFE_INTEGER }
const NO_BATCHES = Buffer.alloc(0)

/** Takes FETCH_BATCHES requests: reads many partitions, waits for data if there is none, and gives the batches as they are. */
export class BatchFetcher {
  readonly #broker: Broker
  readonly #pool: BufferPool

  /** Answers are written into buffers of `pool`. */
  constructor(broker: Broker, pool: BufferPool) {
    this.#broker = broker
    this.#pool = pool
  }

  /** Takes the request, to be answered through `queue`. False when so many answers wait that it must wait too. */
  take(queue: AnswerQueue, meter: OperationMeter, payload: Buffer): boolean {
    let request: FetchFields
    try {
      request = parseRequest(payload)
    } catch (error) {
      new Exchange(queue, FRAME_TYPES.FETCH_BATCHES, 'read', meter).fail(error)
      return true
    }
    const broker = this.#broker
    const { partitions } = request
    const fetch = new MultiFetch(
      { news: broker, outgoing: queue.channel, turns: new Turns(broker.clock) },
      {
        ...request,
        isolation: 'read_committed',
        outputPerByte: OUTPUT_PER_BYTE,
        getLog: (index) => broker.getLog(partitions[index].topic, partitions[index].partition),
        findLog: (index) => broker.findLog(partitions[index].topic, partitions[index].partition),
      },
    )
    if (!fetch.hasRoom) return false
    new BatchesExchange(queue, meter, fetch).start(partitions, this.#pool)
    return true
  }
}

interface PartitionFields extends PartitionWish {
  readonly topic: string
  readonly partition: number
}

interface FetchFields {
  readonly partitions: readonly PartitionFields[]
  readonly bytesMax: number
  readonly bytesMin: number
  readonly waitMs: number
}

function parseRequest(payload: Buffer): FetchFields {
  const fields = new Fields('FETCH_BATCHES', parsePayload('FETCH_BATCHES', payload))
  const partitions = fields.objects('partitions', 'partitions', PARTITIONS_PER_REQUEST_MAX).map((item) => ({
    topic: item.topicName('topic'),
    partition: item.integer('partition', PARTITION_RANGE) + 0,
    fetchOffset: item.integer('offset', OFFSET_RANGE) + 0,
    partitionMaxBytes: parseBytesMax(item, FETCH_BYTES_DEFAULT),
  }))
  checkOnce(partitions)
  const bytesMax = parseBytesMax(fields, FETCH_BATCHES_BYTES_MAX)
  const bytesMin = Math.max(fields.optionalInteger('minBytes', ANY_COUNT) ?? 1, 1)
  const waitMs = Math.min(fields.optionalInteger('maxWaitMs', ANY_COUNT) ?? 0, FETCH_WAIT_MS_MAX)
  return { partitions, bytesMax, bytesMin, waitMs }
}

/** Clients whose language fills in zero for what was not said mean the default. */
function parseBytesMax(fields: Fields, byDefault: number): number {
  const bytesMax = fields.optionalInteger('maxBytes', ANY_COUNT) ?? 0
  return bytesMax === 0 ? byDefault : Math.min(bytesMax, FETCH_BATCHES_BYTES_MAX)
}

/** A partition that is there twice could not be told apart in the answer. */
function checkOnce(partitions: readonly PartitionFields[]): void {
  const seen = new Set<string>()
  for (const [index, { topic, partition }] of partitions.entries()) {
    const key = `${partition} ${topic}`
    if (seen.has(key)) {
      const again = `with ${quote(topic)}, partition ${partition} again as partitions[${index}]`
      throw refuse('FETCH_BATCHES', again, 'a request has each partition once at most')
    }
    seen.add(key)
  }
}

/** A FETCH_BATCHES in flight. */
class BatchesExchange extends Exchange {
  readonly #fetch: MultiFetch
  #isAbandoned = false

  constructor(queue: AnswerQueue, meter: OperationMeter, fetch: MultiFetch) {
    super(queue, FRAME_TYPES.FETCH_BATCHES, 'read', meter)
    this.#fetch = fetch
  }

  start(partitions: readonly PartitionFields[], pool: BufferPool): void {
    this.#fetch.run().then(
      (readings) => this.#answer(partitions, readings, pool),
      (error: unknown) => this.fail(error),
    )
  }

  override stopWaiting(): void {
    this.#fetch.stopWaiting()
  }

  override abandon(): void {
    this.#isAbandoned = true
    this.#fetch.abandon()
  }

  #answer(partitions: readonly PartitionFields[], readings: readonly PartitionReading[], pool: BufferPool): void {
    try {
      if (this.#isAbandoned) return
      const refused: WireErrorCode[] = []
      const parts: AnswerPart[] = []
      for (const [index, reading] of readings.entries()) {
        try {
          const part = toPart(partitions[index], reading)
          if (part !== undefined) parts.push(part)
        } catch (error) {
          this.queue.noteMistake(error)
          const { topic, partition } = partitions[index]
          const wireError = toWireError(error)
          refused.push(wireError.code)
          parts.push({ before: encodeAnswer({ topic, partition, error: wireError }), batches: NO_BATCHES, after: '' })
        }
      }
      const answer = encodeBatches(pool, parts)
      this.succeedWithFrame(answer.frame, answer, refused)
    } catch (fault) {
      this.fail(fault)
    } finally {
      for (const { batches } of readings) batches?.release()
    }
  }
}

/**
 * A partition as it is answered; undefined without news.
 *
 * @throws BrokerError, or whatever reading it threw
 */
function toPart(wish: PartitionFields, { log, batches, error }: PartitionReading): AnswerPart | undefined {
  if (log === undefined || error !== undefined) throw error
  if (batches === undefined || batches.bytes.length === 0) return undefined
  const { bytes } = batches
  if (bytes.length > FETCH_BATCHES_BYTES_MAX) throw tooLarge(wish, bytes)
  // Nothing in the answer would tell a record of an aborted transaction from one that counts.
  hideAborted(log, bytes)
  const { highWatermark, logStartOffset } = log
  // A topic name needs no escaping.
  const where = `{"topic":"${wish.topic}","partition":${wish.partition}`
  const before = `${where},"highWatermark":${highWatermark},"logStartOffset":${logStartOffset},"batches":"`
  return { before, batches: bytes, after: '"}' }
}

function tooLarge({ topic, partition, fetchOffset }: PartitionFields, batch: Buffer): BrokerError {
  const where = `topic "${topic}", partition ${partition} from offset ${fetchOffset}`
  const limit = `at most ${FETCH_BATCHES_BYTES_MAX} fit into an answer, FETCH gives its records`
  return new BrokerError(
    'MESSAGE_TOO_LARGE',
    `Cannot give the batch of ${where}, which has ${batch.length} bytes: ${limit}`,
  )
}
