import type { Socket } from 'node:net'
import { connect } from 'node:net'
import type { Api } from '../../src/protocols/kafka/api.ts'
import { beginRequest, FRAME_LENGTH_BYTES, readResponseHeader } from '../../src/protocols/kafka/headers.ts'
import { Reader } from '../../src/protocols/kafka/reader.ts'
import type { Fields, ReadMessage, WrittenMessage } from '../../src/protocols/kafka/schema.ts'
import { RecordBatchBuilder } from '../../src/record/record-batch.ts'

/** A client of the Kafka door that sends whatever bytes it is told to and queues the frames that come back. */
export class KafkaClient {
  readonly socket: Socket
  isClosed = false
  #received = Buffer.alloc(0)
  #correlationId = 0
  readonly #frames: Buffer[] = []
  readonly #waiting: ((frame: Buffer | undefined) => void)[] = []

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('error', () => {})
    socket.on('close', () => {
      this.isClosed = true
      for (const resolve of this.#waiting.splice(0)) resolve(undefined)
    })
  }

  static async connect(port: number): Promise<KafkaClient> {
    const socket = connect(port, '127.0.0.1')
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new KafkaClient(socket)
  }

  /** Frames that have come and that nobody has taken. */
  get pendingFrames(): number {
    return this.#frames.length
  }

  /** The payload of the next frame; undefined when the connection closes before there is one. */
  next(): Promise<Buffer | undefined> {
    const frame = this.#frames.shift()
    if (frame !== undefined || this.isClosed) return Promise.resolve(frame)
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  /** Sends a request and returns its correlation id. */
  send<Q extends Fields, A extends Fields>(api: Api<Q, A>, version: number, request: WrittenMessage<Q>): number {
    const frame = encodeRequest(api, version, ++this.#correlationId, request)
    this.socket.write(frame)
    return this.#correlationId
  }

  /** Reads the next frame as the answer to this API; fails when the connection closes instead. */
  async answer<Q extends Fields, A extends Fields>(
    api: Api<Q, A>,
    version: number,
  ): Promise<{ correlationId: number; answer: ReadMessage<A> }> {
    const frame = await this.next()
    if (frame === undefined) throw new Error(`the connection closed before the answer to ${api.name} came`)
    const reader = new Reader(frame, 0, frame.length, Infinity)
    const correlationId = readResponseHeader(reader, api, version)
    const answer = api.readResponse(reader, version)
    if (reader.position !== frame.length) throw new Error(`${frame.length - reader.position} bytes are left over`)
    return { correlationId, answer }
  }

  /** Sends one request and returns its answer. Only when nothing else is in flight. */
  async ask<Q extends Fields, A extends Fields>(
    api: Api<Q, A>,
    version: number,
    request: WrittenMessage<Q>,
  ): Promise<ReadMessage<A>> {
    const sent = this.send(api, version, request)
    const { correlationId, answer } = await this.answer(api, version)
    if (correlationId !== sent) throw new Error(`the answer is to request ${correlationId}, not ${sent}`)
    return answer
  }

  close(): void {
    this.socket.destroy()
  }

  #take(chunk: Buffer): void {
    let bytes = Buffer.concat([this.#received, chunk])
    while (bytes.length >= FRAME_LENGTH_BYTES && bytes.length >= FRAME_LENGTH_BYTES + bytes.readInt32BE(0)) {
      const end = FRAME_LENGTH_BYTES + bytes.readInt32BE(0)
      const frame = bytes.subarray(FRAME_LENGTH_BYTES, end)
      const resolve = this.#waiting.shift()
      if (resolve === undefined) this.#frames.push(frame)
      else resolve(frame)
      bytes = bytes.subarray(end)
    }
    this.#received = bytes
  }
}

/** One request as bytes. */
export function encodeRequest<Q extends Fields, A extends Fields>(
  api: Api<Q, A>,
  version: number,
  correlationId: number,
  request: WrittenMessage<Q>,
): Buffer {
  const header = { apiKey: api.key, apiVersion: version, correlationId, clientId: 'test' }
  const writer = beginRequest(api, header)
  api.writeRequest(writer, version, request)
  return Buffer.concat(writer.finishFrame())
}

/** A record batch of these values, as a producer sends it. */
export function makeBatch(values: readonly string[], timestamp = Date.now()): Buffer {
  const builder = new RecordBatchBuilder()
  builder.begin()
  for (const value of values) builder.add(null, Buffer.from(value), timestamp, [])
  return Buffer.from(builder.finish())
}
