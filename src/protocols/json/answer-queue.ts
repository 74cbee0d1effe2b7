import { assert } from '../../base/assert.ts'
import type { Channel, Lent } from '../../net/protocol.ts'
import { encodeError, encodeHeader, toWireError } from './errors.ts'
import type { OperationMeter } from './meters.ts'
import type { TurnClock } from './turn-clock.ts'
import type { ErrorAnswer, WireErrorCode } from './wire.ts'
import { FRAME_HEADER_BYTES } from './wire.ts'

/**
 * What later requests of the same connection have to know about a request in flight:
 *
 * | class | operations                  | starts when none of these is in flight |
 * |-------|-----------------------------|----------------------------------------|
 * | write | PRODUCE, COMMIT, HEARTBEAT  | other                                  |
 * | read  | FETCH                       | write, other                           |
 * | other | all others                  | write, other                           |
 *
 * PRODUCE_BATCHES is as PRODUCE, FETCH_BATCHES as FETCH.
 *
 * So whatever a client sends in a row takes effect in that row, a producer's requests still share a sync of the log, and
 * nothing waits for a FETCH that waits for data.
 */
export type RequestClass = 'write' | 'read' | 'other'

/** Answers of so many bytes are rather copied than sent as a piece of their own, which costs as much as copying them. */
const COPIED_BYTES_MAX = 8 * 1024

const NOTHING_REFUSED: readonly WireErrorCode[] = []

/** A request that was taken and is not answered. It is on the road of every record: one small object, no closures. */
export class Exchange {
  readonly queue: AnswerQueue
  readonly type: number
  readonly requestClass: RequestClass
  readonly meter: OperationMeter
  readonly startedAtMs: number
  /** Set by the queue. */
  next: Exchange | undefined = undefined
  isSettled = false
  /** The answer: a payload of one byte a character, or a whole frame of bytes. */
  text = ''
  frame: Buffer | undefined = undefined
  owner: Lent | undefined = undefined

  /** Takes its place among the answers of the connection. */
  constructor(queue: AnswerQueue, type: number, requestClass: RequestClass, meter: OperationMeter) {
    this.queue = queue
    this.type = type
    this.requestClass = requestClass
    this.meter = meter
    this.startedAtMs = queue.clock.monotonic()
    queue.add(this)
  }

  /** Answers with a payload of ASCII JSON. `refused` are the codes of the parts that it refuses. */
  succeed(payload: string, refused: readonly WireErrorCode[] = NOTHING_REFUSED): void {
    this.#countAnswered(refused)
    this.text = payload
    this.queue.settled(this)
  }

  /** Answers with a whole frame. `owner` is told when it has been sent, or when nobody wants it. */
  succeedWithFrame(frame: Buffer, owner: Lent | undefined, refused: readonly WireErrorCode[] = NOTHING_REFUSED): void {
    this.#countAnswered(refused)
    this.frame = frame
    this.owner = owner
    this.queue.settled(this)
  }

  /** Answers with an error. `partitions` says what became of each part of a PRODUCE. */
  fail(error: unknown, partitions?: ErrorAnswer['partitions']): void {
    this.meter.countError(toWireError(error).code, this.queue.clock.monotonic() - this.startedAtMs)
    this.queue.noteMistake(error)
    this.text = encodeError(error, partitions)
    this.queue.settled(this)
  }

  /** Nothing more will come: what only waits for data answers with what there is. */
  stopWaiting(): void {}

  /** The client is gone: what waits on its behalf is to be taken back. */
  abandon(): void {}

  #countAnswered(refused: readonly WireErrorCode[]): void {
    const milliseconds = this.queue.clock.monotonic() - this.startedAtMs
    if (refused.length === 0) this.meter.countOk(milliseconds)
    else this.meter.countRefused(refused, milliseconds)
  }
}

/** The requests of one connection that are in flight, and the sending of their answers in the order of the requests. */
export class AnswerQueue {
  readonly clock: TurnClock
  readonly channel: Channel
  /** Called with an error that is no refusal: a mistake of ours. */
  readonly noteMistake: (error: unknown) => void
  /** Requests in flight, of all classes. */
  inFlight = 0
  #writes = 0
  #others = 0
  #head: Exchange | undefined = undefined
  #tail: Exchange | undefined = undefined
  #isClosed = false

  constructor(clock: TurnClock, channel: Channel, noteMistake: (error: unknown) => void) {
    this.clock = clock
    this.channel = channel
    this.noteMistake = noteMistake
  }

  /** Whether a request of this class may start now; if not, it may after `Channel.unblock`. */
  mayStart(requestClass: RequestClass): boolean {
    return this.#others === 0 && (requestClass === 'write' || this.#writes === 0)
  }

  add(exchange: Exchange): void {
    if (this.#tail === undefined) this.#head = exchange
    else this.#tail.next = exchange
    this.#tail = exchange
    this.inFlight++
    if (exchange.requestClass === 'write') this.#writes++
    else if (exchange.requestClass === 'other') this.#others++
  }

  /** The exchange has its answer. */
  settled(exchange: Exchange): void {
    assert(!exchange.isSettled, 'a request is answered once')
    exchange.isSettled = true
    if (exchange.requestClass === 'write') this.#writes--
    else if (exchange.requestClass === 'other') this.#others--
    if (this.#isClosed) {
      exchange.owner?.release()
      return
    }
    // Before it is its turn, a frame takes up memory that the channel does not see.
    if (exchange.frame !== undefined) this.channel.reserveOutput(exchange.frame.length)
    if (exchange === this.#head) this.#send()
    this.channel.unblock()
  }

  stopWaiting(): void {
    for (let exchange = this.#head; exchange !== undefined; exchange = exchange.next) {
      if (!exchange.isSettled) exchange.stopWaiting()
    }
  }

  /** The connection is gone. */
  close(): void {
    this.#isClosed = true
    for (let exchange = this.#head; exchange !== undefined; exchange = exchange.next) {
      if (exchange.isSettled) exchange.owner?.release()
      else exchange.abandon()
    }
    this.#head = undefined
    this.#tail = undefined
    this.inFlight = 0
  }

  #send(): void {
    const { channel } = this
    for (let exchange = this.#head; exchange !== undefined && exchange.isSettled; exchange = this.#head) {
      this.#head = exchange.next
      if (this.#head === undefined) this.#tail = undefined
      this.inFlight--
      const { text, frame, owner, meter } = exchange
      if (frame === undefined) {
        meter.bytesOut.add(FRAME_HEADER_BYTES + text.length)
        channel.sendText(encodeHeader(exchange.type, text.length) + text)
      } else {
        meter.bytesOut.add(frame.length)
        channel.reserveOutput(-frame.length)
        if (frame.length <= COPIED_BYTES_MAX) {
          channel.sendText(frame.latin1Slice(0, frame.length))
          owner?.release()
        } else {
          channel.sendBytes(frame, owner)
        }
      }
    }
  }
}
