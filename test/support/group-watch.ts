import type { ExpectStatic } from 'vitest'

/** How late the words of one process may come after those of another: they go through pipes. */
const JITTER_MS = 400
/** How long a client may hand out what it had fetched before it gave the partition away, on a busy machine. */
const HANDED_OUT_LATER_MS = 2000
/** Without a pause of so long, records flow: agents say what they have read every 300 ms. */
const FLOW_MS = 1000
/** For a busy machine; how long a pause may be is checked elsewhere. */
const FLOWS_WITHIN_MS = 20_000

interface Ownership {
  readonly member: string
  readonly fromMs: number
  toMs: number
}

interface SeenRecord {
  readonly member: string
  readonly offset: number
  readonly atMs: number
}

/**
 * Puts together what the members of a group say: who had which partition when, and which records came. Members are told
 * apart by names of the test's own, partitions by their numbers: there is one topic.
 */
export class GroupWatch {
  readonly #ownerships: Ownership[][]
  readonly #records: SeenRecord[][]

  constructor(partitionCount: number) {
    this.#ownerships = Array.from({ length: partitionCount }, () => [])
    this.#records = Array.from({ length: partitionCount }, () => [])
  }

  /** A member has got partitions, in addition to those that it has. */
  assigned(member: string, partitions: readonly number[]): void {
    for (const partition of partitions) {
      if (this.#current(member, partition) !== undefined) continue
      this.#ownerships[partition].push({ member, fromMs: performance.now(), toMs: Infinity })
    }
  }

  /** A member has given partitions away. */
  revoked(member: string, partitions: readonly number[]): void {
    for (const partition of partitions) {
      const current = this.#current(member, partition)
      if (current !== undefined) current.toMs = performance.now()
    }
  }

  /** A member is no more. */
  gone(member: string): void {
    this.revoked(member, [...this.#ownerships.keys()])
  }

  /** A member has read a record. */
  saw(member: string, partition: number, offset: number): void {
    this.#records[partition].push({ member, offset, atMs: performance.now() })
  }

  /** How many partitions each member has now, by name; `unowned` and `shared` for partitions without one owner. */
  count(): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const ownerships of this.#ownerships) {
      const owners = ownerships.filter(({ toMs }) => toMs === Infinity)
      const name = owners.length === 1 ? owners[0].member : owners.length === 0 ? 'unowned' : 'shared'
      counts[name] = (counts[name] ?? 0) + 1
    }
    return counts
  }

  /** The partitions that a member has now. */
  partitionsOf(member: string): number[] {
    return [...this.#ownerships.keys()].filter((partition) => this.#current(member, partition) !== undefined)
  }

  /** How often a member has got a partition or given one away. */
  changesOf(member: string): number {
    const all = this.#ownerships.flat().filter((one) => one.member === member)
    return all.length + all.filter(({ toMs }) => toMs !== Infinity).length
  }

  /** Each partition of which records have not come: the first of them, who has read those around it, and who had it. */
  describeMissing(recordsPerPartition: number): string[] {
    return this.#records.flatMap((records, partition) => {
      const seen = new Set(records.map(({ offset }) => offset))
      const missing = Array.from({ length: recordsPerPartition }, (_, offset) => offset).find((each) => !seen.has(each))
      if (missing === undefined) return []
      const around = records.filter(({ offset }) => Math.abs(offset - missing) < 3)
      const owners = this.#ownerships[partition]
      return [`partition ${partition}, offset ${missing}: ${JSON.stringify({ around, owners })}`]
    })
  }

  /** Waits until records come from every partition, one after the other. */
  async flows(expect: ExpectStatic): Promise<void> {
    const since = () => performance.now() - FLOW_MS
    await expect.poll(() => this.longestPauseMs(since()), { timeout: FLOWS_WITHIN_MS }).toBeLessThan(FLOW_MS)
  }

  /** How many different records have come. */
  get recordCount(): number {
    return this.#records.reduce((sum, records) => sum + new Set(records.map(({ offset }) => offset)).size, 0)
  }

  /** The longest time after `sinceMs` in which nothing new came from a partition, into which records are written steadily. */
  longestPauseMs(sinceMs: number): number {
    const untilMs = performance.now()
    const pauses = this.#records.map((records) => {
      let [longest, lastMs, next] = [0, sinceMs, 0]
      for (const { offset, atMs } of records) {
        const isNew = offset >= next
        next = Math.max(next, offset + 1)
        if (!isNew || atMs < sinceMs) continue
        longest = Math.max(longest, atMs - lastMs)
        lastMs = atMs
      }
      return Math.max(longest, untilMs - lastMs)
    })
    return Math.max(...pauses)
  }

  /** What is wrong: partitions with two owners at a time, records read by somebody else, records that never came. */
  findFaults(recordsPerPartition: number): string[] {
    return this.#ownerships.flatMap((ownerships, partition) => [
      ...findOverlaps(ownerships).map((fault) => `partition ${partition}: ${fault}`),
      ...this.#findStrangers(partition),
      ...this.#findMissing(partition, recordsPerPartition),
    ])
  }

  #findStrangers(partition: number): string[] {
    const isOwner = ({ member, atMs }: SeenRecord) =>
      this.#ownerships[partition].some(
        (one) => one.member === member && one.fromMs - JITTER_MS <= atMs && atMs <= one.toMs + HANDED_OUT_LATER_MS,
      )
    const strangers = this.#records[partition].filter((record) => !isOwner(record))
    return strangers
      .slice(0, 3)
      .map(({ member, offset }) => `partition ${partition}: ${member} read ${offset} without having the partition`)
  }

  #findMissing(partition: number, recordCount: number): string[] {
    const seen = new Set(this.#records[partition].map(({ offset }) => offset))
    const missing = Array.from({ length: recordCount }, (_, offset) => offset).filter((offset) => !seen.has(offset))
    return missing.length === 0 ? [] : [`partition ${partition}: nobody read ${missing.slice(0, 10).join(', ')}`]
  }

  #current(member: string, partition: number): Ownership | undefined {
    return this.#ownerships[partition].find((one) => one.member === member && one.toMs === Infinity)
  }
}

function findOverlaps(ownerships: readonly Ownership[]): string[] {
  return ownerships.flatMap((one, index) =>
    ownerships.slice(index + 1).flatMap((other) => {
      if (one.member === other.member) return []
      const overlapMs = Math.min(one.toMs, other.toMs) - Math.max(one.fromMs, other.fromMs)
      return overlapMs > JITTER_MS ? [`${one.member} and ${other.member} had it for ${Math.round(overlapMs)} ms`] : []
    }),
  )
}
