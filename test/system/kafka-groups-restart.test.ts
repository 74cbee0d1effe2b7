import { afterAll, beforeAll, expect, test } from 'vitest'
import { OffsetCommit } from '../../src/protocols/kafka/apis/08-offset-commit.ts'
import { OffsetFetch } from '../../src/protocols/kafka/apis/09-offset-fetch.ts'
import { ListGroups } from '../../src/protocols/kafka/apis/16-list-groups.ts'
import { CreateTopics } from '../../src/protocols/kafka/apis/19-create-topics.ts'
import { ConsumerGroupHeartbeat } from '../../src/protocols/kafka/apis/68-consumer-group-heartbeat.ts'
import { BrokerHome } from '../support/broker-process.ts'
import { KafkaClient } from '../support/kafka-client.ts'
import { KafkaMember } from '../support/kafka-member.ts'
import { RestartedBroker } from '../support/restarted-broker.ts'

let home: BrokerHome
let broker: RestartedBroker
beforeAll(() => {
  home = new BrokerHome()
  broker = new RestartedBroker(home)
})
afterAll(() => home.remove())

async function connect(): Promise<KafkaClient> {
  return KafkaClient.connect((await broker.current()).kafkaPort)
}

async function connectMember(group: string, like?: KafkaMember): Promise<KafkaMember> {
  const member = await KafkaMember.connect((await broker.current()).kafkaPort, group)
  if (like !== undefined) Object.assign(member, { memberId: like.memberId, generation: like.generation })
  return member
}

test.each(['stop', 'kill'] as const)(
  'groups go on with the next broker as if nothing had happened: %s',
  async (way) => {
    const topic = `orders-${way}`
    const classic = `classic-${way}`
    const consumer = `consumer-${way}`
    const client = await connect()
    const wish = { name: topic, numPartitions: 4, replicationFactor: 1, assignments: [], configs: [] }
    await client.ask(CreateTopics, 7, { topics: [wish], timeoutMs: 1000 })
    const [one, two] = [await connectMember(classic), await connectMember(classic)]
    await Promise.all([one.join(), two.join()])
    const syncs = { [one.memberId]: 'of one', [two.memberId]: 'of two' }
    await Promise.all([one.sync(syncs), two.sync(syncs)])
    const joining = { rebalanceTimeoutMs: 10_000, subscribedTopicNames: [topic], topicPartitions: [] }
    const heartbeat = { groupId: consumer, memberId: 'm', memberEpoch: 0 }
    const joined = await client.ask(ConsumerGroupHeartbeat, 1, { ...heartbeat, ...joining })
    expect(joined.memberEpoch).toBe(1)
    const partitions = [{ partitionIndex: 2, committedOffset: 7, committedMetadata: 'kept' }]
    const commitAs = (asking: KafkaClient, groupId: string, memberId: string, generationIdOrMemberEpoch: number) =>
      asking.ask(OffsetCommit, 9, {
        groupId,
        memberId,
        generationIdOrMemberEpoch,
        topics: [
          {
            name: topic,
            partitions,
          },
        ],
      })
    await commitAs(client, classic, one.memberId, one.generation)
    // This one never got so far that there would be something to keep.
    const late = await connectMember(`late-${way}`)
    await late.join()

    await broker.restart(way)

    const after = await connect()
    const [oneAgain, twoAgain] = [await connectMember(classic, one), await connectMember(classic, two)]
    expect([await oneAgain.heartbeat(), await twoAgain.heartbeat()]).toEqual([0, 0])
    expect(String((await oneAgain.sync()).assignment)).toBe('of one')
    expect(String((await twoAgain.sync()).assignment)).toBe('of two')
    const committed = await commitAs(after, classic, two.memberId, two.generation)
    expect(committed.topics[0].partitions[0].errorCode).toBe(0)
    const next = await after.ask(ConsumerGroupHeartbeat, 1, { ...heartbeat, memberEpoch: 1 })
    expect(next).toMatchObject({ errorCode: 0, memberEpoch: 1 })
    expect((await commitAs(after, consumer, 'm', 1)).topics[0].partitions[0].errorCode).toBe(0)
    const wanted = [classic, consumer].map((groupId) => ({ groupId, topics: [{ name: topic, partitionIndexes: [2] }] }))
    const { groups } = await after.ask(OffsetFetch, 9, { groups: wanted })
    for (const { topics } of groups) {
      expect(topics[0].partitions).toMatchObject([{ committedOffset: 7, metadata: 'kept', errorCode: 0 }])
    }
    const listed = (await after.ask(ListGroups, 5, {})).groups.filter(({ groupId }) => groupId.endsWith(way))
    expect(listed.map(({ groupId, groupState }) => [groupId, groupState])).toEqual([
      [classic, 'Stable'],
      [consumer, 'Stable'],
    ])
    for (const each of [client, one, two, late, after, oneAgain, twoAgain]) each.close()
  },
)
