import type { Clock, Timer } from '../../base/clock.ts'
import type { Logger } from '../../base/logger.ts'
import type { PartitionLog } from '../../log/log-engine.ts'
import type { Store } from '../../store/store.ts'
import type { BatchIntake } from '../batch-intake.ts'
import type { Tracer } from '../../tracing/tracer.ts'
import type { TopicSchemas } from '../topic-schemas.ts'
import type { Topic, Topics } from '../topics.ts'
import type { DeadLetter } from './letter.ts'
import { letterId } from './letter.ts'
import type { LetterStates, SettledOffsets } from './letter-states.ts'
import type { PlannedRecord, RedriveFault } from './plan-redrive.ts'
import { planRedrive, redriveOf, repairValue } from './plan-redrive.ts'
import { readLetters } from './read-letters.ts'
import type { RedriveIntent, RedriveJob, RedriveProblem } from './redrive-job.ts'
import { isOver, jobRow } from './redrive-job.ts'
import type { RedriveEvents } from './redrives.ts'
import { findRedriven, sendRedriven, whenSettled } from './send-redriven.ts'

/** What one run works with. */
export interface RedriveRunParts {
  readonly store: Store
  readonly clock: Clock
  readonly logger: Logger
  readonly intake: BatchIntake
  readonly schemas: TopicSchemas
  readonly topics: Topics
  readonly states: LetterStates
  readonly events: RedriveEvents
  readonly findLog: (topic: string, partition: number) => PartitionLog | undefined
  /** Undefined as long as tracing is off. */
  readonly tracer?: Tracer | undefined
  /** Told of each change of the job that is durable. */
  readonly changed: (job: RedriveJob) => void
  /** Told once, when nothing more will be done. */
  readonly ended: () => void
}

/** Dead letters that are sent together: two or three syncs of the disk for so many. */
const LETTERS_AT_ONCE = 500
const BYTES_AT_ONCE = 4 * 1024 * 1024
/** With a rate, so many times a second a part is sent. */
const PARTS_PER_SECOND = 10
const RETRY_MS = 1_000
const PROBLEMS_MAX = 20
/** Repairing and checking go on so long before others have a turn of the event loop. */
const TURN_MS = 10

/**
 * Carries out one redrive, part by part.
 *
 * That each record is sent once, whatever happens in between, comes of the order of things. For each part:
 *
 *   1. An intent is stored: which dead letters, and where the logs that they go to end.
 *   2. The records are appended. Each says in a header which dead letter it was.
 *   3. When they are durable, the dead letters become redriven and the intent goes, in one commit.
 *
 * A start that finds an intent reads those logs from where they ended then, and settles what it finds there; the others are
 * still open, and are looked at again. Since the header could be anybody's, key and value have to be the same too.
 */
export class RedriveRun {
  /** As it is stored, or will be. */
  job: RedriveJob
  /** Resolves when the job is stored. */
  readonly isStored: Promise<void>
  isStopped = false
  readonly #parts: RedriveRunParts
  #isCancelled = false
  #running: Promise<void> = Promise.resolve()
  #wake: () => void = () => {}
  #timer: Timer | undefined
  #startedAtMs = 0
  #doneSinceStart = 0
  #lastError: string | undefined

  constructor(job: RedriveJob, isStored: Promise<void>, parts: RedriveRunParts) {
    this.job = job
    this.isStored = isStored
    this.#parts = parts
    this.#isCancelled = job.state === 'cancelling'
  }

  /** Begins, or goes on. */
  start(): void {
    this.#startedAtMs = this.#parts.clock.monotonic()
    this.#running = this.#runAll().finally(() => this.#parts.ended())
  }

  /** Stops at the end of the part that is under way, to go on at the next start. */
  async stop(): Promise<void> {
    this.isStopped = true
    this.#wake()
    await this.#running
  }

  /**
   * Lets it end here. Resolves when it has, or when that is stored because it cannot just now.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR
   */
  async cancel(): Promise<void> {
    this.#isCancelled = true
    this.#wake()
    let timer: Timer | undefined
    const waited = new Promise<void>((resolve) => {
      timer = this.#parts.clock.setTimer(RETRY_MS, resolve)
    })
    await Promise.race([this.#running, waited])
    timer?.cancel()
    if (!isOver(this.job)) await this.#store({ state: 'cancelling' })
  }

  async #runAll(): Promise<void> {
    const { logger } = this.#parts
    try {
      await this.isStored
    } catch {
      // Whoever asked for it is told.
      return
    }
    while (!isOver(this.job) && this.#isCurrent()) {
      try {
        if (this.job.intent !== undefined) await this.#resolveIntent(this.job.intent)
        if (this.#isCancelled) await this.#end('cancelled')
        else await this.#doPart()
        this.#lastError = undefined
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error)
        if (message !== this.#lastError) {
          logger.warn(
            { topic: this.job.topic, redrive: this.job.number, error },
            'cannot go on with a redrive just now',
          )
        }
        this.#lastError = message
        await this.#sleep(RETRY_MS)
        continue
      }
      if (this.job.rate !== undefined) await this.#pace(this.job.rate)
    }
  }

  /** Whether there is something to be done, and a topic to do it to. */
  #isCurrent(): boolean {
    return !this.isStopped && this.#topic() !== undefined
  }

