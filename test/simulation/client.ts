import { BrokerError, type BrokerErrorName } from '../../src/base/broker-error.ts'
import type { Acks, AppendWaiter, PartitionLog } from '../../src/log/log-engine.ts'
import {
  endOf,
  type FoundBatch,
  type KeyedRecord,
  makeBatch,
  makeMarker,
  type Numbering,
  type SentBatch,
  splitBatches,
} from './batches.ts'
import type { DamagedPlace, Judge, PartitionModel } from './partition-model.ts'
import { checkProducers, type ExpectedProducer, ProducerModel } from './producer-model.ts'
import { describe, type Place, type World } from './world.ts'

/** Of the batches, so many are those of idempotent or transactional producers. */
const PRODUCERS_SHARE = 0.4

/** What a read gave. `highWatermark` is that of the moment when it was asked for. */
type ReadOutcome = { readonly found: FoundBatch[]; readonly highWatermark: number } | { readonly error: Error }

type TimePlace = { readonly offset: number; readonly timestamp: number } | undefined

/** Produces and consumes as clients do, and compares every answer with the model. */
export class Client {
  readonly #world: World

  constructor(world: World) {
    this.#world = world
  }

  /** Sends some batches in one turn, to one partition or to several; each answer is checked whenever it comes. */
  append(): void {
    const world = this.#world
    const { random } = world
    const only = random.chance(0.4) ? world.anyPlace() : undefined
    for (let count = random.pick([1, 1, 2, 4]); count > 0; count -= 1) {
      const place = only ?? world.anyPlace()
      if (place && random.chance(PRODUCERS_SHARE) && this.#isMemoryKept(place.model)) this.#sendAsProducer(place)
      else if (place) this.#send(place)
    }
  }

  /** Damage hides producers, compaction their batches; on a full disk, making room may cost the memory of what goes. */
  #isMemoryKept(model: PartitionModel): boolean {
    const { isDamaged, wasEverFull, plan, options } = this.#world
    const wasFull = wasEverFull || plan.hasFilled
    return !isDamaged && options.habits.compactedShare === 0 && (!wasFull || model.logStart === 0)
  }

