import { JoinGroup } from '../../src/protocols/kafka/apis/11-join-group.ts'
import { Heartbeat } from '../../src/protocols/kafka/apis/12-heartbeat.ts'
import { LeaveGroup } from '../../src/protocols/kafka/apis/13-leave-group.ts'
import { SyncGroup } from '../../src/protocols/kafka/apis/14-sync-group.ts'
import { KafkaClient } from './kafka-client.ts'

/** How a member of a classic group joins; what is left out is usual. */
export interface JoinOptions {
  readonly version?: number
  readonly memberId?: string
  readonly instanceId?: string | null
  readonly sessionTimeoutMs?: number
  readonly protocolType?: string
  /** Name and what the member says with it. */
  readonly protocols?: Readonly<Record<string, Buffer | string>>
}

/** A member of a classic group with a connection of its own, which does what it is told and nothing by itself. */
export class KafkaMember {
  readonly client: KafkaClient
  readonly group: string
  memberId = ''
  generation = -1
  instanceId: string | null = null

  private constructor(client: KafkaClient, group: string) {
    this.client = client
    this.group = group
  }

  static async connect(port: number, group: string): Promise<KafkaMember> {
    return new KafkaMember(await KafkaClient.connect(port), group)
  }

  /** Joins, with the id that it is told when it needs one, and remembers what it is from then on. */
  async join(options: JoinOptions = {}) {
    this.instanceId = options.instanceId ?? this.instanceId
    const { version = 7, memberId = this.memberId } = options
    const first = await this.#join(version, memberId, options)
    const answer = first.errorCode === 79 ? await this.#join(version, first.memberId, options) : first
    if (answer.errorCode === 0) {
      this.memberId = answer.memberId
      this.generation = answer.generationId
    }
    return answer
  }

  #join(version: number, memberId: string, options: JoinOptions) {
    const { sessionTimeoutMs = 6000, protocolType = 'consumer', protocols = { range: '' } } = options
    return this.client.ask(JoinGroup, version, {
      groupId: this.group,
      sessionTimeoutMs,
      rebalanceTimeoutMs: 10_000,
      memberId,
      groupInstanceId: this.instanceId,
      protocolType,
      protocols: Object.entries(protocols).map(([name, metadata]) => ({ name, metadata: Buffer.from(metadata) })),
    })
  }

  /** Asks for its assignment; a leader brings everybody's, as texts by member id. */
  sync(assignments: Readonly<Record<string, string>> = {}, version = 3, more: object = {}) {
    return this.client.ask(SyncGroup, version, {
      groupId: this.group,
      generationId: this.generation,
      memberId: this.memberId,
      groupInstanceId: this.instanceId,
      assignments: Object.entries(assignments).map(([memberId, text]) => {
        return { memberId, assignment: Buffer.from(text) }
      }),
      ...more,
    })
  }

  /** The error of a heartbeat, 0 for none. */
  async heartbeat(more: object = {}, version = 3): Promise<number> {
    const { memberId, generation, group, instanceId } = this
    const request = { groupId: group, generationId: generation, memberId, groupInstanceId: instanceId, ...more }
    return (await this.client.ask(Heartbeat, version, request)).errorCode
  }

  leave(members: readonly object[] = [{ memberId: this.memberId, groupInstanceId: this.instanceId }], version = 3) {
    const request = { groupId: this.group, memberId: this.memberId, members: members as { memberId: string }[] }
    return this.client.ask(LeaveGroup, version, request)
  }

  close(): void {
    this.client.close()
  }
}
