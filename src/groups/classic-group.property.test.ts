import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { ClassicParty } from '../../test/support/classic-party.ts'
import type { Pending } from '../../test/support/classic-party.ts'
import { checkProperty } from '../../test/support/property.ts'
import type { JoinAnswer, SyncAnswer } from './classic-messages.ts'
import { isRefusal } from './outcome.ts'

const PARTITIONS = 7
const SLOTS = 5

/** Who was given a partition in a generation: a static member under whatever id, or a member id. */
class Ledger {
  readonly #owners = new Map<string, string>()

  note(generation: number, partitions: readonly number[], owner: string) {
    for (const partition of partitions) {
      const key = `${generation}/${partition}`
      const other = this.#owners.get(key)
      expect(other ?? owner, `generation ${generation}, partition ${partition}`).toBe(owner)
      this.#owners.set(key, owner)
    }
  }
}

/** A consumer that does what consumers do, one step at a time. */
class Consumer {
  readonly #party: ClassicParty
  readonly #ledger: Ledger
  readonly instanceId: string | undefined
  isStopped = false
  assigned: readonly number[] | undefined
  generation = -1
  metadata = ''
  #memberId = ''
  #join: Pending<JoinAnswer> | undefined
  #sync: Pending<SyncAnswer> | undefined

  constructor(party: ClassicParty, ledger: Ledger, instanceId: string | undefined) {
    this.#party = party
    this.#ledger = ledger
    this.instanceId = instanceId
  }

  get isWaiting(): boolean {
    return [this.#join, this.#sync].some((pending) => pending !== undefined && pending.answer === undefined)
  }

  step(): void {
    if (this.isStopped || this.isWaiting) return
    if (this.#join !== undefined) this.#goOnAfterJoin(this.#join)
    else if (this.#sync !== undefined) this.#goOnAfterSync(this.#sync)
    else if (this.assigned === undefined) this.join()
    else this.#heartbeat()
  }

  join(): void {
    if (this.isStopped) return
    this.assigned = undefined
    this.#sync = undefined
    this.#join = this.#party.join({
      memberId: this.#memberId,
      instanceId: this.instanceId,
      protocols: { range: this.metadata, other: '' },
      requiresMemberId: true,
      rebalanceTimeoutMs: 20_000,
    })
  }

  /** Does again what it waits for, as after a timeout. */
  retry(): void {
    if (this.#join?.answer === undefined && this.#join !== undefined) this.join()
  }

  leave(): void {
    if (this.#memberId !== '') this.#party.leave({ memberId: this.#memberId, instanceId: this.instanceId })
    this.isStopped = true
  }

  /** Its connection broke together with the broker. */
  disconnect(): void {
    this.#join = undefined
    this.#sync = undefined
  }

  #goOnAfterJoin({ answer }: Pending<JoinAnswer>) {
    this.#join = undefined
    if (answer === undefined) return
    if (isRefusal(answer)) return this.#take(answer.error, answer.memberId)
    const { memberId, generation, leader, members, skipAssignment } = answer
    this.#memberId = memberId
    this.generation = generation
    const assignments: Record<string, string> = {}
    if (memberId === leader && !skipAssignment) {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        const { memberId: owner } = members[partition % members.length]
        assignments[owner] = `${assignments[owner] ?? ''}${partition}`
      }
    }
    this.#sync = this.#party.sync({ memberId, generation, instanceId: this.instanceId }, assignments)
  }

  #goOnAfterSync({ answer }: Pending<SyncAnswer>) {
    this.#sync = undefined
    if (answer === undefined) return
    if (isRefusal(answer)) return this.#take(answer.error)
    this.assigned = Array.from(answer.assignment.toString(), Number)
    this.#ledger.note(this.generation, this.assigned, this.instanceId ?? this.#memberId)
  }

  #heartbeat() {
    const { generation, instanceId } = this
    const error = this.#party.heartbeat({ memberId: this.#memberId, generation, instanceId })
    if (error !== 'fine') this.#take(error)
  }

  #take(error: string, memberId?: string) {
    this.assigned = undefined
    if (error === 'UNKNOWN_MEMBER_ID') this.#memberId = ''
    else if (error === 'MEMBER_ID_REQUIRED') this.#memberId = memberId ?? ''
    else if (error === 'FENCED_INSTANCE_ID') this.isStopped = true
    else expect(['REBALANCE_IN_PROGRESS', 'ILLEGAL_GENERATION']).toContain(error)
  }
}

const action = fc.record({
  slot: fc.nat(SLOTS - 1),
  what: fc.oneof(
    { weight: 5, arbitrary: fc.constant('all step' as const) },
    { weight: 15, arbitrary: fc.constant('step' as const) },
    fc.constantFrom('start', 'start', 'die', 'leave', 'retry', 'change', 'rejoin'),
    { weight: 1, arbitrary: fc.constant('restart the broker' as const) },
  ),
  passMs: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, fc.nat(500), fc.nat(25_000)),
})

test('no partition has two owners in a generation, all come to rest, and nobody waits for ever', () => {
  checkProperty(
    fc.property(fc.array(action, { maxLength: 120, size: 'max' }), (actions) => {
      const party = new ClassicParty({ initialRebalanceDelayMs: 100 })
      const ledger = new Ledger()
      // The first two places belong to static members.
      const make = (slot: number) => new Consumer(party, ledger, slot < 2 ? `instance-${slot}` : undefined)
      const consumers = Array.from(Array(SLOTS).keys(), make)
      for (const consumer of consumers.slice(1, 4)) consumer.isStopped = true
      for (const { slot, what, passMs } of actions) {
        const consumer = consumers[slot]
        if (what === 'all step') for (const each of consumers) each.step()
        else if (what === 'step') consumer.step()
        else if (what === 'die') consumer.isStopped = true
        else if (what === 'leave') consumer.leave()
        else if (what === 'retry') consumer.retry()
        else if (what === 'rejoin') consumer.join()
        else if (what === 'change') consumer.metadata += 'x'
        else if (what === 'start') {
          consumer.isStopped = true
          consumers[slot] = make(slot)
        } else {
          party.restart()
          for (const each of consumers) each.disconnect()
        }
        party.pass(passMs)
      }

      // From now on nothing is wrong any more.
      for (let second = 0; second < 150; second++) {
        for (const consumer of consumers) consumer.step()
        party.pass(1_000)
      }
      const alive = consumers.filter(({ isStopped }) => !isStopped)
      expect(party.asked.filter(({ answer }) => answer === undefined)).toEqual([])
      expect(party.group.memberCount).toBe(alive.length)
      expect(party.group.state).toBe(alive.length === 0 ? 'Empty' : 'Stable')
      expect(new Set(alive.map(({ generation }) => generation)).size).toBeLessThanOrEqual(1)
      const assigned = alive.flatMap((consumer) => consumer.assigned ?? [])
      const all = alive.length === 0 ? [] : [...Array(PARTITIONS).keys()]
      expect(assigned.toSorted((left, right) => left - right)).toEqual(all)
    }),
    200,
  )
})
