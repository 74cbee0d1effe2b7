import { assert } from '../base/assert.ts'
import { partitionsOf } from './assignment.ts'
import type { Assignment } from './assignment.ts'

/** Who has which partition, one at a time. */
export class PartitionOwners {
  readonly #owners = new Map<string, Map<number, string>>()

  get(topic: string, partition: number): string | undefined {
    return this.#owners.get(topic)?.get(partition)
  }

  /** Gives free partitions to `owner`. */
  claim(owner: string, partitions: Assignment): void {
    for (const [topic, partition] of partitionsOf(partitions)) {
      const owners = this.#owners.get(topic) ?? new Map<number, string>()
      assert(!owners.has(partition), `partition ${partition} of ${topic} has no other owner`)
      owners.set(partition, owner)
      this.#owners.set(topic, owners)
    }
  }

  /** Makes partitions free. */
  release(partitions: Assignment): void {
    for (const [topic, partition] of partitionsOf(partitions)) {
      const owners = this.#owners.get(topic)
      owners?.delete(partition)
      if (owners?.size === 0) this.#owners.delete(topic)
    }
  }
}
