const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const KIB = 1024
const MIB = 1024 * KIB

/** Times and limits of consumer groups, all of them with Kafka's default unless it says otherwise. */
export interface GroupOptions {
  /**
   * How long the first member of an empty classic group waits for others, and again for as long as others keep coming.
   * Kafka's 3 s spare a fleet some rebalances and let every test and prototype wait for three seconds; the members of one
   * `compose up` come within a tenth of a second, and whoever comes later costs one more rebalance.
   */
  readonly initialRebalanceDelayMs: number
  readonly sessionTimeoutMsMin: number
  readonly sessionTimeoutMsMax: number
  /** How long a member that is joining for the first time may wait for the end of a rebalance: it has no session yet. */
  readonly newMemberJoinTimeoutMs: number
  /** The session timeout of the members of consumer groups (KIP-848). */
  readonly consumerSessionTimeoutMs: number
  /**
   * How often these are told to send heartbeats. Nobody tells them before that that they have got what another one had, so
   * that partitions stand still for so long. Kafka's 5 s spare a large cluster; here it is 2 s, which one broker hardly
   * notices.
   */
  readonly consumerHeartbeatIntervalMs: number
  /** How long offsets outlive their group's last member or, when it never had any, their commit. */
  readonly offsetsRetentionMs: number
  readonly offsetsRetentionCheckMs: number
  /** Of the text that a client may store beside an offset, as UTF-8. */
  readonly offsetMetadataBytesMax: number

  // Limits that Kafka does not have, or sets by the size of its messages.
  readonly groupsMax: number
  readonly membersPerGroupMax: number
  /** Committed offsets of all groups together. */
  readonly offsetsMax: number
  /** What one member brings with it when it joins: protocols, their metadata, its subscription. */
  readonly memberBytesMax: number
  /** The same for all members of a group: so much may have to be in one answer to its leader. */
  readonly bytesPerGroupMax: number
  /** What a leader may assign in all, as bytes. */
  readonly assignmentBytesMax: number
  /** All of that for all groups together; once there is so much, nobody new is taken. */
  readonly bytesMax: number
}

/** What a broker does that was told nothing else; docs/consumer-groups.md lists it. */
export const GROUP_DEFAULTS: GroupOptions = {
  initialRebalanceDelayMs: 100,
  sessionTimeoutMsMin: 6 * SECOND,
  sessionTimeoutMsMax: 30 * MINUTE,
  newMemberJoinTimeoutMs: 5 * MINUTE,
  consumerSessionTimeoutMs: 45 * SECOND,
  consumerHeartbeatIntervalMs: 2 * SECOND,
  offsetsRetentionMs: 7 * 24 * HOUR,
  offsetsRetentionCheckMs: 10 * MINUTE,
  offsetMetadataBytesMax: 4096,

  groupsMax: 100_000,
  membersPerGroupMax: 2_000,
  offsetsMax: 1_000_000,
  memberBytesMax: 1 * MIB,
  bytesPerGroupMax: 32 * MIB,
  assignmentBytesMax: 32 * MIB,
  bytesMax: 256 * MIB,
}
