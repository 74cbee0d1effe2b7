import type { EventEmitter } from 'node:events'
import type { IBackoff } from 'cockatiel'
import { BrokenCircuitError } from 'cockatiel'
import type { Timer } from '../src/base/clock.ts'
import { systemClock } from '../src/base/clock.ts'
import type { Messages, SentBatchResult } from '../src/protocols/json/wire.ts'
import { FRAME_TYPES } from '../src/protocols/json/wire.ts'
import { DeliveryFailure } from './delivery.ts'
import type { ClientEvents } from './events.ts'
import type { JsonConnection } from './json-connection.ts'
import { BrokerRefusal } from './json-connection.ts'
import type { Link } from './link.ts'
import { isTransient } from './link.ts'
import type { IdentitySource, ProducerBatch, ProducerIdentity } from './partition-queue.ts'
import { PartitionQueue } from './partition-queue.ts'
import type { Acks } from './produce-request.ts'
import { encodeProduceBatches } from './produce-request.ts'
import { BatchWriter, compressBatch } from './record-batch.ts'

/** How batches are sent. Times are milliseconds. */
export interface SenderOptions {
  readonly acks: Acks
  readonly isIdempotent: boolean
  readonly isCompressed: boolean
  readonly lingerMs: number
  readonly deliveryTimeoutMs: number
  /** So many requests are on their way at the same time. */
  readonly requestsInFlightMax: number
}

/** Called when the messages of a batch know what became of them; `error` is why they were not delivered. */
type OnSettled = (batch: ProducerBatch, error?: Error) => void
type Answer = Messages['PRODUCE_BATCHES']['answer']

const OPERATION = 'PRODUCE_BATCHES'
/** About so many bytes of batches go into a request; one batch goes however large it is. */
const REQUEST_BYTES = 1024 * 1024
/** The last epoch of a producer id; after that it needs another id. */
const EPOCH_MAX = 0x7fff
/** How large a batch is expected to become, and how many writers that have no work are kept. */
const WRITER_BYTES = 64 * 1024
const FREE_WRITERS_MAX = 64

/**
 * Sends the batches of all partitions over one connection: several requests at a time, one batch of a partition in each. What is
 * lost on the way is sent again, in order; what the broker refuses for passing reasons as well, after a while.
 */
export class BatchSender implements IdentitySource {
  readonly #link: Link
  readonly #events: EventEmitter<ClientEvents>
  readonly #options: SenderOptions
  readonly #onSettled: OnSettled
  /** Partitions that have something to send, in the order of their turns. */
  readonly #ready = new Set<PartitionQueue>()
  /** All batches whose messages do not know yet what became of them, the earliest deadline first. */
  readonly #unsettled = new Set<ProducerBatch>()
  readonly #freeWriters: BatchWriter[] = []
  readonly #pauses = new Map<object, Pause>()
  /** Those who wait for a batch to be settled. */
  #waiting: (() => void)[] = []
  /** Open batches, the oldest first, and such that were open. */
  #lingering: ProducerBatch[] = []
  #isLingering = false
  #deadlineTimer: Timer | undefined
  #connection: JsonConnection | undefined
  #isConnecting = false
  #requestsInFlight = 0
  #identity: ProducerIdentity | undefined
  #isAskingForIdentity = false
  readonly #withoutIdentity = new Set<PartitionQueue>()

  constructor(link: Link, events: EventEmitter<ClientEvents>, options: SenderOptions, onSettled: OnSettled) {
    this.#link = link
    this.#events = events
    this.#options = options
    this.#onSettled = onSettled
  }

