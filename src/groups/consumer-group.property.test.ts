import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { ConsumerParty } from '../../test/support/consumer-party.ts'
import type { PlainAnswer, PlainAssignment } from '../../test/support/consumer-party.ts'
import { checkProperty } from '../../test/support/property.ts'
import { toPlain } from './assignment.ts'

const TOPICS = ['t', 'u', 'v']
const SLOTS = 5

function listed(assignment: PlainAssignment): string[] {
  return Object.entries(assignment).flatMap(([topic, partitions]) => partitions.map((each) => `${topic}/${each}`))
}

function only(assignment: PlainAssignment, isMeant: (name: string) => boolean): PlainAssignment {
  return Object.fromEntries(
    Object.entries(assignment)
      .map(([topic, partitions]) => [topic, partitions.filter((each) => isMeant(`${topic}/${each}`))] as const)
      .filter(([, partitions]) => partitions.length > 0),
  )
}

let memberCount = 0

/** A consumer that does what consumers do, one heartbeat at a time. */
class Consumer {
  readonly #party: ConsumerParty
  readonly memberId = `m${++memberCount}`
  readonly instanceId: string | undefined
  isStopped = false
  /** What it is reading at this moment. */
  owned: PlainAssignment = {}
  subscription: { subscribedTopics?: string[]; subscribedRegex?: string } = { subscribedTopics: TOPICS }
  #epoch = 0
  #assigned: PlainAssignment = {}
  #saysEverything = true
  #said = ''

  constructor(party: ConsumerParty, instanceId: string | undefined) {
    this.#party = party
    this.instanceId = instanceId
  }

  /** Sends a heartbeat. When the answer is lost, the next one says everything. */
  step(isAnswerLost = false): void {
    if (this.isStopped) return
    const says = JSON.stringify(this.owned)
    const answer = this.#party.send({
      memberId: this.memberId,
      instanceId: this.instanceId,
      memberEpoch: this.#epoch,
      ...(this.#saysEverything && { rebalanceTimeoutMs: 20_000, ...this.subscription }),
      owned: this.#saysEverything || says !== this.#said ? this.owned : undefined,
    })
    this.#said = says
    this.#saysEverything = isAnswerLost
    if (!isAnswerLost) this.#take(answer)
  }

  /** Gives away what it may not have any more, and then takes what it may. */
  settle(): void {
    if (!this.isStopped) this.owned = this.#assigned
  }

  subscribe(subscription: Consumer['subscription']): void {
    this.subscription = { subscribedTopics: [], subscribedRegex: '', ...subscription }
    this.#saysEverything = true
  }

  stop(epoch?: number): void {
    if (!this.isStopped && epoch !== undefined && this.#epoch > 0) {
      this.#party.send({ memberId: this.memberId, instanceId: this.instanceId, memberEpoch: epoch })
    }
    this.isStopped = true
    this.owned = {}
  }

  /** A topic is gone, and with it whatever was read of it. */
  forget(topic: string): void {
    this.owned = only(this.owned, (name) => !name.startsWith(`${topic}/`))
    this.#assigned = only(this.#assigned, (name) => !name.startsWith(`${topic}/`))
    this.#saysEverything = true
  }

  #take({ error, epoch, assigned }: PlainAnswer) {
    if (error === undefined) {
      this.#epoch = epoch ?? 0
      if (assigned === undefined) return
      this.#assigned = assigned
      // What it has not got yet it takes when it has given away everything else.
      const may = new Set(listed(assigned))
      if (listed(this.owned).every((name) => may.has(name))) this.owned = assigned
      return
    }
    expect(['UNKNOWN_MEMBER_ID', 'FENCED_MEMBER_EPOCH', 'UNRELEASED_INSTANCE_ID']).toContain(error)
    this.owned = {}
    this.#assigned = {}
    this.#epoch = 0
    this.#saysEverything = true
  }
}

