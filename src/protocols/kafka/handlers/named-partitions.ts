import type { RequestContext } from '../context.ts'

interface PartitionWish {
  readonly partitionIndex: number
}

interface TopicWish<Wish extends PartitionWish> {
  readonly name: string
  readonly partitions: readonly Wish[]
}

/** The partitions that a request names, and which of them are there. */
export class NamedPartitions<Wish extends PartitionWish> {
  /** Those that are there, in order. */
  readonly present: readonly { readonly topic: string; readonly wish: Wish }[]
  readonly #context: RequestContext
  readonly #topics: readonly TopicWish<Wish>[]
  /** Of all partitions in order. */
  readonly #arePresent: readonly boolean[]

  constructor(context: RequestContext, topics: readonly TopicWish<Wish>[]) {
    this.#context = context
    this.#topics = topics
    const all = topics.flatMap(({ name, partitions }) => partitions.map((wish) => ({ topic: name, wish })))
    this.#arePresent = all.map(({ topic, wish }) => context.broker.findLog(topic, wish.partitionIndex) !== undefined)
    this.present = all.filter((_named, index) => this.#arePresent[index])
  }

  /** An error for each partition: UNKNOWN_TOPIC_OR_PARTITION, or what `codeOf` says of those that were there. */
  answer(
    codeOf: (index: number) => number,
  ): { name: string; partitions: { partitionIndex: number; errorCode: number }[] }[] {
    let [next, nextPresent] = [0, 0]
    return this.#topics.map(({ name, partitions }) => ({
      name,
      partitions: partitions.map(({ partitionIndex }) => {
        const isPresent = this.#arePresent[next++]
        const errorCode = isPresent ? codeOf(nextPresent++) : this.#context.refuse('UNKNOWN_TOPIC_OR_PARTITION')
        return { partitionIndex, errorCode }
      }),
    }))
  }
}
