import type { BufferPool } from '../../../base/buffer-pool.ts'
import type { Broker, FetchAnswer } from '../../../broker/broker.ts'
import { EARLIEST_OFFSET } from '../../../broker/broker.ts'
import type { RunningFetch } from '../../../broker/waiting-fetches.ts'
import type { Isolation, PartitionLog } from '../../../log/log-engine.ts'
import type { UnpackedRecords } from '../../../record/ahead-unpacker.ts'
import { AheadUnpacker } from '../../../record/ahead-unpacker.ts'
import type { AnswerQueue } from '../answer-queue.ts'
import { Exchange } from '../answer-queue.ts'
import { Fields, PARTITION_RANGE } from '../fields.ts'
import { FETCH_BYTES_DEFAULT, FETCH_BYTES_MAX, FETCH_PAYLOAD_BYTES_MAX, FETCH_WAIT_MS_MAX } from '../limits.ts'
import type { OperationMeter } from '../meters.ts'
import { parsePayload } from '../payload.ts'
import { RecordEncoder } from '../record-encoder.ts'
import { FRAME_TYPES } from '../wire.ts'

/** Bytes of JSON for one of a record batch, as a round figure: base64 alone makes 1.33 of it. */
const OUTPUT_PER_BYTE = 1.5
const ANY_COUNT = { min: 0, max: Number.MAX_SAFE_INTEGER }

/** Takes FETCH requests: reads, waits for data if there is none, and packs record batches into JSON. */
export class Fetcher {
  readonly #broker: Broker
  readonly #encoder: RecordEncoder
  readonly #unpacker: AheadUnpacker

  /** Answers are written into buffers of `pool`. */
  constructor(broker: Broker, unpackedBytesMax: number, pool: BufferPool) {
    this.#broker = broker
    this.#unpacker = new AheadUnpacker(unpackedBytesMax)
    this.#encoder = new RecordEncoder({ pool, unpackedBytesMax })
  }

