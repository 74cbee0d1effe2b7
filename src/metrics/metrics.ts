import type { Instrument } from './instruments.ts'
import { Counter, Family, Gauge, Histogram } from './instruments.ts'

/** Every error code that a door of this version can put on the wire. */
export const ERROR_TYPES = [
  'UNKNOWN_TOPIC_OR_PARTITION',
  'OFFSET_OUT_OF_RANGE',
  'SCHEMA_VALIDATION_FAILED',
  'INTERNAL_IO_ERROR',
  'INVALID_REQUEST',
  'GROUP_ID_NOT_FOUND',
  'NON_EMPTY_GROUP',
  'SCHEDULE_NOT_FOUND',
  'NOT_FOUND',
  'METHOD_NOT_ALLOWED',
  'UNAUTHORIZED',
  'FORBIDDEN',
] as const

/** The checks behind `/readyz`, and the values of `cafelog_ready`'s label. */
export const READINESS_CHECKS = ['recovery', 'storage', 'disk', 'listeners', 'draining'] as const
export type ReadinessCheck = (typeof READINESS_CHECKS)[number]

/** How many series topics may have, unless it is told otherwise; and groups as many again. Ten thousand partitions fit. */
export const SERIES_MAX = 50_000

const LATENCY_MS_BOUNDS = [0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000]
const REQUEST_SECONDS_BOUNDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
const FSYNC_SECONDS_BOUNDS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5]
const TRANSACTION_SECONDS_BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900]
const DELAY_SECONDS_BOUNDS = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600]
const REBALANCE_SECONDS_BOUNDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

/**
 * Every metric that CafeLog exports: its name, its help and its labels, in one place. docs/metrics.md is compared with
 * this file.
 *
 * A field that is a `Family` has labels: ask it for a `child(...)` with the label values in the order given here, once,
 * and keep it. Where the help says "live", the series are read from live state at each scrape through the family's
 * `collect`, so that they go when the topic or group goes. All label values come from closed sets or are names of
 * topics, partitions and groups; never a key, a client id or an address.
 */
export class Metrics {
  readonly #families: Family[] = []

