import { hash } from 'node:crypto'

/** A record as it goes over the wire; key and value are base64. */
export interface WireRecord {
  readonly key: string | null
  readonly value: string | null
  readonly ts: number
}

/** What one PRODUCE sent into one partition: it is in the log as a whole or not at all. */
export interface SentBatch {
  readonly topic: string
  /** One connection of one life of the broker; what it sends has numbers that only grow. */
  readonly producer: number
  readonly firstSequence: number
  readonly digests: readonly string[]
  /** `unknown` until there is an answer, and for ever if none comes. */
  outcome: 'unknown' | 'stored' | 'refused'
}

/** One partition as a reader found it, from log start to high watermark. */
export interface ReadLog {
  readonly topic: string
  readonly partition: number
  readonly logStartOffset: number
  readonly highWatermark: number
  readonly records: readonly { readonly offset: number; readonly digest: string }[]
}

/** The next offset that a group wants of a partition. */
export interface GroupPosition {
  readonly group: string
  readonly topic: string
  readonly partition: number
  readonly offset: number
}

/** What makes a record itself: two with the same digest have the same key, value and timestamp. */
export function digestOf({ key, value, ts }: WireRecord): string {
  return hash('sha1', `${key} ${value} ${ts}`, 'base64')
}

/**
 * What clients know of a broker from the outside: what they sent, what was acknowledged at which offset, what they were
 * shown. It knows nothing of the broker but the promises of docs/durability.md, and lists where they were broken.
 */
export class Ledger {
  /** Promises that were broken, in sentences. */
  readonly violations: string[] = []
  /** Messages of refusals, in the order in which they came. */
  readonly refusals: string[] = []
  acknowledgedRecords = 0
  acknowledgedCommits = 0
  /** Records without an answer that a restart has brought to light. */
  survivors = 0
  readonly #retained: ReadonlySet<string>
  readonly #sent = new Map<string, { readonly batch: SentBatch; readonly index: number }>()
  /** Of each partition: what is to be at which offset from now on. */
  readonly #places = new Map<string, Map<number, string>>()
  readonly #commits = new Map<string, { readonly sent: number[]; stored: number }>()

  /** `retained` are the topics whose oldest records may go. */
  constructor(retained: readonly string[] = []) {
    this.#retained = new Set(retained)
  }

  sending(batch: SentBatch): void {
    for (const [index, digest] of batch.digests.entries()) this.#sent.set(digest, { batch, index })
  }

  /** The broker has said where the records are, and promised that they stay there. */
  stored(batch: SentBatch, at: { readonly partition: number; readonly baseOffset: number }): void {
    batch.outcome = 'stored'
    this.acknowledgedRecords += batch.digests.length
    for (const [index, digest] of batch.digests.entries()) {
      this.shown(batch.topic, at.partition, at.baseOffset + index, digest)
    }
  }

  refused(batch: SentBatch, message: string): void {
    this.refusals.push(message)
    if (!isUnknown(message)) batch.outcome = 'refused'
  }

  /** Somebody has seen this record at this offset: nothing else may ever be there. */
  shown(topic: string, partition: number, offset: number, digest: string): void {
    const places = this.#placesOf(topic, partition)
    const before = places.get(offset)
    if (before !== undefined && before !== digest) this.#violated(topic, partition, offset, 'has two records')
    places.set(offset, digest)
  }

  committing(position: GroupPosition): void {
    this.#commitsOf(position).sent.push(position.offset)
  }

  committed(position: GroupPosition): void {
    const commits = this.#commitsOf(position)
    commits.stored = Math.max(commits.stored, commits.sent.lastIndexOf(position.offset))
    this.acknowledgedCommits++
  }

  /** Compares all partitions with what is known of them, and remembers what was seen. */
  checkLogs(logs: readonly ReadLog[]): void {
    const found = new Set<string>()
    for (const log of logs) {
      this.#checkDense(log)
      this.#checkPromises(log)
      this.#checkOrigin(log, found)
      for (const { offset, digest } of log.records) this.shown(log.topic, log.partition, offset, digest)
    }
  }