  /** Takes the request, to be answered through `queue`. False when so many answers wait that it must wait too. */
  take(queue: AnswerQueue, meter: OperationMeter, payload: Buffer): boolean {
    let request: FetchFields
    let log: PartitionLog
    try {
      request = parseRequest(payload)
      log = this.#broker.getLog(request.topic, request.partition)
    } catch (error) {
      new Exchange(queue, FRAME_TYPES.FETCH, 'read', meter).fail(error)
      return true
    }
    const outputBytes = estimateOutput(log, request)
    const grantedBytes = outputBytes === 0 ? 0 : queue.channel.grantOutput(outputBytes)
    if (grantedBytes === 0 && outputBytes > 0) return false
    const exchange = new FetchExchange(queue, meter, this.#encoder, this.#unpacker, log, grantedBytes)
    try {
      exchange.start(this.#broker, grantedBytes < outputBytes ? cutTo(request, grantedBytes) : request)
    } catch (error) {
      exchange.fail(error)
    }
    return true
  }
}

interface FetchFields {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly bytesMax: number
  readonly bytesMin: number
  readonly waitMs: number
  readonly isolation: Isolation
}

function parseRequest(payload: Buffer): FetchFields {
  const fields = new Fields('FETCH', parsePayload('FETCH', payload))
  const topic = fields.text('topic')
  const partition = fields.integer('partition', PARTITION_RANGE)
  const offset = fields.integer('offset', { min: EARLIEST_OFFSET, max: Number.MAX_SAFE_INTEGER })
  // Clients whose language fills in zero for what was not said mean the default.
  const maxBytes = fields.optionalInteger('maxBytes', ANY_COUNT) ?? 0
  const bytesMax = Math.min(maxBytes === 0 ? FETCH_BYTES_DEFAULT : maxBytes, FETCH_BYTES_MAX)
  const waitMs = Math.min(fields.optionalInteger('maxWaitMs', ANY_COUNT) ?? 0, FETCH_WAIT_MS_MAX)
  const bytesMin = Math.min(Math.max(fields.optionalInteger('minBytes', ANY_COUNT) ?? 1, 1), bytesMax)
  // Nothing in the answer would tell a record of an open or aborted transaction from one that counts.
  return { topic, partition, offset, bytesMax, bytesMin, waitMs, isolation: 'read_committed' }
}

/** About how many bytes the answer will have; none as long as there is nothing to read. */
function estimateOutput(log: PartitionLog, { offset, bytesMax }: FetchFields): number {
  const isThere = offset === EARLIEST_OFFSET || (offset >= 0 && offset < log.lastStableOffset)
  if (!isThere) return 0
  return Math.min(bytesMax, log.sizeBytes) * OUTPUT_PER_BYTE
}

/** The same request for an answer of fewer bytes. */
function cutTo(request: FetchFields, outputBytes: number): FetchFields {
  const bytesMax = Math.floor(outputBytes / OUTPUT_PER_BYTE)
  return { ...request, bytesMax, bytesMin: Math.min(request.bytesMin, bytesMax) }
}

/** A FETCH in flight. */
class FetchExchange extends Exchange {
  readonly #encoder: RecordEncoder
  readonly #unpacker: AheadUnpacker
  readonly #log: PartitionLog
  #reservedBytes: number
  #running: RunningFetch | undefined = undefined
  /** Up to here there is nothing to be shown, if that is more than the client knows. */
  #skippedTo = -1
  #isAbandoned = false

  constructor(
    queue: AnswerQueue,
    meter: OperationMeter,
    encoder: RecordEncoder,
    unpacker: AheadUnpacker,
    log: PartitionLog,
    reservedBytes: number,
  ) {
    super(queue, FRAME_TYPES.FETCH, 'read', meter)
    this.#encoder = encoder
    this.#unpacker = unpacker
    this.#log = log
    this.#reservedBytes = reservedBytes
    if (reservedBytes > 0) queue.channel.reserveOutput(reservedBytes)
  }

  start(broker: Broker, request: FetchFields): void {
    const endsAtMs = broker.clock.monotonic() + request.waitMs
    const finish = (answer: FetchAnswer, unpacked?: UnpackedRecords) => {
      const skippedTo = this.#finish(answer, unpacked)
      if (skippedTo === undefined) return
      this.#skippedTo = skippedTo
      // There may be many more such batches, so others get their turn in between.
      setImmediate(() => {
        if (this.#isAbandoned) return
        const waitMs = Math.max(0, endsAtMs - broker.clock.monotonic())
        try {
          this.start(broker, { ...request, offset: skippedTo, waitMs })
        } catch (fault) {
          this.fail(fault)
        }
      })
    }
    const running = broker.fetch(request, (error, answer) => {
      this.#running = undefined
      const { batches, fromOffset } = answer
      if (error !== undefined || batches.bytes.length === 0) {
        batches.release()
        if (error === undefined) this.#succeedEmpty()
        else this.fail(error)
        return
      }
      const unpacking = this.#unpacker.unpack(batches.bytes, fromOffset)
      if (unpacking === undefined) return finish(answer)
      void unpacking.then((unpacked) => {
        if (this.#isAbandoned) batches.release()
        else finish(answer, unpacked)
      })
    })
    if (!this.isSettled) this.#running = running
  }

  override fail(error: unknown): void {
    this.#giveBackReserved()
    super.fail(error)
  }

  override stopWaiting(): void {
    this.abandon()
    this.#succeedEmpty()
  }

  override abandon(): void {
    this.#isAbandoned = true
    this.#running?.cancel()
    this.#giveBackReserved()
  }

  /**
   * Answers, unless all that was read is not for consumers, such as the marks of transactions: then it returns the offset
   * to go on from. A client that knows nothing of them would ask for the same for ever.
   */
  #finish({ log, fromOffset, batches }: FetchAnswer, unpacked: UnpackedRecords | undefined): number | undefined {
    try {
      const answer = this.#encoder.encode(batches.bytes, fromOffset, log, FETCH_PAYLOAD_BYTES_MAX, unpacked)
      if (answer.recordCount === 0 && answer.nextOffset > fromOffset) {
        answer.release()
        return answer.nextOffset
      }
      this.#giveBackReserved()
      this.succeedWithFrame(answer.frame, answer)
    } catch (fault) {
      this.fail(fault)
    } finally {
      batches.release()
    }
    return undefined
  }

  #succeedEmpty(): void {
    this.#giveBackReserved()
    const { highWatermark, logStartOffset } = this.#log
    const next = this.#skippedTo < 0 ? '' : `,"nextOffset":${this.#skippedTo}`
    this.succeed(`{"records":[],"highWatermark":${highWatermark},"logStartOffset":${logStartOffset}${next}}`)
  }

  #giveBackReserved(): void {
    const bytes = this.#reservedBytes
    this.#reservedBytes = 0
    if (bytes > 0) this.queue.channel.reserveOutput(-bytes)
  }
}