const action = fc.record({
  slot: fc.nat(SLOTS - 1),
  what: fc.oneof(
    { weight: 6, arbitrary: fc.constant('all step' as const) },
    { weight: 16, arbitrary: fc.constant('step' as const) },
    { weight: 8, arbitrary: fc.constant('settle' as const) },
    fc.constantFrom('start', 'start', 'crash', 'leave', 'leave for a while', 'lose the answer', 'subscribe', 'topic'),
    { weight: 1, arbitrary: fc.constant('restart the broker' as const) },
  ),
  passMs: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, fc.nat(1_000), fc.nat(25_000)),
  topic: fc.constantFrom(...TOPICS),
  partitions: fc.nat(6),
  subscription: fc.oneof(
    fc.record({ subscribedTopics: fc.subarray(TOPICS) }),
    fc.record({ subscribedRegex: fc.constantFrom('[tu]', '.*', 'v|x') }),
  ),
})

test('no partition is read by two members at a time, all come to rest, and nobody waits for ever', () => {
  checkProperty(
    fc.property(fc.array(action, { maxLength: 120, size: 'max' }), (actions) => {
      const party = new ConsumerParty({ t: 5, u: 2 })
      // The first two places belong to static members.
      const make = (slot: number) => new Consumer(party, slot < 2 ? `instance-${slot}` : undefined)
      const consumers = Array.from(Array(SLOTS).keys(), make)
      for (const consumer of consumers.slice(1, 4)) consumer.isStopped = true

      // Whoever was fenced and does not know it yet is the price of fencing; the group knows better.
      const expectOneReader = () => {
        const known = new Set(party.group.describe().members.map(({ memberId }) => memberId))
        const read = consumers.filter(({ memberId }) => known.has(memberId)).flatMap(({ owned }) => listed(owned))
        expect(new Set(read).size, read.toString()).toBe(read.length)
      }

      for (const { slot, what, passMs, topic, partitions, subscription } of actions) {
        const consumer = consumers[slot]
        if (what === 'all step') for (const each of consumers) each.step()
        else if (what === 'step') consumer.step()
        else if (what === 'settle') consumer.settle()
        else if (what === 'lose the answer') consumer.step(true)
        else if (what === 'subscribe') consumer.subscribe(subscription)
        else if (what === 'crash') consumer.stop()
        else if (what === 'leave') consumer.stop(-1)
        else if (what === 'leave for a while') consumer.stop(consumer.instanceId === undefined ? -1 : -2)
        else if (what === 'start') {
          consumer.stop()
          consumers[slot] = make(slot)
        } else if (what === 'restart the broker') party.restart()
        else {
          const before = party.topics.get(topic) ?? 0
          if (partitions < before) for (const each of consumers) each.forget(topic)
          if (partitions < before) party.setTopic(topic, undefined)
          if (partitions > 0) party.setTopic(topic, partitions)
        }
        expectOneReader()
        party.pass(passMs)
        expectOneReader()
      }

      // From now on nothing is wrong any more.
      for (let round = 0; round < 30; round++) {
        for (const consumer of consumers) {
          consumer.step()
          consumer.settle()
          expectOneReader()
        }
        party.pass(5_000)
      }
      const alive = consumers.filter(({ isStopped }) => !isStopped)
      const { state, members } = party.group.describe()
      expect(state).toBe(alive.length === 0 ? 'Empty' : 'Stable')
      const seen = Object.fromEntries(members.map(({ memberId, assignment }) => [memberId, toPlain(assignment)]))
      expect(seen).toEqual(Object.fromEntries(alive.map(({ memberId, owned }) => [memberId, owned])))
      const wanted = [...party.topics].filter(([topic]) =>
        alive.some(({ subscription: { subscribedTopics = [], subscribedRegex = '' } }) => {
          return subscribedTopics.includes(topic) || new RegExp(`^(${subscribedRegex})$`).test(topic)
        }),
      )
      const all = wanted.flatMap(([topic, count]) => Array.from(Array(count).keys(), (each) => `${topic}/${each}`))
      expect(alive.flatMap(({ owned }) => listed(owned)).toSorted()).toEqual(all.toSorted())
    }),
    100,
  )
})