  /** Does what an idempotent or transactional producer might, in order or out of it. */
  #sendAsProducer(place: Place): void {
    const { random } = this.#world
    const { producers } = new ProducerModel(place.model.history())
    const producerId = random.between(1, 3)
    const known = producers.get(producerId)
    if (random.chance(0.15)) return this.#endTransaction(place, producerId, known)
    const isTransactional = known && known.openSince >= 0 ? true : producerId > 1 && random.chance(0.7)
    const first = { producerId, epoch: random.below(2), sequence: random.pick([0, 0, 7]), isTransactional }
    if (!known) return this.#send(place, first)
    const { epoch, lastSequence } = known
    const next = { producerId, epoch, sequence: lastSequence + 1, isTransactional }
    const kind = random.below(100)
    if (kind < 20 && known.recent.length > 0) return this.#sendAgain(place, random.pick(known.recent))
    if (kind < 24)
      return this.#sendWrong(place, { ...next, sequence: lastSequence + 3 }, 'OUT_OF_ORDER_SEQUENCE_NUMBER')
    if (kind < 27) return this.#sendWrong(place, { ...next, epoch: epoch - 1 }, 'INVALID_PRODUCER_EPOCH')
    if (kind < 29 && known.openSince >= 0) {
      return this.#sendWrong(place, { ...next, isTransactional: false }, 'INVALID_TXN_STATE')
    }
    if (kind < 34 && known.openSince < 0) return this.#send(place, { ...next, epoch: epoch + 1, sequence: 0 })
    this.#send(place, next)
  }

  /** Compares what the engine says of producers and transactions with what follows from the log. */
  checkProducers({ model, log }: Place): void {
    const { hasStruck, process } = this.#world
    if (!this.#isMemoryKept(model)) return
    try {
      checkProducers(model, log)
    } catch (error) {
      if (process.isStopped) return
      // The log could not be read for it just now.
      if (error instanceof BrokerError && error.code === 'KAFKA_STORAGE_ERROR' && hasStruck) return
      throw error
    }
  }

  /** A retry: nothing new may come of it, and its answer means what that of the first one would have meant. */
  #sendAgain({ model, log }: Place, batch: SentBatch): void {
    const world = this.#world
    const { process, judge } = world
    const acks = world.random.pick<Acks>(['all', 'all', 1])
    const appended = (error: Error | undefined) => {
      if (process.isStopped || process !== world.process) return
      world.say(`answer again for ${model.name} offset ${batch.baseOffset}: ${error?.message ?? 'ok'}`)
      judge.listen(() => {
        if (error) this.#mayRefuse(log, error)
        model.answeredAgain(batch, acks, error, log)
      })
    }
    let baseOffset: number
    try {
      baseOffset = log.append(Buffer.from(batch.bytes), batch.recordCount, acks, { appended })
    } catch (error) {
      if (process.isStopped) return
      return this.#mayRefuse(log, error)
    }
    world.say(`append again ${model.name} offset ${baseOffset}`)
    world.report.duplicates += 1
    if (baseOffset !== batch.baseOffset) {
      judge.fail('every record once', `${model.name}: offset ${batch.baseOffset} was sent again and got ${baseOffset}`)
    }
  }

  /** Something that must be refused, and with this code. */
  #sendWrong({ model, log }: Place, numbering: Numbering, code: BrokerErrorName): void {
    const world = this.#world
    const batch = makeBatch(world.nextBatchId++, [world.clock.now()], 10, 1, [], numbering)
    let offset: number
    try {
      offset = log.append(batch.bytes, 1, 1, undefined)
    } catch (error) {
      if (world.process.isStopped || (error instanceof BrokerError && error.code === code)) return
      return this.#mayRefuse(log, error)
    }
    world.judge.fail('producers', `${model.name}: taken at ${offset}, which should have been ${code}`)
  }

  #endTransaction({ model, log }: Place, producerId: number, known: ExpectedProducer | undefined): void {
    const world = this.#world
    const { random } = world
    const timestamp = world.clock.now()
    const epoch = (known?.epoch ?? 0) + (random.chance(0.2) ? 1 : 0)
    const isCommit = random.chance(0.5)
    // Growing and never twice the same: a marker is known by it.
    const coordinatorEpoch = world.nextBatchId++
    const marker = { producerId, epoch, coordinatorEpoch, isCommit }
    this.#give({ model, log }, makeMarker(marker, timestamp), (waiter) => {
      return log.endTransaction({ producerId, producerEpoch: epoch, coordinatorEpoch, isCommit, timestamp }, waiter)
    })
  }

  #send(place: Place, numbering?: Numbering): void {
    const world = this.#world
    const { random } = world
    const count = random.pick([1, 1, 2, 3, 6])
    const now = world.clock.now()
    const timestamps = Array.from({ length: count }, () => now - random.below(random.pick([1, 50, 10_000])))
    const valueBytes = world.options.isLarge ? random.below(100_000) : random.below(random.pick([16, 120, 900]))
    const acks = random.pick<Acks>(['all', 'all', 'all', 1, 1, 0])
    const batch = makeBatch(world.nextBatchId++, timestamps, valueBytes, acks, this.#anyKeys(count), numbering)
    batch.sentAt = now
    this.#give(place, batch, (waiter) => place.log.append(Buffer.from(batch.bytes), count, acks, waiter))
  }

  /** Has a batch appended, and checks the answer whenever it comes. */
  #give({ model, log }: Place, batch: SentBatch, append: (waiter: AppendWaiter | undefined) => number): void {
    const world = this.#world
    const { random, process } = world
    const { acks, recordCount } = batch
    const appended = (error: Error | undefined) => {
      if (process.isStopped || process !== world.process) return
      world.say(`answer for ${model.name} offset ${batch.baseOffset}: ${error?.message ?? 'ok'}`)
      world.judge.listen(() => {
        if (error) this.#mayRefuse(log, error)
        else world.report.recordsAcked += recordCount
        model.answered(batch, error, log)
      })
    }
    const hasWaiter = acks !== 0 || random.chance(0.3)
    if (!hasWaiter) batch.outcome = 'unknown'
    let baseOffset: number
    try {
      baseOffset = append(hasWaiter ? { appended } : undefined)
    } catch (error) {
      // It may read the log first, and be stopped there.
      if (process.isStopped) return
      return this.#mayRefuse(log, error)
    }
    if (hasWaiter && batch.outcome !== 'waiting') world.judge.fail('answers come later', 'append called its waiter')
    world.report.batchesSent += 1
    world.say(
      `append ${model.name} offset ${baseOffset} records ${recordCount} bytes ${batch.bytes.length} acks ${acks} ${JSON.stringify(batch.numbering ?? batch.marker ?? '')}`,
    )
    model.sent(batch, baseOffset, log.leaderEpoch)
  }

  /** Keys for records, where topics may be compacted; few, so that most records are overtaken sooner or later. */
  #anyKeys(count: number): KeyedRecord[] {
    const { random, options } = this.#world
    if (options.habits.compactedShare === 0) return []
    return Array.from({ length: count }, () => {
      const key = random.chance(0.05) ? undefined : `key-${random.below(random.pick([2, 8]))}`
      return { key, isTombstone: key !== undefined && random.chance(0.25) }
    })
  }

  /** Reads from some offset, mostly one that is there. */
  async read(): Promise<void> {
    const world = this.#world
    const { random, judge } = world
    const place = world.anyPlace()
    if (!place) return
    const { model, log } = place
    const from = random.chance(0.1)
      ? log.logEndOffset + random.below(3)
      : random.between(Math.max(0, log.logStartOffset - (random.chance(0.05) ? 1 : 0)), log.highWatermark)
    const outcome = await this.#readOnce(log, from, random.pick([1, 200, 2_000, 1_000_000]))
    world.report.reads += 1
    if ('found' in outcome) {
      if (outcome.found.length === 0 && from < outcome.highWatermark) {
        judge.fail('read', `${model.name}: nothing at ${from}, below the high watermark`)
      }
      model.checkRead(from, outcome.found, log.highWatermark, Math.max(world.latestNow, world.clock.now()))
      return
    }
    const { error } = outcome
    const code = error instanceof BrokerError ? error.code : undefined
    if (code === 'OFFSET_OUT_OF_RANGE' && (from < log.logStartOffset || from > log.highWatermark)) return
    if (code === 'KAFKA_STORAGE_ERROR' && world.hasStruck) return
    if (code === 'CORRUPT_MESSAGE') return this.#mayBeCorrupt(model, from, error)
    judge.fail('read', `refused without cause: ${describe(error)}`)
  }

  /** Reads a partition from its start to its end; damage is stepped over and noted. */
  async readAll(model: PartitionModel, log: PartitionLog): Promise<(FoundBatch | DamagedPlace)[]> {
    const { random } = this.#world
    const judge: Judge = this.#world.judge
    const everything: (FoundBatch | DamagedPlace)[] = []
    const bytesMax = random.pick([1, 1_000, 1_000_000])
    let from = log.logStartOffset
    while (from < log.highWatermark) {
      const outcome = await this.#readOnce(log, from, bytesMax)
      if ('found' in outcome) {
        const last = outcome.found.at(-1)
        if (!last) judge.fail('read', `${model.name}: nothing at ${from}, below the high watermark`)
        everything.push(...outcome.found)
        from = Math.max(from + 1, endOf(last))
        continue
      }
      const { error } = outcome
      const sent = model.batchAt(from)
      if (!(error instanceof BrokerError) || error.code !== 'CORRUPT_MESSAGE' || !sent) {
        judge.fail('I1 acked is there', `${model.name}: offset ${from} cannot be read: ${describe(error)}`)
      }
      this.#mayBeCorrupt(model, from, error)
      everything.push({ damagedFrom: from })
      from = endOf(sent)
    }
    return everything
  }

  /** Looks for a record by its time, or for the latest one. */
  findTime(): void {
    const world = this.#world
    const { random } = world
    const place = world.anyPlace()
    if (!place) return
    const { model, log } = place
    world.report.timeLookups += 1
    if (model.isCompacted) return this.#findTimeCompacted(model, log)
    if (random.chance(0.2)) {
      const wanted = model.latest()
      return this.#compareTimes(`${model.name}, the latest`, wanted, () => log.findOffsetOfMaxTimestamp())
    }
    const near = random.chance(0.8) && model.batches.length > 0 ? random.pick(model.batches).timestamps[0] : undefined
    const timestamp = (near ?? world.clock.now() - random.below(20_000)) + random.between(-1, 1)
    const wanted = model.firstAtOrAfter(timestamp)
    this.#compareTimes(`${model.name} at ${timestamp}`, wanted, () => log.findOffsetByTime(timestamp))
  }

  /** The model does not know what compaction has left: the answer may be any that leaves out only what may be gone. */
  #findTimeCompacted(model: PartitionModel, log: PartitionLog): void {
    const { random, clock, process, judge, latestNow } = this.#world
    const near = model.batches.length > 0 ? random.pick(model.batches).timestamps[0] : 0
    const timestamp = random.chance(0.3) ? undefined : near + random.between(-1, 1)
    let found: TimePlace
    try {
      found = timestamp === undefined ? log.findOffsetOfMaxTimestamp() : log.findOffsetByTime(timestamp)
    } catch (error) {
      if (process.isStopped || (this.#world.hasStruck && error instanceof BrokerError)) return
      judge.fail('lookup by time', describe(error))
    }
    model.checkTime(timestamp, found, Math.max(latestNow, clock.now()))
  }

  /** Moves the log start of some partition. */
  deleteRecords(): void {
    const world = this.#world
    const place = world.anyPlace()
    if (!place) return
    const { model, log } = place
    const offset = world.random.between(log.logStartOffset, log.highWatermark)
    world.say(`delete records of ${model.name} before ${offset}`)
    model.allowLogStart(offset)
    const { process } = world
    log.deleteRecordsBefore(offset).then(
      () => {
        if (!process.isStopped) model.promiseLogStart(offset)
      },
      (error: unknown) => {
        if (process.isStopped || world.hasStruck || world.wasFull) return
        if (error instanceof BrokerError && error.code === 'UNKNOWN_TOPIC_OR_PARTITION') return
        world.judge.listen(() => {
          world.judge.fail('deleteRecordsBefore', `refused without cause: ${describe(error)}`)
        })
      },
    )
  }

  /** Refusing to write needs a reason. */
  #mayRefuse(log: PartitionLog, error: unknown): void {
    const { judge, process, hasStruck, wasFull } = this.#world
    const code = error instanceof BrokerError ? error.code : undefined
    const isGone = process.engine.get(log.topic, log.partition) !== log
    if (code === 'UNKNOWN_TOPIC_OR_PARTITION' && isGone) return
    if (code === 'KAFKA_STORAGE_ERROR' && (hasStruck || wasFull)) return
    judge.fail('produce', `refused without cause: ${describe(error)}`)
  }

  #mayBeCorrupt(model: PartitionModel, from: number, error: Error): void {
    const { report, damagedHeaders, judge, process } = this.#world
    report.corruptReads += 1
    const batch = model.batchAt(from)
    const before = damagedHeaders.find(({ path }) => error.message.includes(path))
    // Behind a damaged header the way is lost, also to what was appended to that file later.
    if (batch && before && batch.baseOffset > before.offset) batch.isDamaged = true
    if (!batch?.isDamaged) judge.fail('I13 corruption', `nothing is wrong there: ${describe(error)}`)
    if (process.engine.corruptBatches === 0) judge.fail('I13 corruption', 'damage was met and not counted')
  }

  async #readOnce(log: PartitionLog, from: number, bytesMax: number): Promise<ReadOutcome> {
    const { highWatermark } = log
    return this.#world.process.settle(
      new Promise((resolve) => {
        log.read(from, bytesMax, (error, batches) => {
          // The buffer is the engine's again after `release`: only a copy may be kept.
          const bytes = Buffer.from(batches.bytes)
          batches.release()
          if (error) return resolve({ error })
          const found = splitBatches(bytes)
          if (found) resolve({ found, highWatermark })
          else resolve({ error: new Error('the answer is not a run of whole batches') })
        })
      }),
    )
  }

  #compareTimes(what: string, wanted: TimePlace, find: () => TimePlace): void {
    const { judge, process, isDamaged } = this.#world
    let found: TimePlace
    try {
      found = find()
    } catch (error) {
      if (process.isStopped) return
      const code = error instanceof BrokerError ? error.code : undefined
      if (code === 'KAFKA_STORAGE_ERROR' && this.#world.hasStruck) return
      if (code === 'CORRUPT_MESSAGE' && isDamaged) return
      judge.fail('lookup by time', describe(error))
    }
    // Damage may hide a timestamp; then what lies behind it is found, or nothing.
    if (isDamaged) return
    if (found?.offset !== wanted?.offset || found?.timestamp !== wanted?.timestamp) {
      judge.fail('lookup by time', `${what}: found ${JSON.stringify(found)}, it is ${JSON.stringify(wanted)}`)
    }
  }
}
