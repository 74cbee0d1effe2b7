/** Partitions by topic; a topic without partitions is not in it. Never changed: another assignment is another map. */
export type Assignment = ReadonlyMap<string, ReadonlySet<number>>

export const NO_PARTITIONS: Assignment = new Map<string, ReadonlySet<number>>()
const NONE: ReadonlySet<number> = new Set()

/** Whether two assignments have the same partitions. */
export function areEqual(left: Assignment, right: Assignment): boolean {
  return left === right || (countPartitions(left) === countPartitions(right) && isSubset(left, right))
}

/** Whether `whole` has every partition of `part`. */
export function isSubset(part: Assignment, whole: Assignment): boolean {
  return [...partitionsOf(part)].every(([topic, partition]) => whole.get(topic)?.has(partition) === true)
}

/** Whether there is a partition that both have. */
export function haveCommon(left: Assignment, right: Assignment): boolean {
  return [...partitionsOf(left)].some(([topic, partition]) => right.get(topic)?.has(partition) === true)
}

/** The partitions for which `isMeant` is true. */
export function filterPartitions(
  assignment: Assignment,
  isMeant: (topic: string, partition: number) => boolean,
): Assignment {
  const filtered = new Map<string, ReadonlySet<number>>()
  for (const [topic, partitions] of assignment) {
    const meant = [...partitions].filter((partition) => isMeant(topic, partition))
    if (meant.length > 0) filtered.set(topic, new Set(meant))
  }
  return filtered
}

/** The partitions that both have. */
export function intersect(left: Assignment, right: Assignment): Assignment {
  return filterPartitions(left, (topic, partition) => right.get(topic)?.has(partition) === true)
}

/** The partitions of `left` that `right` does not have. */
export function subtract(left: Assignment, right: Assignment): Assignment {
  return filterPartitions(left, (topic, partition) => right.get(topic)?.has(partition) !== true)
}

/** The partitions that one of them has, or both. */
export function unite(left: Assignment, right: Assignment): Assignment {
  const united = new Map(left)
  for (const [topic, partitions] of right) united.set(topic, new Set([...(left.get(topic) ?? NONE), ...partitions]))
  return united
}

export function countPartitions(assignment: Assignment): number {
  let count = 0
  for (const partitions of assignment.values()) count += partitions.size
  return count
}

/** One by one. */
export function* partitionsOf(assignment: Assignment): Iterable<readonly [topic: string, partition: number]> {
  for (const [topic, partitions] of assignment) for (const partition of partitions) yield [topic, partition]
}

/** As `{"orders":[0,1]}`, for a row in the store: topics and partitions in order. */
export function toPlain(assignment: Assignment): Readonly<Record<string, readonly number[]>> {
  const topics = [...assignment].toSorted(([left], [right]) => (left < right ? -1 : 1))
  return Object.fromEntries(
    topics.map(([topic, partitions]) => [topic, [...partitions].toSorted((left, right) => left - right)]),
  )
}

/** The other way. */
export function fromPlain(plain: Readonly<Record<string, readonly number[]>>): Assignment {
  return new Map(Object.entries(plain).map(([topic, partitions]) => [topic, new Set(partitions)]))
}