  #topic(): Topic | undefined {
    const topic = this.#parts.topics.get(this.job.topic)
    return topic?.id === this.job.topicId ? topic : undefined
  }

  async #doPart(): Promise<void> {
    const { kind, ends, partition, offset, limit, counts } = this.job
    if (partition >= ends.length || (limit !== undefined && counts.done >= limit)) return this.#end('done')
    const { letters, next } = await this.#read(partition, offset, ends[partition])
    const place = next >= ends[partition] ? { partition: partition + 1, offset: 0 } : { partition, offset: next }
    if (kind === 'discard') await this.#discard(letters, place)
    else await this.#send(letters, place)
  }

  async #read(partition: number, offset: number, end: number) {
    const log = this.#parts.findLog(this.job.topic, partition)
    if (log === undefined) return { letters: [], next: end }
    const { rate, limit, counts, filter } = this.job
    const byRate = rate === undefined ? LETTERS_AT_ONCE : Math.max(1, Math.ceil(rate / PARTS_PER_SECOND))
    const max = Math.min(LETTERS_AT_ONCE, byRate, limit === undefined ? LETTERS_AT_ONCE : limit - counts.done)
    const part = await readLetters(log, this.#parts.states, { from: offset, end, filter, max })
    let bytes = 0
    const cut = part.letters.findIndex((letter) => {
      bytes += (letter.key?.length ?? 0) + (letter.value?.length ?? 0)
      return bytes > BYTES_AT_ONCE
    })
    if (cut <= 0) return part
    return { letters: part.letters.slice(0, cut), next: part.letters[cut].offset }
  }

  async #discard(letters: readonly DeadLetter[], place: Pick<RedriveJob, 'partition' | 'offset'>): Promise<void> {
    const { events } = this.#parts
    await this.#settle('discarded', letters, { ...place, counts: this.#counted(letters.length, []) })
    events.discarded += letters.length
  }

  async #send(letters: readonly DeadLetter[], place: Pick<RedriveJob, 'partition' | 'offset'>): Promise<void> {
    const faults: { letter: DeadLetter; fault: RedriveFault }[] = []
    const planned = await this.#plan(letters, faults)
    const byLog = groupByLog(planned)
    let sent: PlannedRecord[] = []
    if (planned.length > 0) {
      await this.#store({ intent: this.#intentFor(planned, byLog) })
      if (!this.#isCurrent() || this.#isCancelled || !this.#isStillRight(planned)) return
      sent = await this.#append(byLog, faults)
    }
    const changes = {
      ...place,
      intent: undefined,
      counts: this.#counted(sent.length, faults),
      problems: this.#problemsWith(faults),
    }
    await this.#settle(
      'redriven',
      sent.map(({ letter }) => letter),
      changes,
    )
    this.#doneSinceStart += sent.length
    const { events } = this.#parts
    events.ok += sent.length
    for (const { fault } of faults) {
      if (fault.kind === 'rejected') events.rejectedAgain++
      else events.failed++
    }
  }

  async #plan(letters: readonly DeadLetter[], faults: { letter: DeadLetter; fault: RedriveFault }[]) {
    const { clock } = this.#parts
    const planned: PlannedRecord[] = []
    let turnBegan = clock.monotonic()
    for (const letter of letters) {
      const plan = planRedrive(letter, this.job.order, this.#parts)
      if (plan.kind === 'send') planned.push(plan)
      else faults.push({ letter, fault: plan })
      if (clock.monotonic() - turnBegan < TURN_MS) continue
      await new Promise((nextTurn) => setImmediate(nextTurn))
      turnBegan = clock.monotonic()
    }
    return planned
  }

  #intentFor(planned: readonly PlannedRecord[], byLog: ReadonlyMap<string, readonly PlannedRecord[]>): RedriveIntent {
    const points = [...byLog.values()].map(([{ topic, partition }]) => {
      return [topic, partition, this.#parts.findLog(topic, partition)?.logEndOffset ?? 0] as const
    })
    return { sends: planned.map(({ letter, topic, partition }) => [letterId(letter), topic, partition]), points }
  }

  /** Whether schemas and topics are as they were when it was planned. If not, the part is begun anew. */
  #isStillRight(planned: readonly PlannedRecord[]): boolean {
    const { schemas, findLog } = this.#parts
    return planned.every(({ topic, partition, schema }) => {
      return schemas.get(topic) === schema && findLog(topic, partition) !== undefined
    })
  }

  async #append(
    byLog: ReadonlyMap<string, readonly PlannedRecord[]>,
    faults: { letter: DeadLetter; fault: RedriveFault }[],
  ): Promise<PlannedRecord[]> {
    const { topics, findLog } = this.#parts
    const sent: PlannedRecord[] = []
    const stored: Promise<void>[] = []
    for (const records of byLog.values()) {
      const [{ topic, partition }] = records
      const log = findLog(topic, partition)
      const config = topics.get(topic)?.config
      if (log === undefined || config === undefined) continue
      const outcome = sendRedriven(records, log, config, this.#parts)
      sent.push(...outcome.sent)
      faults.push(...outcome.failed.map(({ record: { letter }, fault }) => ({ letter, fault })))
      stored.push(outcome.stored)
    }
    await whenSettled(stored)
    return sent
  }

  /** Settles what an intent had appended before the broker died, or before something failed. */
  async #resolveIntent({ sends, points }: RedriveIntent): Promise<void> {
    const { findLog, states } = this.#parts
    const found = new Map<string, { key: Buffer | null; value: Buffer | null }[]>()
    for (const [topic, partition, offset] of points) {
      const log = findLog(topic, partition)
      if (log === undefined) continue
      if (log.failure !== undefined) throw log.failure
      for (const { of, key, value } of await findRedriven(log, offset)) {
        found.set(of, [...(found.get(of) ?? []), { key, value }])
      }
    }
    const letters: DeadLetter[] = []
    for (let partition = 0; partition < this.job.ends.length; partition++) {
      const ids = sends.map(([id]) => id).filter((id) => id.startsWith(`${partition}@`))
      const log = findLog(this.job.topic, partition)
      const end = this.job.ends[partition]
      let from = 0
      while (log !== undefined && ids.length > 0 && from < end) {
        const part = await readLetters(log, states, { from, end, filter: { ids, state: 'open' }, max: ids.length })
        letters.push(...part.letters)
        from = part.next
      }
    }
    const sent = letters.filter((letter) => {
      const repaired = repairValue(letter.value, this.job.order.repair)
      if (!('value' in repaired)) return false
      const claims = found.get(redriveOf(letter)) ?? []
      return claims.some(({ key, value }) => areSame(key, letter.key) && areSame(value, repaired.value))
    })
    await this.#settle('redriven', sent, { intent: undefined, counts: this.#counted(sent.length, []) })
    this.#parts.events.ok += sent.length
  }

  async #end(state: 'done' | 'cancelled'): Promise<void> {
    await this.#store({ state, intent: undefined, endedAtMs: this.#parts.clock.now() })
    const { number, kind, topic, by, counts } = this.job
    this.#parts.logger.info({ topic, redrive: number, by, ...counts }, `the ${kind} is ${state}`)
  }

  async #store(changes: Partial<RedriveJob>): Promise<void> {
    const job = { ...this.job, ...changes }
    await this.#parts.store.commit([jobRow(job)])
    this.#changed(job)
  }

  async #settle(state: 'redriven' | 'discarded', letters: readonly DeadLetter[], changes: Partial<RedriveJob>) {
    const job = { ...this.job, ...changes }
    const { topic, number } = this.job
    await this.#parts.states.settle(topic, state, number, byPartition(letters), [jobRow(job)])
    this.#changed(job)
  }

  #changed(job: RedriveJob): void {
    this.job = job
    this.#parts.changed(job)
  }

  #counted(done: number, faults: readonly { readonly fault: RedriveFault }[]): RedriveJob['counts'] {
    const counts = { ...this.job.counts, done: this.job.counts.done + done }
    for (const { fault } of faults) counts[fault.kind]++
    return counts
  }

  #problemsWith(faults: readonly { readonly letter: DeadLetter; readonly fault: RedriveFault }[]): RedriveProblem[] {
    const more = faults.map(({ letter, fault: { reason, pointer, message } }) => {
      return { id: letterId(letter), reason, pointer, message }
    })
    return [...this.job.problems, ...more].slice(0, PROBLEMS_MAX)
  }

  async #pace(rate: number): Promise<void> {
    const waitMs = this.#startedAtMs + (this.#doneSinceStart / rate) * 1000 - this.#parts.clock.monotonic()
    if (waitMs > 0 && !isOver(this.job)) await this.#sleep(waitMs)
  }

  /** Until then, or until something is wanted. */
  async #sleep(delayMs: number): Promise<void> {
    if (this.isStopped) return
    await new Promise<void>((resolve) => {
      this.#wake = resolve
      this.#timer = this.#parts.clock.setTimer(delayMs, resolve)
    })
    this.#timer?.cancel()
  }
}

function groupByLog(planned: readonly PlannedRecord[]): Map<string, PlannedRecord[]> {
  const groups = new Map<string, PlannedRecord[]>()
  for (const record of planned) {
    const name = `${record.topic}/${record.partition}`
    const group = groups.get(name)
    if (group === undefined) groups.set(name, [record])
    else group.push(record)
  }
  return groups
}

function byPartition(letters: readonly DeadLetter[]): SettledOffsets[] {
  const partitions = new Map<number, number[]>()
  for (const { partition, offset } of letters) {
    const offsets = partitions.get(partition)
    if (offsets === undefined) partitions.set(partition, [offset])
    else offsets.push(offset)
  }
  return [...partitions].map(([partition, offsets]) => ({
    partition,
    offsets: offsets.toSorted((one, other) => one - other),
  }))
}

function areSame(one: Buffer | null, other: Buffer | null): boolean {
  return one === null || other === null ? one === other : one.equals(other)
}
