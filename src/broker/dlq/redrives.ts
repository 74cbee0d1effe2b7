import { BrokerError } from '../../base/broker-error.ts'
import type { Clock, Timer } from '../../base/clock.ts'
import { didYouMean } from '../../base/nearest.ts'
import type { Logger } from '../../base/logger.ts'
import type { PartitionLog } from '../../log/log-engine.ts'
import type { Store } from '../../store/store.ts'
import type { BatchIntake } from '../batch-intake.ts'
import { DEAD_LETTER_SUFFIX, isDeadLetterTopic } from '../dead-letter-topic.ts'
import type { Tracer } from '../../tracing/tracer.ts'
import type { TopicSchemas } from '../topic-schemas.ts'
import type { Topic, Topics } from '../topics.ts'
import type { DeadLetter, LetterFilter } from './letter.ts'
import type { LetterCounts } from './letter-states.ts'
import { LetterStates } from './letter-states.ts'
import type { PlannedRecord, RedriveFault, RedriveOrder } from './plan-redrive.ts'
import { planRedrive } from './plan-redrive.ts'
import { readLetters } from './read-letters.ts'
import type { RedriveJob } from './redrive-job.ts'
import { decodeJob, isOver, jobRow, withoutJob } from './redrive-job.ts'
import { RedriveRun } from './redrive-run.ts'

/** What is asked for. */
export interface RedriveWish {
  /** The dead letter topic, or the topic that it belongs to. */
  readonly topic: string
  readonly by: string
  readonly note?: string | undefined
  /** Its state is left out: only open ones are redriven or discarded. */
  readonly filter: LetterFilter
}

/** What redrives work with. */
export interface RedrivesParts {
  readonly store: Store
  readonly clock: Clock
  readonly logger: Logger
  readonly intake: BatchIntake
  readonly schemas: TopicSchemas
  readonly findLog: (topic: string, partition: number) => PartitionLog | undefined
  /** Undefined as long as tracing is off. */
  readonly tracer?: Tracer | undefined
}

/** How many were redriven and discarded since the start, by dead letter topic. */
export interface RedriveEvents {
  ok: number
  rejectedAgain: number
  failed: number
  discarded: number
}

/** What is known of a dead letter topic. */
export interface LetterOverview extends LetterCounts {
  readonly topic: string
  readonly partitions: number
  /** When the first of the open ones became a dead letter, Unix milliseconds; undefined when there is none. */
  readonly oldestMs: number | undefined
}

/** A place among the dead letters of a topic. */
export interface LetterPlace {
  readonly partition: number
  readonly offset: number
}

/** What is looked at for one answer; whoever wants more asks again. */
const SCAN_RECORDS_MAX = 50_000
const SCAN_MS_MAX = 500
const LETTERS_AT_ONCE = 500
/** Others have a turn of the event loop after so long. */
const TURN_MS = 10
/** Of those that are over, so many are kept. */
const JOBS_MAX = 1_000

/**
 * What is done with dead letters: they are looked at, sent again, or discarded. Each dead letter topic has one redrive or
 * discard at a time. It goes on by itself after a restart (redrive-run.ts has how each record is sent once), and what was done is kept
 * for those who ask later.
 */
export class Redrives {
  readonly states: LetterStates
  readonly #parts: RedrivesParts
  readonly #topics: () => Topics
  readonly #jobs = new Map<number, RedriveJob>()
  /** By dead letter topic. */
  readonly #runs = new Map<string, RedriveRun>()
  readonly #events = new Map<string, RedriveEvents>()
  readonly #timers = new Set<Timer>()
  #lastNumber = 0
  #isClosed = false

  /** The topics tell it when one of them goes, so it is made before them. */
  constructor(parts: RedrivesParts, topics: () => Topics) {
    this.#parts = parts
    this.#topics = topics
    this.states = new LetterStates(parts)
    for (const [key, value] of parts.store.entries('redrives')) {
      const job = decodeJob(key, value)
      this.#jobs.set(job.number, job)
      this.#lastNumber = Math.max(this.#lastNumber, job.number)
    }
  }

