import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { checkProperty } from '../../../test/support/property.ts'
import { countPartitions, type Assignment, NO_PARTITIONS, toPlain } from '../assignment.ts'
import type { AssignableMember, Assignor } from './assignor.ts'
import { assignRanges } from './range.ts'
import { assignUniformly } from './uniform.ts'

type Plain = Record<string, Record<string, readonly number[]>>

function member(id: string, topics: string[], target: Assignment = NO_PARTITIONS): AssignableMember {
  return { id, instanceId: undefined, topics: new Set(topics), target }
}

function plain(assigned: ReadonlyMap<string, Assignment>): Plain {
  return Object.fromEntries([...assigned].map(([id, assignment]) => [id, toPlain(assignment)]))
}

const counts = (partitionCounts: Record<string, number>) => new Map(Object.entries(partitionCounts))

test('ranges are neighbours, the first ones longer, and alike for topics alike', () => {
  const members = [member('b', ['x', 'y', 'z']), member('c', ['x', 'y']), member('a', ['x', 'y', 'z'])]
  expect(plain(assignRanges(members, counts({ x: 7, y: 7, z: 1 })))).toEqual({
    a: { x: [0, 1, 2], y: [0, 1, 2], z: [0] },
    b: { x: [3, 4], y: [3, 4] },
    c: { x: [5, 6], y: [5, 6] },
  })
})

test('static members keep their range under another member id', () => {
  const named = (id: string, instanceId: string) => ({ ...member(id, ['x']), instanceId })
  const partitions = counts({ x: 3 })
  expect(plain(assignRanges([member('a', ['x']), named('z', '1'), named('y', '2')], partitions))).toEqual({
    z: { x: [0] },
    y: { x: [1] },
    a: { x: [2] },
  })
  expect(plain(assignRanges([member('a', ['x']), named('b', '1'), named('y', '2')], partitions))).toEqual({
    b: { x: [0] },
    y: { x: [1] },
    a: { x: [2] },
  })
})

test('a uniform assignment passes partitions on by way of others', () => {
  // c can only take z, of which b has one, and b can take x instead.
  const a = member('a', ['x'], new Map([['x', new Set([0, 1, 2])]]))
  const b = member('b', ['x', 'z'], new Map([['z', new Set([0, 1])]]))
  const assigned = assignUniformly([a, b, member('c', ['z'])], counts({ x: 3, z: 2 }))
  expect([...assigned.values()].map(countPartitions)).toEqual([2, 2, 1])
})

test('members without a topic, topics without partitions, and no members at all', () => {
  for (const assign of [assignRanges, assignUniformly]) {
    expect(plain(assign([], counts({})))).toEqual({})
    expect(plain(assign([member('a', []), member('b', ['x'])], counts({ x: 0 })))).toEqual({ a: {}, b: {} })
  }
})

// A group of members that come, go and subscribe to other things, while topics grow.
const TOPICS = ['t0', 't1', 't2', 't3', 't4']
const subscription = fc.subarray(TOPICS)
const step = fc.oneof(
  fc.record({ kind: fc.constant('join' as const), id: fc.nat(9), topics: subscription }),
  fc.record({ kind: fc.constant('leave' as const), id: fc.nat(9) }),
  fc.record({ kind: fc.constant('grow' as const), topic: fc.constantFrom(...TOPICS), by: fc.nat(5) }),
)

function checkSteps(
  assign: Assignor,
  check: (before: AssignableMember[], after: ReadonlyMap<string, Assignment>) => void,
) {
  checkProperty(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const partitionCounts = new Map(TOPICS.map((topic) => [topic, 1]))
      let members: AssignableMember[] = []
      for (const change of steps) {
        if (change.kind === 'grow') {
          partitionCounts.set(change.topic, (partitionCounts.get(change.topic) ?? 0) + change.by)
        } else {
          const kept = members.find(({ id }) => id === `m${change.id}`)?.target
          members = members.filter(({ id }) => id !== `m${change.id}`)
          if (change.kind === 'join') members.push(member(`m${change.id}`, change.topics, kept))
        }
        const assigned = assign(members, partitionCounts)
        expectWhole(members, partitionCounts, assigned)
        check(members, assigned)
        members = members.map((each) => ({ ...each, target: assigned.get(each.id) ?? NO_PARTITIONS }))
      }
    }),
    300,
  )
}

