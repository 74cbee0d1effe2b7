import type { TopicPartitions } from '../src/protocols/json/wire.ts'

/** One partition of one topic. */
export interface TopicPartition {
  readonly topic: string
  readonly partition: number
}

/** Partitions by a name of their own, `orders/3`, so that they can be compared. */
export type PartitionSet = ReadonlyMap<string, TopicPartition>

/** The name of a partition among others. */
export function nameOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`
}

/** Without all that it has besides. */
export function toPlain({ topic, partition }: TopicPartition): TopicPartition {
  return { topic, partition }
}

/** A set of partitions. */
export function toSet(partitions: Iterable<TopicPartition>): PartitionSet {
  return new Map(Array.from(partitions, ({ topic, partition }) => [nameOf({ topic, partition }), { topic, partition }]))
}

/** As a heartbeat's answer lists them. */
export function fromListed(listed: readonly TopicPartitions[]): PartitionSet {
  return toSet(listed.flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, partition }))))
}

/** The other way. */
export function toListed(partitions: PartitionSet): readonly TopicPartitions[] {
  const byTopic = new Map<string, number[]>()
  for (const { topic, partition } of partitions.values()) {
    const known = byTopic.get(topic)
    if (known === undefined) byTopic.set(topic, [partition])
    else known.push(partition)
  }
  return Array.from(byTopic, ([topic, numbers]) => ({ topic, partitions: numbers }))
}

/** The partitions of `left` that `right` does not have. */
export function subtract(left: PartitionSet, right: PartitionSet): PartitionSet {
  return new Map([...left].filter(([name]) => !right.has(name)))
}