  /** Opens a batch for a partition that has no open one. */
  begin(queue: PartitionQueue): ProducerBatch {
    const { deliveryTimeoutMs, lingerMs } = this.#options
    const deadline = systemClock.monotonic() + deliveryTimeoutMs
    const batch = queue.begin(deadline, this.#freeWriters.pop() ?? new BatchWriter(WRITER_BYTES))
    this.#unsettled.add(batch)
    this.#deadlineTimer ??= this.#watchDeadlines()
    this.#lingering.push(batch)
    if (!this.#isLingering) this.#linger(lingerMs)
    return batch
  }

  /** The open batch of a partition is full. */
  close(queue: PartitionQueue): void {
    this.#close(queue)
    this.#list(queue)
    this.#pump()
  }

  /** Sends what there is, and resolves when all of it is settled. */
  async flush(): Promise<void> {
    const batches = [...this.#unsettled]
    for (const batch of batches) this.#makeDue(batch)
    this.#pump()
    while (batches.some((batch) => !batch.isSettled)) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
  }

  /** Gives up everything that is under way. */
  failAll(error: Error): void {
    for (const pause of this.#pauses.values()) clearTimeout(pause.timer)
    this.#pauses.clear()
    for (const batch of this.#unsettled) {
      batch.queue.isPaused = false
      this.#giveUp(batch, error)
    }
    this.#deadlineTimer?.cancel()
    this.#deadlineTimer = undefined
  }

  // ------------------------------------------------------------------------------------------------ who the producer is

  currentOrAsk(): ProducerIdentity | undefined {
    if (this.#identity === undefined && !this.#isAskingForIdentity) void this.#askForIdentity()
    return this.#identity
  }

  renew(stale: ProducerIdentity, { isFenced }: { readonly isFenced: boolean }): void {
    if (this.#identity !== stale) return
    const { producerId, producerEpoch } = stale
    // The broker need not be asked: it takes the next epoch of an id as it comes (KIP-360).
    const isUsedUp = isFenced || producerEpoch >= EPOCH_MAX
    this.#identity = isUsedUp ? undefined : { producerId, producerEpoch: producerEpoch + 1 }
  }

  async #askForIdentity(): Promise<void> {
    this.#isAskingForIdentity = true
    try {
      const { producerId, producerEpoch } = await this.#link.call('INIT_PRODUCER_ID', {})
      this.#identity = { producerId, producerEpoch }
    } catch (error) {
      if (!isTransient(error)) this.failAll(error as Error)
    }
    this.#isAskingForIdentity = false
    for (const queue of this.#withoutIdentity) this.#list(queue)
    this.#withoutIdentity.clear()
    this.#pump()
  }

  // ------------------------------------------------------------------------------------------------ until it is sent

  #linger(ms: number): void {
    this.#isLingering = true
    if (ms === 0) setImmediate(() => this.#endLinger())
    else setTimeout(() => this.#endLinger(), ms)
  }

  /** Open batches that have waited for long enough may go; until they do, they take messages. */
  #endLinger(): void {
    const { lingerMs, deliveryTimeoutMs } = this.#options
    const now = systemClock.monotonic()
    const dueAt = (batch: ProducerBatch) => batch.deadline - deliveryTimeoutMs + lingerMs
    // Timers may fire a little early.
    const isOver = (batch: ProducerBatch) => batch.queue.open !== batch || lingerMs === 0 || dueAt(batch) <= now + 1
    let count = 0
    for (; count < this.#lingering.length && isOver(this.#lingering[count]); count++) {
      this.#makeDue(this.#lingering[count])
    }
    this.#lingering = this.#lingering.slice(count)
    this.#isLingering = false
    const next = this.#lingering.at(0)
    if (next !== undefined) this.#linger(Math.max(1, dueAt(next) - now))
    this.#pump()
  }

  #makeDue(batch: ProducerBatch): void {
    const { queue } = batch
    if (queue.open !== batch) return
    queue.isOpenDue = true
    this.#list(queue)
  }

  #close(queue: PartitionQueue): void {
    const batch = queue.close()
    if (batch !== undefined && this.#options.isCompressed) void this.#compress(batch)
  }

  async #compress(batch: ProducerBatch): Promise<void> {
    const { writer } = batch
    if (writer === undefined) return
    batch.isBeingCompressed = true
    batch.bytes = await compressBatch(writer.finish())
    batch.isBeingCompressed = false
    this.#release(batch)
    this.#list(batch.queue)
    this.#pump()
  }

  #list(queue: PartitionQueue): void {
    if (queue.hasWork) this.#ready.add(queue)
  }

  // ------------------------------------------------------------------------------------------------ sending

  /** Sends whatever can be sent now. */
  #pump(): void {
    if (this.#ready.size === 0 || this.#pauses.get(this)?.timer !== undefined) return
    const connection = this.#connection
    if (connection === undefined || connection.failure !== undefined) {
      // What was in flight on the old one comes back first.
      if (this.#requestsInFlight === 0 && !this.#isConnecting) void this.#connect()
      return
    }
    // As long as it is not certain that the broker is well, one request has to show it.
    const requestsMax = this.#link.circuit === 'closed' ? this.#options.requestsInFlightMax : 1
    while (this.#requestsInFlight < requestsMax) {
      const batches = this.#take()
      if (batches.length === 0) return
      void this.#send(connection, batches)
    }
  }

  async #connect(): Promise<void> {
    this.#isConnecting = true
    try {
      this.#connection = await this.#link.connect(undefined, OPERATION)
    } catch (error) {
      if (isTransient(error)) this.#pause(this, error as Error)
      else this.failAll(error as Error)
    }
    this.#isConnecting = false
    this.#pump()
  }

  /** One batch from each partition whose turn it is, until the request is full. */
  #take(): ProducerBatch[] {
    const { isIdempotent, isCompressed } = this.#options
    const batches: ProducerBatch[] = []
    let bytes = 0
    let turns = this.#ready.size
    for (const queue of this.#ready) {
      if (turns-- === 0) break
      const head = queue.peek()
      if (head !== undefined && bytes > 0 && bytes + head.sizeBytes > REQUEST_BYTES) break
      // Whatever keeps it from sending now will list it again.
      this.#ready.delete(queue)
      if (head === undefined) continue
      if (isCompressed && queue.open === head) {
        this.#close(queue)
        continue
      }
      const batch = queue.take(isIdempotent ? this : undefined)
      if (batch === undefined) {
        this.#withoutIdentity.add(queue)
        continue
      }
      batches.push(batch)
      bytes += batch.sizeBytes
      this.#list(queue)
    }
    return batches
  }

  async #send(connection: JsonConnection, batches: readonly ProducerBatch[]): Promise<void> {
    const isFirst = this.#requestsInFlight++ === 0
    try {
      const ask = () => this.#ask(connection, batches)
      // The first one speaks for all that follow while it is on its way: one lost connection is one failure.
      const { results } = isFirst ? await this.#link.attempt(ask) : await ask()
      this.#requestsInFlight--
      this.#endPause(this)
      batches.forEach((batch, index) => this.#takeResult(batch, results[index]))
    } catch (error) {
      this.#requestsInFlight--
      this.#takeFailure(batches, error as Error)
    }
    for (const { queue } of batches) this.#list(queue)
    this.#pump()
  }

  async #ask(connection: JsonConnection, batches: readonly ProducerBatch[]): Promise<Answer> {
    const { acks } = this.#options
    const payload = encodeProduceBatches(acks, batches)
    if (acks === 0) {
      connection.send(FRAME_TYPES[OPERATION], payload)
      await connection.drained()
      return {
        ok: true,
        results: batches.map(({ queue: { topic, partition } }) => ({ topic, partition, baseOffset: -1 })),
      }
    }
    const answer = (await connection.request(FRAME_TYPES[OPERATION], payload)) as Answer
    const refusals = answer.results.map(refusalOf)
    const first = refusals.at(0)
    // None could be stored just now: so fails a broker that still answers.
    if (first !== undefined && refusals.every((refusal) => isTransient(refusal))) throw first
    return answer
  }

  // ------------------------------------------------------------------------------------------------ what became of it

  #takeResult(batch: ProducerBatch, result: SentBatchResult): void {
    const refusal = refusalOf(result)
    if (refusal !== undefined) return this.#takeRefusal(batch, refusal)
    const { queue } = batch
    queue.delivered(batch)
    this.#endPause(queue)
    if ('baseOffset' in result) this.#deliver(batch, result.baseOffset)
    this.#release(batch)
  }