/** Every partition that somebody wants has exactly one owner, who wants it. */
function expectWhole(
  members: AssignableMember[],
  partitionCounts: ReadonlyMap<string, number>,
  assigned: ReadonlyMap<string, Assignment>,
) {
  expect([...assigned.keys()].toSorted()).toEqual(members.map(({ id }) => id).toSorted())
  const owned = members.flatMap(({ id, topics }) =>
    [...(assigned.get(id) ?? [])].flatMap(([topic, partitions]) => {
      expect(topics.has(topic)).toBe(true)
      return [...partitions].map((partition) => `${topic}/${partition}`)
    }),
  )
  const wanted = [...partitionCounts]
    .filter(([topic]) => members.some(({ topics }) => topics.has(topic)))
    .flatMap(([topic, count]) => Array.from(Array(count).keys(), (partition) => `${topic}/${partition}`))
  expect(owned.toSorted()).toEqual(wanted.toSorted())
}

test('ranges give each wanted partition to one member, and differ by one at most in a topic', () => {
  checkSteps(assignRanges, (members, assigned) => {
    for (const topic of TOPICS) {
      const sizes = members
        .filter(({ topics }) => topics.has(topic))
        .map(({ id }) => assigned.get(id)?.get(topic)?.size ?? 0)
      if (sizes.length > 0) expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
    }
  })
})

test('a uniform assignment cannot be made more even', () => {
  checkSteps(assignUniformly, (members, assigned) => {
    const load = (id: string) => countPartitions(assigned.get(id) ?? NO_PARTITIONS)
    for (const { id } of members) {
      for (const other of reachableFrom(id, members, assigned)) expect(load(id) - load(other)).toBeLessThan(2)
    }
  })
})

/** Those to whom a member could pass a partition on, by way of others that pass one on in turn. */
function reachableFrom(start: string, members: AssignableMember[], assigned: ReadonlyMap<string, Assignment>) {
  const reached = new Set([start])
  for (const id of reached) {
    for (const topic of assigned.get(id)?.keys() ?? []) {
      for (const other of members) if (other.topics.has(topic)) reached.add(other.id)
    }
  }
  return reached
}

test('with one subscription for all, a uniform assignment moves no more partitions than it must', () => {
  const sizes = fc.array(fc.nat(12), { minLength: 1, maxLength: 8 })
  checkProperty(
    fc.property(sizes, fc.nat(20), (held, more) => {
      let first = 0
      const members = held.map((size, index) => {
        const partitions = new Set(Array.from(Array(size).keys(), (at) => first + at))
        first += size
        return member(`m${index}`, ['x'], new Map([['x', partitions]]))
      })
      const total = first + more
      const assigned = assignUniformly(members, counts({ x: total }))
      const kept = members.map(({ id, target }) => {
        const before = target.get('x') ?? new Set()
        return [...(assigned.get(id)?.get('x') ?? [])].filter((partition) => before.has(partition)).length
      })
      // Of what is held, all but the excess over an even share stays; the larger shares go to those that hold the most.
      const share = Math.floor(total / held.length)
      const larger = held.filter((size) => size > share).length
      const expected =
        held.reduce((sum, size) => sum + Math.min(size, share), 0) + Math.min(larger, total % held.length)
      expect(kept.reduce((sum, size) => sum + size, 0)).toBe(expected)
    }),
    300,
  )
})

test('a member that comes or goes moves nothing between the others', () => {
  const ids = Array.from(Array(50).keys(), (index) => `m${index}`)
  const partitionCounts = counts({ x: 400, y: 600 })
  let members = ids.map((id) => member(id, ['x', 'y']))
  const settle = () => {
    const assigned = assignUniformly(members, partitionCounts)
    const moved = members.filter(({ id, target }) => {
      const now = assigned.get(id) ?? NO_PARTITIONS
      return [...now].some(([topic, partitions]) => [...partitions].some((each) => !target.get(topic)?.has(each)))
    })
    members = members.map((each) => ({ ...each, target: assigned.get(each.id) ?? NO_PARTITIONS }))
    return moved.map(({ id }) => id)
  }
  expect(settle()).toHaveLength(50)
  expect(settle()).toEqual([])
  members.push(member('new', ['x', 'y']))
  expect(settle()).toEqual(['new'])
  members = members.filter(({ id }) => id !== 'm7')
  expect(settle()).not.toContain('m7')
  expect(members.map(({ target }) => countPartitions(target))).toEqual(Array(50).fill(20))
})
