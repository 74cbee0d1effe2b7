import { BrokerError } from '../../../base/broker-error.ts'
import { parseTopicName } from '../../../base/topic-name.ts'
import { PARTITIONS_PER_TOPIC_MAX } from '../../../broker/topics.ts'
import type { RequestOf, ResponseOf } from '../api.ts'
import type { CreateTopics } from '../apis/19-create-topics.ts'
import type { DeleteTopics } from '../apis/20-delete-topics.ts'
import type { DeleteRecords } from '../apis/21-delete-records.ts'
import type { CreatePartitions } from '../apis/37-create-partitions.ts'
import { NODE_ID } from '../context.ts'
import type { RequestContext } from '../context.ts'
import { Refusal } from '../refusal.ts'
import type { Handler } from '../registry.ts'
import { NO_UUID } from '../schema.ts'
import { getTopicById } from './topic-lookup.ts'
import { listTopicSettings, parseSettings } from './topic-settings.ts'

type NewTopic = RequestOf<typeof CreateTopics>['topics'][number]
type CreatedTopic = ResponseOf<typeof CreateTopics>['topics'][number]

const BY_DEFAULT = -1
const REPLICAS = 1
const HIGH_WATERMARK = -1
/** From this version on topics are deleted by name or by id. */
const DELETED_BY_ID_SINCE = 6

/** Makes topics, one after the other. */
export const createTopics: Handler<typeof CreateTopics, RequestContext> = async (request, context) => {
  const twice = findRepeated(request.topics.map(({ name }) => name))
  const answers = new Map<string, CreatedTopic>()
  await context.inTurns(request.topics, async (wish) => {
    const { name } = wish
    if (answers.has(name)) return
    let created: Partial<CreatedTopic> = {}
    const outcome = await context.try(async () => {
      if (twice.has(name)) throw new BrokerError('INVALID_REQUEST', `Cannot create topic "${name}" twice`)
      created = await createTopic(context, wish, request.validateOnly)
    })
    answers.set(name, { name, topicId: NO_UUID, ...outcome, ...created })
  })
  return { topics: [...answers.values()] }
}

async function createTopic(context: RequestContext, wish: NewTopic, isDryRun: boolean): Promise<Partial<CreatedTopic>> {
  const { topics } = context.broker
  const name = parseTopicName(wish.name)
  if (topics.get(name) !== undefined) throw alreadyThere(name)
  const partitionCount = countPartitions(wish, context.settings.defaultPartitions)
  const overrides = parseSettings(wish.configs)
  if (isDryRun) return { numPartitions: partitionCount, replicationFactor: REPLICAS }
  const { created } = await topics.create({ name, partitionCount, overrides })
  if (!created) throw alreadyThere(name)
  const topic = topics.getExisting(name)
  const configs = listTopicSettings(context, topic)
  return { topicId: topic.id, numPartitions: partitionCount, replicationFactor: REPLICAS, configs }
}

function alreadyThere(name: string): BrokerError {
  return new BrokerError('TOPIC_ALREADY_EXISTS', `Cannot create topic "${name}": it is there already`)
}

function countPartitions({ name, numPartitions, replicationFactor, assignments }: NewTopic, byDefault: number): number {
  if (assignments.length > 0) {
    if (numPartitions !== BY_DEFAULT || replicationFactor !== BY_DEFAULT) {
      const message = `Cannot create topic "${name}" with both assignments and numbers: give one of them`
      throw new BrokerError('INVALID_REQUEST', message)
    }
    const numbers = assignments.map(({ partitionIndex }) => partitionIndex).toSorted((left, right) => left - right)
    if (numbers.some((partition, index) => partition !== index)) {
      throw new Refusal('INVALID_REPLICA_ASSIGNMENT', 'The partitions of an assignment must be numbered from 0 on')
    }
    for (const { brokerIds } of assignments) checkReplicas(brokerIds)
    return assignments.length
  }
  if (replicationFactor !== BY_DEFAULT && replicationFactor !== REPLICAS) {
    throw new Refusal(
      'INVALID_REPLICATION_FACTOR',
      `Cannot create topic "${name}" with replication factor ${replicationFactor}: there is one broker`,
    )
  }
  if (numPartitions === BY_DEFAULT) return byDefault
  if (numPartitions >= 1 && numPartitions <= PARTITIONS_PER_TOPIC_MAX) return numPartitions
  throw new BrokerError(
    'INVALID_PARTITIONS',
    `Cannot create topic "${name}" with ${numPartitions} partitions: a topic has 1 to ${PARTITIONS_PER_TOPIC_MAX}`,
  )
}