  /** Live. topic, partition, direction `in` | `out` */
  readonly messages = this.#counters(
    'cafelog_messages_total',
    'Records appended to a partition (in) and given to clients from it (out)',
    ['topic', 'partition', 'direction'],
  )
  /** protocol, endpoint, direction `in` | `out` */
  readonly bytes = this.#counters(
    'cafelog_bytes_total',
    'Bytes received (in) and sent (out), by protocol and endpoint',
    ['protocol', 'endpoint', 'direction'],
  )
  /** Live. group, topic, partition */
  readonly consumerLag = this.#gauges(
    'cafelog_consumer_lag',
    'Records between what a consumer group has committed and the log end offset',
    ['group', 'topic', 'partition'],
  )
  /** Live. group, topic */
  readonly consumerLagSeconds = this.#gauges(
    'cafelog_consumer_lag_seconds',
    'Age of the oldest record that a consumer group has not committed, the largest of all partitions; 0 when there is none',
    ['group', 'topic'],
  )
  /** protocol */
  readonly publishLatencyMs = this.#histograms(
    'cafelog_publish_latency_ms',
    'Milliseconds from receiving a produce request to acknowledging it',
    ['protocol'],
    LATENCY_MS_BOUNDS,
  )
  /** type: the error code exactly as on the wire */
  readonly errors = this.#counters('cafelog_errors_total', 'Error answers, by error code', ['type'])

  /** protocol, operation, result `ok` | `client_error` | `server_error` */
  readonly requests = this.#counters('cafelog_requests_total', 'Requests answered', ['protocol', 'operation', 'result'])
  /** protocol, operation */
  readonly requestDurationSeconds = this.#histograms(
    'cafelog_request_duration_seconds',
    'Seconds from receiving a request to answering it; a fetch that waits for data counts its wait',
    ['protocol', 'operation'],
    REQUEST_SECONDS_BOUNDS,
  )
  /** protocol */
  readonly tcpConnections = this.#gauges('cafelog_tcp_connections_current', 'Open client connections', ['protocol'])
  /** protocol, result `accepted` | `rejected` */
  readonly connections = this.#counters('cafelog_connections_total', 'Connections accepted or rejected since start', [
    'protocol',
    'result',
  ])
  readonly fetchWaiting = this.#gauge('cafelog_fetch_waiting', 'Fetch requests parked until data arrives')
  readonly inflightBytes = this.#gauge('cafelog_inflight_bytes', 'Bytes of frames received and not yet complete')
  /** reason `memory`: too much was waiting to be sent or received */
  readonly throttled = this.#counters('cafelog_throttled_total', 'Times that a sender was slowed down or refused', [
    'reason',
  ])
  /** Live. check */
  readonly ready = this.#gauges('cafelog_ready', 'Whether a readiness check passes: 1 yes, 0 no', ['check'])
  /** version, node */
  readonly buildInfo = this.#gauges('cafelog_build_info', 'Always 1; the labels say what is running', [
    'version',
    'node',
  ])

  /** Live. */
  readonly topics = this.#gauges('cafelog_topics', 'Topics', [])
  /** Live. topic */
  readonly partitions = this.#gauges('cafelog_partitions', 'Partitions of a topic', ['topic'])
  /** Live. */
  readonly partitionsOffline = this.#gauges(
    'cafelog_partitions_offline',
    'Partitions closed for writes by a failed write or sync until the broker is started anew',
    [],
  )
  /** Live. topic, partition */
  readonly logStartOffset = this.#gauges('cafelog_log_start_offset', 'Offset of the oldest record kept', [
    'topic',
    'partition',
  ])
  /** Live. topic, partition */
  readonly logEndOffset = this.#gauges('cafelog_log_end_offset', 'Offset that the next record will get', [
    'topic',
    'partition',
  ])
  /** Live. topic */
  readonly logSizeBytes = this.#gauges('cafelog_log_size_bytes', 'Bytes of all segments of a topic', ['topic'])
  /** Live. topic */
  readonly logSegments = this.#gauges('cafelog_log_segments', 'Segments of a topic', ['topic'])
  readonly fsyncDurationSeconds = this.#histogram(
    'cafelog_fsync_duration_seconds',
    'Seconds that one sync of a segment file took',
    FSYNC_SECONDS_BOUNDS,
  )
  /** Live. topic, reason `size` | `time` | `manual` */
  readonly retentionDeletedBytes = this.#counters(
    'cafelog_retention_deleted_bytes_total',
    'Bytes of segments deleted, by what asked for it',
    ['topic', 'reason'],
  )
  /** Live. outcome `done` | `full` | `failed` | `corrupt` */
  readonly compactionRuns = this.#counters(
    'cafelog_compaction_runs_total',
    'Times that a partition was compacted, by how that ended',
    ['outcome'],
  )
  /** Live. */
  readonly compactionReadBytes = this.#counters(
    'cafelog_compaction_before_bytes_total',
    'Bytes of segments before they were compacted',
    [],
  )
  /** Live. */
  readonly compactionWrittenBytes = this.#counters(
    'cafelog_compaction_after_bytes_total',
    'Bytes of the same segments afterwards',
    [],
  )
  /** Live. reason `overtaken` | `tombstone` | `no_key` */
  readonly compactionRemovedRecords = this.#counters(
    'cafelog_compaction_removed_records_total',
    'Records removed by compaction, by why: a newer one has the same key, a tombstone had its time, there is no key',
    ['reason'],
  )
  /** Live. */
  readonly compactionLastRunSeconds = this.#gauges(
    'cafelog_compaction_last_run_seconds',
    'Seconds that the last compaction of a partition took',
    [],
  )
  /** Live. */
  readonly compactionDirtyRatioMax = this.#gauges(
    'cafelog_compaction_dirty_ratio_max',
    'Of the partitions of compacted topics, the largest share that was written since its last cleaning, 0 to 1',
    [],
  )
  /** Live. */
  readonly compactionUncleanable = this.#gauges(
    'cafelog_compaction_uncleanable_partitions',
    'Partitions that are not compacted until the next start, because something in them is damaged',
    [],
  )
  /** Live. */
  readonly compactionBatchesKept = this.#counters(
    'cafelog_compaction_unreadable_batches_total',
    'Batches that compaction left as they were, because their records could not be read or compressed',
    [],
  )
  readonly recoveryDurationSeconds = this.#gauge(
    'cafelog_recovery_duration_seconds',
    'Seconds that opening and recovering the log took at the last start',
  )
  readonly recoveryTruncatedBytes = this.#gauge(
    'cafelog_recovery_truncated_bytes',
    'Bytes of torn tails cut off at the last start',
  )
  /** Live. */
  readonly producers = this.#gauges(
    'cafelog_producers',
    'Producers that partitions remember, idempotent ones and others',
    [],
  )
  /** Live. */
  readonly producerDuplicates = this.#counters(
    'cafelog_producer_duplicates_total',
    'Batches that a producer sent again, answered without being stored again',
    [],
  )
  /** Live. */
  readonly producerOutOfOrder = this.#counters(
    'cafelog_producer_out_of_order_total',
    'Batches refused because they were not the next ones of their producer',
    [],
  )
  /** Live. topic, partition; only where a transaction is open */
  readonly lastStableOffsetLag = this.#gauges(
    'cafelog_last_stable_offset_lag',
    'Records that an open transaction keeps from consumers of committed records',
    ['topic', 'partition'],
  )
  /** Live. */
  readonly corruptBatches = this.#counters(
    'cafelog_corrupt_batches_total',
    'Record batches found not to match their checksum where they should have',
    [],
  )
  /** Live. */
  readonly diskFreeBytes = this.#gauges('cafelog_disk_free_bytes', 'Free bytes of the file system with the data', [])
  /** Live. */
  readonly diskTotalBytes = this.#gauges('cafelog_disk_total_bytes', 'Bytes of the file system with the data', [])
  /** policy `always` | `interval` | `os` */
  readonly flushPolicyInfo = this.#gauges(
    'cafelog_flush_policy_info',
    "Always 1; the broker's flush policy, which topics may override",
    ['policy'],
  )

  /** Live. group, topic, partition */
  readonly consumerCommittedOffset = this.#gauges(
    'cafelog_consumer_committed_offset',
    'Next offset that a consumer group wants',
    ['group', 'topic', 'partition'],
  )
  /** Live. kind `classic` | `consumer`, state */
  readonly consumerGroups = this.#gauges('cafelog_consumer_groups', 'Consumer groups, by kind and state', [
    'kind',
    'state',
  ])
  /** Live. group */
  readonly consumerGroupMembers = this.#gauges(
    'cafelog_consumer_group_members',
    'Members of a consumer group; 0 while there are only offsets',
    ['group'],
  )
  /** Live. group, state */
  readonly consumerGroupState = this.#gauges(
    'cafelog_consumer_group_state',
    'Always 1; the label says what state the group is in',
    ['group', 'state'],
  )
  /** Live. group */
  readonly consumerRebalances = this.#counters(
    'cafelog_consumer_rebalances_total',
    'Times that the partitions of a group were shared out anew: its generation or epoch',
    ['group'],
  )
  readonly consumerRebalanceDurationSeconds = this.#histogram(
    'cafelog_consumer_rebalance_duration_seconds',
    'Seconds from the beginning of a rebalance until all members of the group have their partitions',
    REBALANCE_SECONDS_BOUNDS,
  )
  readonly consumerMembersExpired = this.#counters(
    'cafelog_consumer_members_expired_total',
    'Members dropped from their group because they were not heard of in time',
    [],
  ).child()
  /** result `ok` | `error` */
  readonly offsetCommits = this.#counters('cafelog_offset_commits_total', 'Offset commits answered', ['result'])
  /** Live. group, topic */
  readonly consumerSkippedRecords = this.#gauges(
    'cafelog_consumer_skipped_records',
    'Offsets that were deleted before a consumer group had committed them; 0 again once it commits a later one',
    ['group', 'topic'],
  )

  /** Live. topic */
  readonly scheduledInflight = this.#gauges(
    'cafelog_scheduled_inflight',
    'Delayed records that were accepted and are not delivered or cancelled yet',
    ['topic'],
  )
  /** Live. topic, event `accepted` | `delivered` | `cancelled` | `rescheduled` | `failed` */
  readonly scheduled = this.#counters('cafelog_scheduled_total', 'Delayed records, by what became of them', [
    'topic',
    'event',
  ])
  /** Live. topic */
  readonly scheduledOverdue = this.#gauges(
    'cafelog_scheduled_overdue',
    'Delayed records that have been due for more than a second',
    ['topic'],
  )
  /** Live. Absent while nothing waits. */
  readonly scheduledNextDue = this.#gauges(
    'cafelog_scheduled_next_due_timestamp_seconds',
    'When the next delayed record is due, in seconds since 1970; absent while none waits',
    [],
  )
  readonly scheduledLimit = this.#gauge(
    'cafelog_scheduled_limit',
    'Delayed records of a topic that may wait at a time, unless the topic says otherwise; -1 is no limit',
  )
  readonly scheduledDeliveryDelaySeconds = this.#histogram(
    'cafelog_scheduled_delivery_delay_seconds',
    'Seconds from when a delayed record was due until it was stored in its partition',
    DELAY_SECONDS_BOUNDS,
  )

  /** Live. state: as Kafka names it */
  readonly transactions = this.#gauges('cafelog_transactions', 'Transactional ids, by the state of their transaction', [
    'state',
  ])
  /** result `commit` | `abort` | `timeout` */
  readonly transactionsEnded = this.#counters('cafelog_transactions_ended_total', 'Transactions ended, by how', [
    'result',
  ])
  readonly transactionDurationSeconds = this.#histogram(
    'cafelog_transaction_duration_seconds',
    'Seconds from the first partition or group of a transaction to its end',
    TRANSACTION_SECONDS_BOUNDS,
  )
  readonly producersFenced = this.#counters(
    'cafelog_producers_fenced_total',
    'Requests refused because a later producer has taken over, or the transaction took too long',
    [],
  ).child()

  /** Live. topic, result `valid` | `invalid` */
  readonly schemaValidations = this.#counters(
    'cafelog_schema_validations_total',
    "Records checked against their topic's schema, by whether they fit",
    ['topic', 'result'],
  )
  readonly schemaValidationDurationSeconds = this.#histogram(
    'cafelog_schema_validation_duration_seconds',
    'Seconds that checking the records of one batch took',
    FSYNC_SECONDS_BOUNDS,
  )
  /** Live. topic (origin), reason: a keyword of JSON Schema, or `parse`, `too_large`, `too_deep`, `too_costly` */
  readonly dlqMessages = this.#counters(
    'cafelog_dlq_messages_total',
    "Records that did not fit their topic's schema and went to its dead letter topic, by what they came for and why",
    ['topic', 'reason'],
  )
  /** Live. topic (for dead letters) */
  readonly dlqDepth = this.#gauges(
    'cafelog_dlq_depth',
    'Dead letters of a topic that are open: not redriven and not discarded',
    ['topic'],
  )
  /** Live. topic (for dead letters), result `ok` | `rejected_again` | `failed` */
  readonly dlqRedriven = this.#counters(
    'cafelog_dlq_redriven_total',
    'Dead letters that were to be sent again, by what became of them',
    ['topic', 'result'],
  )
  /** Live. topic (for dead letters) */
  readonly dlqDiscarded = this.#counters('cafelog_dlq_discarded_total', 'Dead letters that were discarded', ['topic'])

  /** Live. metric: the name of one with a label `topic` or `group` */
  readonly foldedSeries = this.#gauges(
    'cafelog_metrics_folded_series',
    'Series that a metric does not have, because there are too many topics or groups; they are added up under __other__',
    ['metric'],
  )
  readonly scrapeDurationSeconds = this.#gauge(
    'cafelog_metrics_scrape_duration_seconds',
    'Seconds that writing the metrics took at the last scrape; 0 before the first',
  )

  /** result `ok` | `error` */
  readonly snapshots = this.#counters('cafelog_snapshots_total', 'Snapshots that have ended, by how', ['result'])
  readonly snapshotLastSuccess = this.#gauge(
    'cafelog_snapshot_last_success_timestamp_seconds',
    'When the last complete snapshot ended, in seconds since 1970; 0 before the first since the start',
  )
  readonly snapshotLastSizeBytes = this.#gauge(
    'cafelog_snapshot_last_size_bytes',
    'Bytes of the last complete snapshot since the start',
  )
  readonly snapshotLastDurationSeconds = this.#gauge(
    'cafelog_snapshot_last_duration_seconds',
    'Seconds that the last complete snapshot took, with its client',
  )

  /** How many series topics may have of their own, about; and consumer groups as many again. */
  readonly seriesMax: number

  constructor({ seriesMax = SERIES_MAX }: { readonly seriesMax?: number } = {}) {
    this.seriesMax = seriesMax
    // Series that are known from the start are there from the start, so that rates and alerts work on the first event.
    for (const type of ERROR_TYPES) this.errors.child(type)
    for (const result of ['ok', 'error']) this.offsetCommits.child(result)
    this.throttled.child('memory')
    for (const result of ['ok', 'error']) this.snapshots.child(result)
    for (const result of ['commit', 'abort', 'timeout']) this.transactionsEnded.child(result)
  }

  /** In the order in which they are exported. */
  get families(): readonly Family[] {
    return this.#families
  }

  #gauge(name: string, help: string): Gauge {
    return this.#gauges(name, help, []).child()
  }
  #histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    return this.#histograms(name, help, [], bounds).child()
  }
  #counters(name: string, help: string, labelNames: readonly string[]): Family<Counter> {
    return this.#add(new Family({ name, help, type: 'counter', labelNames, make: () => new Counter() }))
  }
  #gauges(name: string, help: string, labelNames: readonly string[]): Family<Gauge> {
    return this.#add(new Family({ name, help, type: 'gauge', labelNames, make: () => new Gauge() }))
  }
  #histograms(name: string, help: string, labelNames: readonly string[], bounds: readonly number[]): Family<Histogram> {
    return this.#add(new Family({ name, help, type: 'histogram', labelNames, make: () => new Histogram(bounds) }))
  }
  #add<Child extends Instrument>(family: Family<Child>): Family<Child> {
    this.#families.push(family)
    return family
  }
}
