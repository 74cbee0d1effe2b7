import { openConnection } from '../../client/json-connection.ts'
import { call } from '../../client/operations.ts'
import { OffsetCommit } from '../../src/protocols/kafka/apis/08-offset-commit.ts'
import { ConsumerGroupHeartbeat } from '../../src/protocols/kafka/apis/68-consumer-group-heartbeat.ts'
import type { MemberAssignment } from '../../src/protocols/json/wire.ts'
import { KafkaClient } from './kafka-client.ts'
import { KafkaMember } from './kafka-member.ts'

/** A member of a group that has all partitions of a topic. It does nothing by itself, and lives for most of a minute. */
export interface DoorMember {
  commit(partition: number, offset: number): Promise<void>
  leave(): Promise<void>
}

export interface DoorPorts {
  readonly json: number
  readonly kafka: number
}

interface Joining {
  readonly group: string
  readonly topic: string
  readonly partitions: number
}

/** What a member is called by `consumer describe`, at whichever door. */
export const MEMBER_CLIENT = 'test'

/** How one becomes a member at each door. */
export const DOOR_MEMBERS: Readonly<Record<string, (ports: DoorPorts, joining: Joining) => Promise<DoorMember>>> = {
  "Kafka's classic protocol": joinClassic,
  "Kafka's new protocol": joinConsumer,
  'the JSON door': joinJson,
}

async function joinClassic({ kafka }: DoorPorts, { group, topic, partitions }: Joining): Promise<DoorMember> {
  const member = await KafkaMember.connect(kafka, group)
  const name = Buffer.concat([bytes16(topic.length), Buffer.from(topic)])
  const subscription = Buffer.concat([bytes16(0), bytes32(1), name, bytes32(-1)])
  const numbers = Array.from({ length: partitions }, (_, partition) => bytes32(partition))
  const assignment = Buffer.concat([bytes16(0), bytes32(1), name, bytes32(partitions), ...numbers, bytes32(-1)])
  await member.join({ sessionTimeoutMs: 60_000, protocols: { range: subscription } })
  const { errorCode } = await member.sync({}, 3, { assignments: [{ memberId: member.memberId, assignment }] })
  expectNone(errorCode)
  return {
    commit: (partition, offset) =>
      commit(
        member.client,
        { group, topic, memberId: member.memberId, generation: member.generation },
        partition,
        offset,
      ),
    async leave() {
      expectNone((await member.leave()).errorCode)
      member.close()
    },
  }
}

async function joinConsumer({ kafka }: DoorPorts, { group, topic }: Joining): Promise<DoorMember> {
  const client = await KafkaClient.connect(kafka)
  const memberId = `member-of-${group}`
  const beat = (memberEpoch: number, more: object = {}) =>
    client.ask(ConsumerGroupHeartbeat, 1, { groupId: group, memberId, memberEpoch, ...more })
  const joined = await beat(0, { rebalanceTimeoutMs: 10_000, subscribedTopicNames: [topic], topicPartitions: [] })
  expectNone(joined.errorCode)
  return {
    commit: (partition, offset) =>
      commit(client, { group, topic, memberId, generation: joined.memberEpoch }, partition, offset),
    async leave() {
      expectNone((await beat(-1)).errorCode)
      client.close()
    },
  }
}

async function joinJson({ json }: DoorPorts, { group, topic }: Joining): Promise<DoorMember> {
  const connection = await openConnection({ host: '127.0.0.1', port: json })
  const joined = await call(connection, 'HEARTBEAT', { group, topics: [topic], clientId: MEMBER_CLIENT })
  const { memberId, generation } = joined as MemberAssignment
  return {
    async commit(partition, offset) {
      await call(connection, 'COMMIT', { topic, partition, group, offset, memberId, generation })
    },
    async leave() {
      await call(connection, 'HEARTBEAT', { group, memberId, leave: true })
      connection.close()
    },
  }
}

async function commit(
  client: KafkaClient,
  member: { readonly group: string; readonly topic: string; readonly memberId: string; readonly generation: number },
  partitionIndex: number,
  committedOffset: number,
): Promise<void> {
  const { topics } = await client.ask(OffsetCommit, 9, {
    groupId: member.group,
    memberId: member.memberId,
    generationIdOrMemberEpoch: member.generation,
    groupInstanceId: null,
    topics: [
      {
        name: member.topic,
        partitions: [{ partitionIndex, committedOffset, committedLeaderEpoch: 0, committedMetadata: null }],
      },
    ],
  })
  expectNone(topics[0].partitions[0].errorCode)
}

function expectNone(errorCode: number) {
  if (errorCode !== 0) throw new Error(`error code ${errorCode}`)
}

function bytes16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(value)
  return bytes
}

function bytes32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