function checkReplicas(brokerIds: readonly number[]): void {
  if (brokerIds.length === 1 && brokerIds[0] === NODE_ID) return
  throw new Refusal(
    'INVALID_REPLICA_ASSIGNMENT',
    `Cannot put a partition on brokers ${brokerIds.slice(0, 10).join(', ')}: there is one broker, ${NODE_ID}`,
  )
}

/** Deletes topics, one after the other. */
export const deleteTopics: Handler<typeof DeleteTopics, RequestContext> = async (request, context) => {
  const { topics } = context.broker
  const wanted =
    context.version >= DELETED_BY_ID_SINCE
      ? request.topics
      : request.topicNames.map((name) => ({ name, topicId: NO_UUID }))
  const responses = await context.inTurns(wanted, async ({ name, topicId }) => {
    let found: { name: string | null; topicId: string } = { name, topicId }
    const outcome = await context.try(async () => {
      if (name !== null && topicId !== NO_UUID) {
        throw new BrokerError('INVALID_REQUEST', 'Cannot delete a topic by name and id: give one of them')
      }
      const topic = name === null ? getTopicById(context, topicId) : topics.get(name)
      if (topic !== undefined) found = { name: topic.name, topicId: topic.id }
      await topics.delete(topic?.name ?? name ?? '')
    })
    return { ...found, ...outcome }
  })
  return { responses }
}

/** Adds partitions to topics, one after the other. */
export const createPartitions: Handler<typeof CreatePartitions, RequestContext> = async (request, context) => {
  const { topics } = context.broker
  const twice = findRepeated(request.topics.map(({ name }) => name))
  const results = new Map<string, ResponseOf<typeof CreatePartitions>['results'][number]>()
  await context.inTurns(request.topics, async ({ name, count, assignments }) => {
    if (results.has(name)) return
    const outcome = await context.try(async () => {
      if (twice.has(name)) throw new BrokerError('INVALID_REQUEST', `Cannot add partitions to topic "${name}" twice`)
      const { partitionCount } = topics.getExisting(name)
      if (count <= partitionCount) {
        throw new BrokerError(
          'INVALID_PARTITIONS',
          `Cannot alter topic "${name}" to ${count} partitions: it has ${partitionCount}, and they can only become more`,
        )
      }
      if (assignments !== null) {
        if (assignments.length !== count - partitionCount) {
          const message = `${count - partitionCount} partitions are new, and ${assignments.length} are assigned`
          throw new Refusal('INVALID_REPLICA_ASSIGNMENT', message)
        }
        for (const { brokerIds } of assignments) checkReplicas(brokerIds)
      }
      await topics.alter({ name, partitionCount: count, dryRun: request.validateOnly })
    })
    results.set(name, { name, ...outcome })
  })
  return { results: [...results.values()] }
}

/** Moves the log starts of partitions. */
export const deleteRecords: Handler<typeof DeleteRecords, RequestContext> = async ({ topics }, context) => {
  const deleteBefore = async (topic: string, partitionIndex: number, offset: number) => {
    try {
      const log = context.broker.getLog(topic, partitionIndex)
      const before = offset === HIGH_WATERMARK ? log.highWatermark : offset
      // What is gone already is gone: Kafka does not mind.
      if (before < 0 || before > log.logStartOffset) await log.deleteRecordsBefore(before)
      return { partitionIndex, lowWatermark: log.logStartOffset, errorCode: 0 }
    } catch (error) {
      return { partitionIndex, lowWatermark: -1, errorCode: context.codeOf(error) }
    }
  }
  // Together: what makes one of them durable does so for all.
  const begun = await context.inTurns(topics, async ({ name, partitions }) => ({
    name,
    partitions: await context.inTurns(partitions, ({ partitionIndex, offset }) => ({
      deleted: deleteBefore(name, partitionIndex, offset),
    })),
  }))
  const settled = begun.map(async ({ name, partitions }) => ({
    name,
    partitions: await Promise.all(partitions.map(({ deleted }) => deleted)),
  }))
  return { topics: await Promise.all(settled) }
}

function findRepeated(names: readonly string[]): ReadonlySet<string> {
  const seen = new Set<string>()
  const repeated = new Set<string>()
  for (const name of names) (seen.has(name) ? repeated : seen).add(name)
  return repeated
}