  /** A group stands where its last acknowledged commit put it, or where a later one without an answer did. */
  checkCommits(positions: readonly GroupPosition[]): void {
    const found = new Map(positions.map((position) => [nameOf(position), position.offset]))
    for (const [name, { sent, stored }] of this.#commits) {
      const offset = found.get(name)
      const index = offset === undefined ? -1 : sent.lastIndexOf(offset)
      if (offset !== undefined && index === -1) this.violations.push(`${name} is at ${offset}, which was never sent`)
      if (index < stored) this.violations.push(`${name} is at ${offset}, and ${sent[stored]} was acknowledged`)
      if (offset !== undefined) this.#commits.set(name, { sent: [offset], stored: 0 })
    }
  }

  #checkDense({ topic, partition, logStartOffset, highWatermark, records }: ReadLog): void {
    let expected = logStartOffset
    for (const { offset } of records) {
      if (offset !== expected) this.#violated(topic, partition, offset, `comes where ${expected} should`)
      expected = offset + 1
    }
    if (expected !== highWatermark) this.#violated(topic, partition, expected, `ends it, not ${highWatermark}`)
    if (logStartOffset > 0 && !this.#retained.has(topic)) {
      this.#violated(topic, partition, logStartOffset, 'begins it, though nothing is ever removed')
    }
  }

  #checkPromises({ topic, partition, logStartOffset, highWatermark, records }: ReadLog): void {
    const places = this.#placesOf(topic, partition)
    for (const [offset, digest] of places) {
      if (offset < logStartOffset) places.delete(offset)
      else if (offset >= highWatermark) this.#violated(topic, partition, offset, 'is lost')
      else if (records[offset - logStartOffset]?.digest !== digest) {
        this.#violated(topic, partition, offset, 'has other bytes than before')
      }
    }
  }

  #checkOrigin({ topic, partition, records }: ReadLog, found: Set<string>): void {
    const last = new Map<number, number>()
    const counts = new Map<SentBatch, number>()
    for (const { offset, digest } of records) {
      const sent = this.#sent.get(digest)
      if (sent === undefined) {
        this.#violated(topic, partition, offset, 'has a record that nobody sent')
        continue
      }
      const { batch, index } = sent
      const sequence = batch.firstSequence + index
      if (batch.topic !== topic) this.#violated(topic, partition, offset, `was sent to ${batch.topic}`)
      if (batch.outcome === 'refused') this.#violated(topic, partition, offset, 'was refused')
      if (found.has(digest)) this.#violated(topic, partition, offset, 'is there twice')
      else if (sequence <= (last.get(batch.producer) ?? -1)) {
        this.#violated(topic, partition, offset, 'is not in the order in which it was sent')
      }
      found.add(digest)
      last.set(batch.producer, sequence)
      counts.set(batch, (counts.get(batch) ?? 0) + 1)
    }
    for (const [batch, count] of counts) {
      const { producer, firstSequence, digests, outcome } = batch
      if (outcome === 'unknown') {
        this.survivors += count
        batch.outcome = 'stored'
      }
      if (count === digests.length) continue
      this.violations.push(
        `${topic}-${partition}: of ${producer}.${firstSequence} ${count} of ${digests.length} are there`,
      )
    }
  }

  #violated(topic: string, partition: number, offset: number, what: string): void {
    this.violations.push(`${topic}-${partition}: offset ${offset} ${what}`)
  }

  #placesOf(topic: string, partition: number): Map<number, string> {
    const name = `${topic}-${partition}`
    const places = this.#places.get(name) ?? new Map<number, string>()
    this.#places.set(name, places)
    return places
  }

  #commitsOf(position: GroupPosition) {
    const name = nameOf(position)
    const commits = this.#commits.get(name) ?? { sent: [], stored: -1 }
    this.#commits.set(name, commits)
    return commits
  }
}

/** Whether a refusal leaves open what became of the records. */
export function isUnknown(message: string): boolean {
  return message.includes('not known')
}

function nameOf({ group, topic, partition }: GroupPosition): string {
  return `${group} in ${topic}-${partition}`
}
