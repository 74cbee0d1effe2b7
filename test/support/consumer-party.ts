import { fromPlain, toPlain } from '../../src/groups/assignment.ts'
import { ConsumerGroup } from '../../src/groups/consumer-group.ts'
import type { ConsumerGroupRow, ConsumerMemberRow } from '../../src/groups/consumer-member.ts'
import type { ConsumerEvent, ConsumerHeartbeat } from '../../src/groups/consumer-messages.ts'
import { GROUP_DEFAULTS } from '../../src/groups/group-options.ts'
import type { GroupOptions } from '../../src/groups/group-options.ts'
import { isRefusal } from '../../src/groups/outcome.ts'
import { GroupParty } from './group-party.ts'

export type PlainAssignment = Readonly<Record<string, readonly number[]>>

/** An answer with partitions as plain data. */
export interface PlainAnswer {
  readonly error?: string
  readonly memberId?: string
  readonly epoch?: number
  /** Undefined when the answer has no assignment. */
  readonly assigned?: PlainAssignment | undefined
}

/** A consumer group alone, with a clock that is turned by hand, topics of its own, and a store that keeps rows as JSON. */
export class ConsumerParty extends GroupParty<ConsumerEvent> {
  group: ConsumerGroup
  readonly topics = new Map<string, number>()
  readonly #options: GroupOptions
  #ids = 0

  constructor(topics: Readonly<Record<string, number>>, options: Partial<GroupOptions> = {}) {
    super()
    this.#options = { ...GROUP_DEFAULTS, ...options }
    for (const [topic, partitions] of Object.entries(topics)) this.topics.set(topic, partitions)
    this.group = new ConsumerGroup(this.#parts())
  }

  #parts() {
    const view = { partitionCount: (topic: string) => this.topics.get(topic), names: () => this.topics.keys() }
    return { group: 'g', options: this.#options, topics: view, createId: () => `made-${++this.#ids}` }
  }

  /** The broker dies and starts again. Topics may have changed meanwhile. */
  restart(): void {
    const row = this.rows.get(undefined)
    const members = this.storedMembers<ConsumerMemberRow>()
    const parts = this.#parts()
    this.group =
      row === undefined
        ? new ConsumerGroup(parts)
        : ConsumerGroup.restore(parts, JSON.parse(row) as ConsumerGroupRow, members, this.now)
    this.run({ kind: 'topics' })
  }

  /** Makes, grows or deletes a topic. */
  setTopic(topic: string, partitions: number | undefined): void {
    if (partitions === undefined) this.topics.delete(topic)
    else this.topics.set(topic, partitions)
    this.run({ kind: 'topic', topic })
  }

  send(
    request: Partial<Omit<ConsumerHeartbeat, 'owned'>> & { memberId: string; owned?: PlainAssignment | undefined },
  ): PlainAnswer {
    const { owned, ...rest } = request
    const heartbeat: ConsumerHeartbeat = {
      memberEpoch: 0,
      clientId: 'c',
      clientHost: 'h',
      ...rest,
      owned: owned === undefined ? undefined : fromPlain(owned),
    }
    let plain: PlainAnswer | undefined
    this.run({
      kind: 'heartbeat',
      request: heartbeat,
      reply: (answer) => {
        if (plain !== undefined) throw new Error('answered twice')
        if (isRefusal(answer)) plain = { error: answer.error }
        else {
          const { memberId, memberEpoch, assignment } = answer
          plain = { memberId, epoch: memberEpoch, assigned: assignment && toPlain(assignment) }
        }
      },
    })
    if (plain === undefined) throw new Error('not answered')
    return plain
  }

  /** What a member says to join. */
  join(memberId: string, more: Partial<Parameters<ConsumerParty['send']>[0]> = {}): PlainAnswer {
    const subscribed = more.subscribedRegex === undefined ? { subscribedTopics: ['t'] } : {}
    return this.send({ memberId, memberEpoch: 0, rebalanceTimeoutMs: 30_000, owned: {}, ...subscribed, ...more })
  }
}
