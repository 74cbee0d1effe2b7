import { assert } from '../../base/assert.ts'
import type { Assignment } from '../assignment.ts'
import { Deadlines } from '../../base/deadlines.ts'
import type { AssignableMember, Assignor } from './assignor.ts'

/**
 * How many members may be looked at while loads are evened out, so that no group holds up the broker. With members that
 * want the same topics, or a few hundred that want different ones, it is never reached; beyond, the loads stay a little
 * less even than they could be.
 */
const VISITS_MAX = 2_000_000

/**
 * Gives all members as many partitions as any other, as far as they want the right topics, and leaves as much as possible
 * where it was.
 *
 * First everybody keeps what they had. Then each free partition goes to the one with the least, topics that few want
 * before topics that many want. Then loads are evened out: as long as a member has at least two partitions more than
 * another one and could pass one on to it, maybe by way of others who pass one on in turn, that is done. When there is no
 * such way left, no other distribution is more even (Harvey et al. 2006, "Semi-matchings for bipartite graphs").
 */
export const assignUniformly: Assignor = (members, partitionCounts) => {
  const table = new Table(members, partitionCounts)
  table.keepEarlier()
  table.giveFree()
  table.evenOut()
  return table.toAssignments()
}

class Holder {
  readonly member: AssignableMember
  readonly partitions = new Map<string, Set<number>>()
  load = 0
  /** Whether it is known that nothing can be passed on from here to any avail. */
  isSettled = false

  constructor(member: AssignableMember) {
    this.member = member
  }

  take(topic: string, partition: number): void {
    const partitions = this.partitions.get(topic)
    if (partitions === undefined) this.partitions.set(topic, new Set([partition]))
    else partitions.add(partition)
    this.load++
  }

  give(topic: string, partition: number): void {
    const partitions = this.partitions.get(topic)
    assert(partitions?.delete(partition) === true, 'a holder gives what it has')
    if (partitions.size === 0) this.partitions.delete(topic)
    this.load--
  }
}

/** How a search came to a holder: from another one, which can pass on a partition of this topic. */
interface Way {
  readonly from: Holder
  readonly topic: string
}

class Table {
  readonly #holders: readonly Holder[]
  /** Who wants a topic. */
  readonly #takers = new Map<string, Holder[]>()
  /** What nobody has yet, by topic. */
  readonly #free = new Map<string, Set<number>>()
  #visits = 0

  constructor(members: readonly AssignableMember[], partitionCounts: ReadonlyMap<string, number>) {
    this.#holders = members.map((member) => new Holder(member))
    for (const holder of this.#holders) {
      for (const topic of holder.member.topics) {
        const takers = this.#takers.get(topic)
        if (takers === undefined) this.#takers.set(topic, [holder])
        else takers.push(holder)
      }
    }
    for (const topic of this.#takers.keys()) {
      this.#free.set(topic, new Set(Array(partitionCounts.get(topic) ?? 0).keys()))
    }
  }

  keepEarlier(): void {
    for (const holder of this.#holders) {
      for (const [topic, partitions] of holder.member.target) {
        if (!holder.member.topics.has(topic)) continue
        for (const partition of partitions) {
          if (this.#free.get(topic)?.delete(partition) === true) holder.take(topic, partition)
        }
      }
    }
  }

  giveFree(): void {
    const topics = [...this.#takers].toSorted(([, left], [, right]) => left.length - right.length)
    for (const [topic, takers] of topics) {
      const free = this.#free.get(topic)
      if (free === undefined || free.size === 0) continue
      const queue = takers.toSorted((left, right) => left.load - right.load)
      // The first `level` ones of the queue have equally few. Each round gives one to each of them, then more have as few.
      let level = 0
      let next = 0
      for (const partition of free) {
        if (next === level) next = 0
        if (next === 0) while (level < queue.length && queue[level].load <= queue[0].load) level++
        queue[next++].take(topic, partition)
      }
      free.clear()
    }
  }

  evenOut(): void {
    const heaviest = new Deadlines<Holder>()
    for (const holder of this.#holders) heaviest.set(holder, -holder.load)
    let leastLoad = this.#leastLoad()
    for (let next = heaviest.first; next !== undefined && this.#visits < VISITS_MAX; next = heaviest.first) {
      const holder = next.thing
      if (leastLoad > holder.load - 2) return
      const receiver = holder.isSettled ? undefined : this.#passOn(holder, leastLoad)
      if (receiver === undefined) {
        heaviest.delete(holder)
        continue
      }
      heaviest.set(holder, -holder.load)
      if (heaviest.get(receiver) !== undefined) heaviest.set(receiver, -receiver.load)
      leastLoad = this.#leastLoad()
    }
  }

  toAssignments(): ReadonlyMap<string, Assignment> {
    return new Map(this.#holders.map(({ member, partitions }) => [member.id, partitions]))
  }

  /**
   * Passes one partition from `holder` on to the one with the least among those that have at least two less, and returns
   * that one. If there is nobody, the holder is settled: whatever is passed on elsewhere later only comes closer to the
   * middle. So is everyone that a partition could come to from here, and has no more.
   */
  #passOn(holder: Holder, leastLoad: number): Holder | undefined {
    const ways = new Map<Holder, Way | undefined>([[holder, undefined]])
    const end = this.#search(ways, holder, leastLoad)
    if (end !== undefined) this.#moveAlong(ways, end)
    else for (const reached of ways.keys()) if (reached.load <= holder.load) reached.isSettled = true
    return end
  }

  #leastLoad(): number {
    return this.#holders.reduce((least, { load }) => Math.min(least, load), Infinity)
  }

  #search(ways: Map<Holder, Way | undefined>, start: Holder, leastLoad: number): Holder | undefined {
    const topicsSeen = new Set<string>()
    const queue = [start]
    let least: Holder | undefined
    for (const from of queue) {
      for (const topic of from.partitions.keys()) {
        if (topicsSeen.has(topic)) continue
        topicsSeen.add(topic)
        for (const taker of this.#takers.get(topic) ?? []) {
          this.#visits++
          if (ways.has(taker)) continue
          ways.set(taker, { from, topic })
          queue.push(taker)
          if (taker.load < (least?.load ?? start.load - 1)) least = taker
        }
        if (least?.load === leastLoad) return least
      }
    }
    return least
  }

  #moveAlong(ways: ReadonlyMap<Holder, Way | undefined>, end: Holder) {
    let to = end
    for (let way = ways.get(to); way !== undefined; way = ways.get(to)) {
      const partition = choosePartition(way, to)
      way.from.give(way.topic, partition)
      to.take(way.topic, partition)
      to = way.from
    }
  }
}

/** The best to move is what the receiver had before, or what the giver did not have. */
function choosePartition({ from, topic }: Way, to: Holder): number {
  const partitions = [...(from.partitions.get(topic) ?? [])]
  const wasTheirs = partitions.find((partition) => to.member.target.get(topic)?.has(partition) === true)
  const isNew = partitions.find((partition) => from.member.target.get(topic)?.has(partition) !== true)
  const chosen = wasTheirs ?? isNew ?? partitions.at(-1)
  assert(chosen !== undefined, 'the way leads over a topic of which there is a partition')
  return chosen
}
