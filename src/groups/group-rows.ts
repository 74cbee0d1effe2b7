import type { ClassicGroupRow, ClassicMemberRow } from './classic-rows.ts'
import type { ConsumerGroupRow, ConsumerMemberRow } from './consumer-member.ts'

// Rows of the table `groups`: one for each group, key: the group's id, and one for each of its members, key: the group's id,
// U+0000, the member's id. Values are JSON, so that an older broker can read what a newer one added:
//   {"version":1,"kind":"classic","generation":3,"protocolType":"consumer","protocol":"range","leader":"…","emptySinceMs":…?}
//   {"version":1,"kind":"consumer","epoch":3,"emptySinceMs":…?}
// and what classic-rows.ts and consumer-member.ts say of members. A group that only has offsets has no row.
const ROW_VERSION = 1
const SEPARATOR = '\u0000'

/** When the last member went, on the wall clock; not there while the group has members. */
interface EmptySince {
  readonly emptySinceMs?: number | undefined
}

export type GroupRow = (ClassicGroupRow | ConsumerGroupRow) & EmptySince

/** A group as the store has it. Its members' rows are of the group's kind. */
export interface StoredGroup {
  readonly group: string
  readonly row: GroupRow
  readonly members: Map<string, ClassicMemberRow & ConsumerMemberRow>
}

export function encodeGroupKey(group: string, memberId: string | undefined): string {
  return memberId === undefined ? group : `${group}${SEPARATOR}${memberId}`
}

export function encodeGroupRow(row: object, emptySince: EmptySince = {}): Buffer {
  return Buffer.from(JSON.stringify({ version: ROW_VERSION, ...row, ...emptySince }))
}

/**
 * Puts the rows of all groups together.
 *
 * @throws Error when there is a row that this version cannot read
 */
export function decodeGroups(rows: Iterable<readonly [key: string, value: Buffer]>): StoredGroup[] {
  const groups: StoredGroup[] = []
  for (const [key, value] of rows) {
    try {
      const row: unknown = JSON.parse(value.toString())
      if (typeof row !== 'object' || row === null || !('version' in row)) throw new Error('it has no version')
      if (row.version !== ROW_VERSION) throw new Error(`it has version ${String(row.version)}`)
      const [group, memberId] = key.split(SEPARATOR)
      const last = groups.at(-1)
      // A group's own row sorts before those of its members.
      if (memberId === undefined) groups.push({ group, row: row as unknown as GroupRow, members: new Map() })
      else if (last?.group !== group) throw new Error('its group has no row')
      else last.members.set(memberId, row as unknown as ClassicMemberRow & ConsumerMemberRow)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      throw new Error(`Cannot read the row ${JSON.stringify(key)} of consumer groups in the store: ${reason}`, {
        cause: error,
      })
    }
  }
  return groups
}
