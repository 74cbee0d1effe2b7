import type { ClassicMember } from './classic-roster.ts'

/** A classic group in the store, as it was when it became stable or empty last. */
export interface ClassicGroupRow {
  readonly kind: 'classic'
  readonly generation: number
  readonly protocolType: string
  readonly protocol?: string | undefined
  readonly leader?: string | undefined
}

/** A member of it. Bytes are base64. */
export interface ClassicMemberRow {
  readonly instanceId?: string | undefined
  readonly clientId: string
  readonly clientHost: string
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly protocols: readonly (readonly [name: string, metadata: string])[]
  readonly assignment: string
}

export function toMemberRow(member: ClassicMember): ClassicMemberRow {
  const { instanceId, clientId, clientHost, sessionTimeoutMs, rebalanceTimeoutMs, protocols, assignment } = member
  return {
    instanceId,
    clientId,
    clientHost,
    sessionTimeoutMs,
    rebalanceTimeoutMs,
    protocols: protocols.map(({ name, metadata }) => [name, metadata.toString('base64')]),
    assignment: assignment.toString('base64'),
  }
}

export function fromMemberRow(id: string, row: ClassicMemberRow): ClassicMember {
  return {
    ...row,
    id,
    instanceId: row.instanceId,
    protocols: row.protocols.map(([name, metadata]) => ({ name, metadata: Buffer.from(metadata, 'base64') })),
    assignment: Buffer.from(row.assignment, 'base64'),
    isNew: false,
    join: undefined,
    sync: undefined,
  }
}
