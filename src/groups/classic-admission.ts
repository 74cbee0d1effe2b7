import type { JoinRequest } from './classic-messages.ts'
import type { ClassicRoster } from './classic-roster.ts'
import { countBytes } from './classic-roster.ts'
import { ID_WANTED, isStorableId } from './group-id.ts'
import type { GroupOptions } from './group-options.ts'
import type { Refusal } from './outcome.ts'
import type { Refusals } from './refusals.ts'
import { quoteId } from './refusals.ts'

/** What it depends on whether somebody may join. */
export interface Admission {
  readonly options: GroupOptions
  readonly roster: ClassicRoster
  readonly refusals: Refusals
  /** Member ids that were given out and not used yet. */
  readonly invited: ReadonlySet<string>
  /** Whether the group waits for its members to join. */
  readonly isPreparing: boolean
}

/** Whether a join is one that the group can take, whoever it is that asks; undefined if so. */
export function checkJoin(request: JoinRequest, admission: Admission): Refusal | undefined {
  const { options, roster, refusals } = admission
  const { sessionTimeoutMsMin, sessionTimeoutMsMax, memberBytesMax } = options
  const { instanceId, sessionTimeoutMs, protocolType, protocols } = request
  const refuse = (error: Refusal['error'], reason: string) => refusals.refuse(error, 'join', reason)
  if (sessionTimeoutMs < sessionTimeoutMsMin || sessionTimeoutMs > sessionTimeoutMsMax) {
    const range = `${sessionTimeoutMsMin} to ${sessionTimeoutMsMax} ms are taken`
    return refuse('INVALID_SESSION_TIMEOUT', `a session timeout of ${sessionTimeoutMs} ms is wanted, ${range}`)
  }
  if (instanceId !== undefined && !isStorableId(instanceId)) {
    return refuse('INVALID_REQUEST', `${quoteId(instanceId)} is no instance id: ${ID_WANTED}`)
  }
  const bytes = protocolType.length + countBytes(protocols)
  if (bytes > memberBytesMax) {
    const reason = `the member brings ${bytes} bytes of protocols, at most ${memberBytesMax} are taken`
    return refuse('INVALID_REQUEST', reason)
  }
  if (!hasRoomFor(request, admission)) {
    return refuse('GROUP_MAX_SIZE_REACHED', `it has ${roster.size} members and takes no more`)
  }
  if (!roster.supports(protocolType, protocols)) {
    const offered = protocols.map(({ name }) => name.slice(0, 40)).join(', ')
    const reason = `of ${quoteId(`${protocolType}: ${offered}`)} none is offered by all members`
    return refuse('INCONSISTENT_GROUP_PROTOCOL', reason)
  }
  return undefined
}

/** While a generation is prepared those count who have joined it, so that the last ones to come are left out. */
function hasRoomFor(
  { memberId, protocols }: JoinRequest,
  { options, roster, invited, isPreparing }: Admission,
): boolean {
  const { membersPerGroupMax, bytesPerGroupMax } = options
  const member = roster.get(memberId)
  const bytesBefore = member === undefined ? 0 : countBytes(member.protocols)
  if (roster.offeredBytes - bytesBefore + countBytes(protocols) > bytesPerGroupMax) return false
  if (isPreparing && member?.join === undefined && roster.countJoining() >= membersPerGroupMax) return false
  return member !== undefined || invited.has(memberId) || roster.size + invited.size < membersPerGroupMax
}
