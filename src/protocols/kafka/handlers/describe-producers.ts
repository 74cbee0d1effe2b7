import type { DescribeProducers } from '../apis/61-describe-producers.ts'
import type { RequestContext } from '../context.ts'
import type { Handler } from '../registry.ts'

/** What partitions remember of their producers. */
export const describeProducers: Handler<typeof DescribeProducers, RequestContext> = ({ topics }, context) => ({
  topics: topics.map(({ name, partitionIndexes }) => ({
    name,
    partitions: partitionIndexes.map((partitionIndex) => {
      try {
        const producers = context.broker.getLog(name, partitionIndex).describeProducers()
        const activeProducers = producers.map(
          ({ currentTransactionStartOffset: currentTxnStartOffset, ...producer }) => {
            return { ...producer, currentTxnStartOffset }
          },
        )
        return { partitionIndex, errorCode: 0, activeProducers }
      } catch (error) {
        return { partitionIndex, ...context.describe(error), activeProducers: [] }
      }
    }),
  })),
})