  #takeRefusal(batch: ProducerBatch, refusal: BrokerRefusal): void {
    const { queue } = batch
    if (isTransient(refusal)) {
      this.#takeBack(batch, refusal)
      this.#pause(queue, refusal)
    } else if (queue.refused(batch, refusal.code) === 'fail') {
      this.#fail(batch, refusal)
      this.#release(batch)
    }
  }

  #takeFailure(batches: readonly ProducerBatch[], error: Error): void {
    if (error instanceof BrokerRefusal) {
      for (const batch of batches) this.#takeRefusal(batch, error)
      return
    }
    for (const batch of batches) this.#takeBack(batch, error)
    if (isTransient(error) || error instanceof BrokenCircuitError) this.#pause(this, error)
    else this.failAll(error)
  }

  /** It is to be sent again, unless it has been given up meanwhile. */
  #takeBack(batch: ProducerBatch, error: Error): void {
    // That nothing is sent just now says nothing.
    if (!(error instanceof BrokenCircuitError)) batch.lastError = error
    batch.queue.failed(batch)
    if (batch.isSettled) this.#release(batch)
  }

  #giveUp(batch: ProducerBatch, error: Error): void {
    const { queue } = batch
    const isOut = queue.drop(batch)
    if (!queue.hasWork) this.#ready.delete(queue)
    this.#fail(batch, error)
    if (isOut) this.#release(batch)
  }

  #deliver(batch: ProducerBatch, baseOffset: number): void {
    if (batch.isSettled) return
    batch.deliver(baseOffset)
    this.#noteSettled(batch)
  }

  #fail(batch: ProducerBatch, error: Error): void {
    if (batch.isSettled) return
    batch.fail(error)
    this.#noteSettled(batch, error)
  }

  #noteSettled(batch: ProducerBatch, error?: Error): void {
    this.#unsettled.delete(batch)
    this.#onSettled(batch, error)
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  /** Nobody needs its bytes any more. */
  #release(batch: ProducerBatch): void {
    const { writer } = batch
    if (writer === undefined || batch.isBeingCompressed) return
    batch.writer = undefined
    if (this.#freeWriters.length >= FREE_WRITERS_MAX) return
    writer.reset()
    this.#freeWriters.push(writer)
  }

  #watchDeadlines(): Timer | undefined {
    const [first] = this.#unsettled
    if (first === undefined) return undefined
    return systemClock.setTimer(Math.max(1, first.deadline - systemClock.monotonic()), () => {
      const now = systemClock.monotonic()
      const { deliveryTimeoutMs } = this.#options
      for (const batch of this.#unsettled) {
        if (batch.deadline > now) break
        const { topic, partition } = batch.queue
        const what = `Cannot deliver ${batch.sinks.length} messages to topic "${topic}", partition ${partition}`
        const { lastError: cause } = batch
        const why = cause === undefined ? '' : `: ${cause.message}`
        const options = cause === undefined ? {} : { cause }
        this.#giveUp(batch, new DeliveryFailure('timeout', `${what} within ${deliveryTimeoutMs} ms${why}`, options))
      }
      this.#deadlineTimer = this.#watchDeadlines()
    })
  }

  // ------------------------------------------------------------------------------------------------ waiting before it is tried again

  /** Sends nothing for a while, at all or to one partition; longer each time, until something is delivered. */
  #pause(what: BatchSender | PartitionQueue, error: Error): void {
    const last = this.#pauses.get(what)
    if (last?.timer !== undefined) return
    const backoff = last?.backoff.next(undefined) ?? this.#link.firstDelay()
    const attempt = (last?.attempt ?? 0) + 1
    const delayMs = backoff.duration
    const pause: Pause = { backoff, attempt, timer: undefined }
    pause.timer = setTimeout(() => {
      pause.timer = undefined
      if (what instanceof PartitionQueue) {
        what.isPaused = false
        this.#list(what)
      }
      this.#pump()
    }, delayMs)
    this.#pauses.set(what, pause)
    if (what instanceof PartitionQueue) what.isPaused = true
    this.#events.emit('retry', { operation: OPERATION, attempt, delayMs, error })
  }

  /** Something was delivered: the next pause is a short one again. */
  #endPause(what: BatchSender | PartitionQueue): void {
    if (this.#pauses.size > 0 && this.#pauses.get(what)?.timer === undefined) this.#pauses.delete(what)
  }
}

interface Pause {
  readonly backoff: IBackoff<unknown>
  readonly attempt: number
  /** Undefined when it is over, and nothing has been delivered since. */
  timer: NodeJS.Timeout | undefined
}

function refusalOf(result: SentBatchResult): BrokerRefusal | undefined {
  return 'error' in result ? new BrokerRefusal(result.error.code, result.error.message) : undefined
}
