import type { Clock } from '../../base/clock.ts'
import type { Channel, Lent, Session } from '../../net/protocol.ts'
import { Produce } from './apis/00-produce.ts'
import { ApiVersions } from './apis/18-api-versions.ts'
import { RequestContext } from './context.ts'
import type { DoorParts } from './context.ts'
import { beginResponse, FRAME_LENGTH_BYTES, readRequestHeader } from './headers.ts'
import type { RequestHeader } from './headers.ts'
import type { ApiMeter } from './meters.ts'
import { MalformedMessageError, Reader } from './reader.ts'
import { NO_RESPONSE } from './registry.ts'
import type { Registry, ResponseFrame, ServedApi } from './registry.ts'

/** Answers of so many bytes are rather copied than sent as a piece of their own, which costs as much as copying them. */
const COPIED_BYTES_MAX = 8 * 1024

/** What the sessions of the door share. */
export interface SessionParts extends DoorParts {
  readonly clock: Clock
  readonly registry: Registry<RequestContext>
}

/** Requests to produce that are in progress at once on one connection, and that no client has more of by default. */
const PRODUCES_MAX = 8
/** Where a frame says which API it asks for. */
const API_KEY_BYTES = 2

/** A request that was taken and is not answered. */
interface Progress {
  readonly context: RequestContext
  readonly meter: ApiMeter
  readonly startedAtMs: number
  readonly isProduce: boolean
  /** Undefined while it is worked on. */
  outcome: ResponseFrame | typeof NO_RESPONSE | undefined
}

/**
 * One connection to the Kafka door. As in Kafka it has one request in progress: the next is taken when that was answered,
 * and until then the connection is not read. A fetch that waits for data blocks its connection, which clients know.
 *
 * Produce may follow Produce: batches are appended in the order of the requests within the call that takes them, so that
 * only the answers have to wait for each other. One sync of the disk then serves all that a producer has sent.
 */
export class KafkaSession implements Session {
  readonly #parts: SessionParts
  readonly #channel: Channel
  /** Oldest first; more than one only if all are Produce. */
  #inProgress: Progress[] = []

  constructor(parts: SessionParts, channel: Channel) {
    this.#parts = parts
    this.#channel = channel
  }

  get inFlight(): number {
    return this.#inProgress.length
  }