  /** Goes on with what was not over. All topics must have been loaded. */
  open(): void {
    for (const topic of this.#topics().list()) {
      if (isDeadLetterTopic(topic.name)) for (const log of this.logsOf(topic)) this.states.refreshLater(log)
    }
    for (const job of this.#jobs.values()) {
      if (isOver(job) || this.#topics().get(job.topic)?.id !== job.topicId) continue
      this.#parts.logger.info({ topic: job.topic, redrive: job.number }, `the ${job.kind} goes on`)
      this.#run(job)
    }
  }

  /** Stops where it is; the next start goes on. */
  async close(): Promise<void> {
    this.#isClosed = true
    for (const timer of this.#timers) timer.cancel()
    await Promise.all([...this.#runs.values()].map((run) => run.stop()))
  }

  /**
   * The dead letter topic that is meant: of a topic that is none, its own.
   *
   * @throws BrokerError UNKNOWN_TOPIC_OR_PARTITION, INVALID_REQUEST
   */
  getTopic(name: string): Topic {
    const topics = this.#topics()
    const asked = isDeadLetterTopic(name) ? topics.get(name) : topics.get(`${name}${DEAD_LETTER_SUFFIX}`)
    if (asked !== undefined) return asked
    if (topics.get(name) !== undefined) {
      throw new BrokerError(
        'UNKNOWN_TOPIC_OR_PARTITION',
        `Topic "${name}" has no dead letters: there is no topic "${name}${DEAD_LETTER_SUFFIX}"`,
      )
    }
    const known = topics.list().filter((topic) => isDeadLetterTopic(topic.name))
    const hint =
      didYouMean(
        name,
        known.map((topic) => topic.name),
      ) ?? ''
    throw new BrokerError(
      'UNKNOWN_TOPIC_OR_PARTITION',
      `There is no dead letter topic ${JSON.stringify(name.slice(0, 80))}${hint}`,
    )
  }

  /** The logs of a dead letter topic, by partition. */
  logsOf({ name, partitionCount }: Topic): PartitionLog[] {
    const logs: PartitionLog[] = []
    for (let partition = 0; partition < partitionCount; partition++) {
      const log = this.#parts.findLog(name, partition)
      if (log !== undefined) logs.push(log)
    }
    return logs
  }

  /** How many dead letters there are of each topic that has any to look at; from memory. */
  *describe(): Iterable<LetterCounts & { readonly topic: string; readonly events: Readonly<RedriveEvents> }> {
    for (const topic of this.#topics().list()) {
      if (!isDeadLetterTopic(topic.name)) continue
      const sum = { open: 0, redriven: 0, discarded: 0 }
      for (const log of this.logsOf(topic)) {
        this.states.refreshLater(log)
        const counts = this.states.count(log)
        sum.open += counts.open
        sum.redriven += counts.redriven
        sum.discarded += counts.discarded
      }
      yield { topic: topic.name, ...sum, events: this.#eventsOf(topic.name) }
    }
  }

  /**
   * The same of one topic, exact, with the oldest.
   *
   * @throws BrokerError CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR
   */
  async overview(topic: Topic): Promise<LetterOverview> {
    const sum = { open: 0, redriven: 0, discarded: 0 }
    let oldestMs: number | undefined
    for (const log of this.logsOf(topic)) {
      await this.states.refresh(log)
      const counts = this.states.count(log)
      sum.open += counts.open
      sum.redriven += counts.redriven
      sum.discarded += counts.discarded
      const first = this.states.firstOpen(log.topic, log.partition, log.logStartOffset)
      const found = first < log.highWatermark ? log.findFirstRecord(first) : undefined
      if (found !== undefined) oldestMs = Math.min(found.timestamp, oldestMs ?? found.timestamp)
    }
    return { topic: topic.name, partitions: topic.partitionCount, ...sum, oldestMs }
  }

  /** Every dead letter topic, by name. */
  list(): Topic[] {
    return this.#topics()
      .list()
      .filter((topic) => isDeadLetterTopic(topic.name))
  }

  /**
   * One dead letter.
   *
   * @throws BrokerError UNKNOWN_TOPIC_OR_PARTITION, OFFSET_OUT_OF_RANGE, CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR
   */
  async get(topicName: string, partition: number, offset: number): Promise<DeadLetter> {
    const topic = this.getTopic(topicName)
    const log = this.#parts.findLog(topic.name, partition)
    if (log === undefined) {
      throw new BrokerError('UNKNOWN_TOPIC_OR_PARTITION', `Topic "${topic.name}" has no partition ${partition}`)
    }
    const ids = [`${partition}@${offset}`]
    const end = Math.min(log.highWatermark, offset + 1)
    const { letters } = await readLetters(log, this.states, { from: offset, end, filter: { ids }, max: 1 })
    const [letter] = letters
    if (letter !== undefined) return letter
    throw new BrokerError(
      'OFFSET_OUT_OF_RANGE',
      `There is no dead letter ${ids[0]} in topic "${topic.name}": partition ${partition} has offsets ${log.logStartOffset} to ${log.highWatermark - 1}, some without a record`,
    )
  }

  /**
   * Looks at the dead letters that fit, by partition and offset, until `visit` says false or enough has been looked at for one
   * answer. Returns where to go on: at the letter that `visit` did not take; undefined when all have been looked at.
   *
   * @throws BrokerError CORRUPT_MESSAGE, KAFKA_STORAGE_ERROR
   */
  async scan(
    topic: Topic,
    filter: LetterFilter,
    from: LetterPlace,
    visit: (letter: DeadLetter) => boolean,
  ): Promise<LetterPlace | undefined> {
    const { clock, findLog } = this.#parts
    const beganAtMs = clock.monotonic()
    let turnBeganAtMs = beganAtMs
    let { partition, offset } = from
    let scanned = 0
    for (; partition < topic.partitionCount; partition++, offset = 0) {
      const log = findLog(topic.name, partition)
      const end = log?.highWatermark ?? 0
      while (log !== undefined && offset < end) {
        const isEnough = scanned >= SCAN_RECORDS_MAX || clock.monotonic() - beganAtMs >= SCAN_MS_MAX
        if (isEnough && scanned > 0) return { partition, offset }
        const part = await readLetters(log, this.states, { from: offset, end, filter, max: LETTERS_AT_ONCE })
        scanned += Math.max(1, part.scanned)
        for (const letter of part.letters) {
          if (!visit(letter)) return { partition, offset: letter.offset }
          if (clock.monotonic() - turnBeganAtMs < TURN_MS) continue
          await new Promise((nextTurn) => setImmediate(nextTurn))
          turnBeganAtMs = clock.monotonic()
        }
        offset = part.next
      }
    }
    return undefined
  }

  /** Says how a dead letter would be sent now, or why it cannot be. */
  plan(letter: DeadLetter, order: RedriveOrder): PlannedRecord | RedriveFault {
    return planRedrive(letter, order, { topics: this.#topics(), schemas: this.#parts.schemas })
  }

  /**
   * Refuses to send dead letters to a topic that is not there, or is for dead letters itself.
   *
   * @throws BrokerError UNKNOWN_TOPIC_OR_PARTITION, INVALID_REQUEST
   */
  checkTarget(name: string): void {
    if (!isDeadLetterTopic(this.#topics().getExisting(name).name)) return
    throw new BrokerError(
      'INVALID_REQUEST',
      `Cannot redrive to "${name}": it is a dead letter topic itself, and messages would go round in circles`,
    )
  }

  // ---------------------------------------------------------------------------------------------------- changing

  /**
   * Begins to send dead letters again; resolves when it will be done whatever happens.
   *
   * @throws BrokerError UNKNOWN_TOPIC_OR_PARTITION, INVALID_REQUEST, POLICY_VIOLATION, KAFKA_STORAGE_ERROR
   */
  redrive(
    wish: RedriveWish & {
      readonly order: RedriveOrder
      readonly rate?: number | undefined
      readonly limit?: number | undefined
    },
  ): Promise<RedriveJob> {
    if (wish.order.to !== undefined) this.checkTarget(wish.order.to)
    return this.#begin('redrive', wish, wish)
  }

  /**
   * Begins to discard dead letters: they stay where they are until retention removes them, and are open no more.
   *
   * @throws BrokerError UNKNOWN_TOPIC_OR_PARTITION, POLICY_VIOLATION, KAFKA_STORAGE_ERROR
   */
  discard(wish: RedriveWish & { readonly limit?: number | undefined }): Promise<RedriveJob> {
    return this.#begin('discard', wish, { ...wish, order: { repair: [], isForced: false } })
  }

  /**
   * Stops a redrive or discard. What was done stays done.
   *
   * @throws BrokerError INVALID_REQUEST when there is none with that number, or it is over; KAFKA_STORAGE_ERROR
   */
  async cancel(number: number): Promise<RedriveJob> {
    const job = this.getJob(number)
    const run = this.#runs.get(job.topic)
    if (run?.job.number !== number || isOver(job)) {
      throw new BrokerError('INVALID_REQUEST', `Cannot cancel redrive ${number}: it is over, ${job.state}`)
    }
    await run.cancel()
    return this.getJob(number)
  }

  /** @throws BrokerError INVALID_REQUEST */
  getJob(number: number): RedriveJob {
    const job = this.#jobs.get(number)
    if (job !== undefined) return job
    throw new BrokerError('INVALID_REQUEST', `There is no redrive ${number}: the last one is ${this.#lastNumber}`)
  }

  /** Redrives and discards, the latest first; of one dead letter topic or of all. */
  jobs(topic: string | undefined, max: number): RedriveJob[] {
    const asked = [...this.#jobs.values()].filter((job) => topic === undefined || job.topic === topic)
    return asked.toSorted((one, other) => other.number - one.number).slice(0, max)
  }

  /** How many offsets a job has still to look at. */
  offsetsLeft(job: RedriveJob): number {
    if (isOver(job)) return 0
    let left = 0
    for (let partition = job.partition; partition < job.ends.length; partition++) {
      const start = this.#parts.findLog(job.topic, partition)?.logStartOffset ?? 0
      left += Math.max(0, job.ends[partition] - Math.max(start, partition === job.partition ? job.offset : 0))
    }
    return left
  }

  /**
   * Forgets a topic that is gone for everybody, with what was done to its dead letters.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR
   */
  async removeTopic(name: string): Promise<void> {
    if (!isDeadLetterTopic(name)) return
    await this.#runs.get(name)?.stop()
    this.#runs.delete(name)
    this.#events.delete(name)
    const jobs = this.jobs(name, Number.POSITIVE_INFINITY)
    for (const { number } of jobs) this.#jobs.delete(number)
    await this.#parts.store.commit(jobs.map(({ number }) => withoutJob(number)))
    await this.states.removeTopic(name)
  }

  async #begin(
    kind: RedriveJob['kind'],
    { topic: name, by, note = '', filter }: RedriveWish,
    {
      order,
      rate,
      limit,
    }: { readonly order: RedriveOrder; readonly rate?: number | undefined; readonly limit?: number | undefined },
  ): Promise<RedriveJob> {
    const topic = this.getTopic(name)
    const running = this.#runs.get(topic.name)
    if (running !== undefined) {
      throw new BrokerError(
        'POLICY_VIOLATION',
        `Cannot ${kind} dead letters of "${topic.name}": ${running.job.kind} ${running.job.number} is under way; wait for it, or cancel it`,
      )
    }
    const job: RedriveJob = {
      number: ++this.#lastNumber,
      kind,
      topic: topic.name,
      topicId: topic.id,
      by,
      note,
      startedAtMs: this.#parts.clock.now(),
      filter: { ...filter, state: 'open' },
      order,
      rate,
      limit,
      ends: this.logsOf(topic).map(({ highWatermark }) => highWatermark),
      state: 'running',
      partition: 0,
      offset: 0,
      counts: { done: 0, rejected: 0, refused: 0, failed: 0 },
      problems: [],
      intent: undefined,
      endedAtMs: undefined,
    }
    const run = this.#run(job, this.#parts.store.commit([jobRow(job), ...this.#outdated()]))
    await run.isStored
    this.#parts.logger.info(
      { topic: job.topic, redrive: job.number, by, filter, to: order.to, note },
      `a ${kind} begins`,
    )
    return this.getJob(job.number)
  }

  #run(job: RedriveJob, stored: Promise<void> = Promise.resolve()): RedriveRun {
    this.#jobs.set(job.number, job)
    const { store, clock, logger, intake, schemas, findLog, tracer } = this.#parts
    const run = new RedriveRun(job, stored, {
      store,
      clock,
      logger,
      intake,
      schemas,
      findLog,
      tracer,
      topics: this.#topics(),
      states: this.states,
      events: this.#eventsOf(job.topic),
      changed: (changed) => this.#jobs.set(changed.number, changed),
      ended: () => {
        if (this.#runs.get(job.topic) === run) this.#runs.delete(job.topic)
        if (run.job.state === 'running' && !run.isStopped) this.#jobs.delete(job.number)
      },
    })
    this.#runs.set(job.topic, run)
    if (!this.#isClosed) run.start()
    return run
  }

  #eventsOf(topic: string): RedriveEvents {
    let events = this.#events.get(topic)
    if (events === undefined) {
      events = { ok: 0, rejectedAgain: 0, failed: 0, discarded: 0 }
      this.#events.set(topic, events)
    }
    return events
  }

  /** Removes the rows of the oldest that are over. */
  #outdated() {
    const over = [...this.#jobs.values()].filter(isOver).toSorted((one, other) => one.number - other.number)
    const outdated = over.slice(0, Math.max(0, over.length - JOBS_MAX + 1))
    for (const { number } of outdated) this.#jobs.delete(number)
    return outdated.map(({ number }) => withoutJob(number))
  }
}