  takeFrame(buffer: Buffer, start: number, end: number): boolean {
    if (this.#inProgress.length > 0 && !this.#mayFollow(buffer, start, end)) return false
    const reader = new Reader(buffer, start + FRAME_LENGTH_BYTES, end)
    try {
      const header = readRequestHeader(reader)
      const service = this.#parts.registry.find(header.apiKey, header.apiVersion)
      if (service !== undefined) this.#serve(service, header, reader, end - start)
      else if (header.apiKey === ApiVersions.key) this.#answerUnknownApiVersions(header)
      else this.#giveUp({ ...header }, 'closed a connection that asked for an API or version that is not served')
    } catch (error) {
      if (!(error instanceof MalformedMessageError)) throw error
      this.#giveUp({ err: error }, 'closed a connection after a malformed request')
    }
    return true
  }

  refuseFrame(buffer: Buffer, at: number): void {
    this.#giveUp({ bytes: buffer.readInt32BE(at) }, 'closed a connection whose frame is too long')
  }

  wrapUp(): void {
    for (const { context } of this.#inProgress) context.waiting?.stopWaiting()
  }

  closed(): void {
    const abandoned = this.#inProgress
    this.#inProgress = []
    for (const { context, outcome } of abandoned) {
      context.isAbandoned = true
      context.waiting?.abandon()
      if (outcome !== undefined) release(context.lent)
    }
  }

  #mayFollow(buffer: Buffer, start: number, end: number): boolean {
    if (this.#inProgress.length >= PRODUCES_MAX || !this.#inProgress[0].isProduce) return false
    const keyAt = start + FRAME_LENGTH_BYTES
    return keyAt + API_KEY_BYTES <= end && buffer.readInt16BE(keyAt) === Produce.key
  }

  #serve(service: ServedApi<RequestContext>, header: RequestHeader, reader: Reader, frameBytes: number): void {
    const { clock, meters } = this.#parts
    const startedAtMs = clock.monotonic()
    const meter = meters.ofApi(service.api.name)
    meter.bytesIn.add(frameBytes)
    const context = new RequestContext(this.#parts, this.#channel, header)
    const answered = service.answer(header, reader, context)
    const isProduce = header.apiKey === Produce.key
    if (!(answered instanceof Promise)) {
      const progress = { context, meter, startedAtMs, isProduce, outcome: answered }
      if (this.#inProgress.length === 0) this.#finish(progress, answered)
      else this.#inProgress.push(progress)
      return
    }
    const progress: Progress = { context, meter, startedAtMs, isProduce, outcome: undefined }
    this.#inProgress.push(progress)
    answered.then(
      (frame) => this.#settle(progress, frame),
      (error: unknown) => {
        context.codeOf(error)
        context.isLast = true
        this.#settle(progress, NO_RESPONSE)
      },
    )
  }

  /** Answers whatever is done and has nothing unanswered before it. */
  #settle(progress: Progress, outcome: ResponseFrame | typeof NO_RESPONSE): void {
    progress.outcome = outcome
    if (progress.context.isAbandoned) return this.#finish(progress, outcome)
    for (let oldest = this.#inProgress[0]; oldest?.outcome !== undefined; oldest = this.#inProgress[0]) {
      this.#inProgress.shift()
      this.#finish(oldest, oldest.outcome)
    }
  }

  #finish({ context, meter, startedAtMs }: Omit<Progress, 'outcome'>, frame: ResponseFrame | typeof NO_RESPONSE): void {
    meter.count(context.errors, this.#parts.clock.monotonic() - startedAtMs)
    if (context.isAbandoned) return release(context.lent)
    if (frame === NO_RESPONSE) release(context.lent)
    else meter.bytesOut.add(this.#send(frame, context.lent))
    if (context.isLast) this.#giveUp({ errors: context.errors }, 'closed a connection after an error without an answer')
    this.#channel.unblock()
  }

  /** Returns the number of bytes. */
  #send(pieces: ResponseFrame, lent: readonly Lent[]): number {
    const [first] = pieces
    if (pieces.length === 1 && first.length <= COPIED_BYTES_MAX) {
      this.#channel.sendText(first.latin1Slice(0, first.length))
      release(lent)
      return first.length
    }
    let bytes = 0
    for (const [index, piece] of pieces.entries()) {
      bytes += piece.length
      const owner = index === pieces.length - 1 ? { release: () => release(lent) } : undefined
      this.#channel.sendBytes(piece, owner)
    }
    return bytes
  }

  /** Whoever asks for a version that we do not know can read the first one, and learns from it what to ask for (KIP-511). */
  #answerUnknownApiVersions(header: RequestHeader): void {
    const known = { ...header, apiVersion: 0 }
    const context = new RequestContext(this.#parts, this.#channel, known)
    const { key, advertiseMin, versions } = ApiVersions
    const writer = beginResponse(ApiVersions, known)
    ApiVersions.writeResponse(writer, known.apiVersion, {
      errorCode: context.refuse('UNSUPPORTED_VERSION'),
      apiKeys: [{ apiKey: key, minVersion: advertiseMin, maxVersion: versions.last }],
    })
    const startedAtMs = this.#parts.clock.monotonic()
    const meter = this.#parts.meters.ofApi(ApiVersions.name)
    this.#finish({ context, meter, startedAtMs, isProduce: false }, writer.finishFrame())
  }

  #giveUp(facts: object, why: string): void {
    this.#parts.logger.debug({ peer: this.#channel.peer, ...facts }, why)
    this.#channel.end()
  }
}

function release(lent: readonly Lent[]): void {
  for (const owner of lent) owner.release()
}

/** A connection that is one too many. Kafka has no words for that: it is closed when it asks for something. */
export class RefusingSession implements Session {
  readonly inFlight = 0
  readonly #channel: Channel

  constructor(channel: Channel) {
    this.#channel = channel
  }

  takeFrame(): boolean {
    this.#channel.end()
    return true
  }

  refuseFrame(): void {}
  wrapUp(): void {}
  closed(): void {}
}
