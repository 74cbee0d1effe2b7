/** Limits of the delay queue that are not settings. Tests make them smaller. */
export interface DelayOptions {
  /** Schedules of all topics that are kept in memory because they are due next; the others wait in the store. */
  readonly nearMax: number
  /** Records and bytes of one delivered batch, and batches of a partition that are on their way at a time. */
  readonly batchRecordsMax: number
  readonly batchBytesMax: number
  readonly batchesOnTheirWayMax: number
  /** How often the wall clock is looked at for a jump, while anything waits. */
  readonly clockCheckMs: number
  /** When a delivery that failed is tried again. */
  readonly retryMs: number
  /** When a record is tried again that its topic does not take any more. */
  readonly refusedRetryMs: number
  /** Without a delivery for so long, a partition's log need not be read after a crash. */
  readonly quietMs: number
}

export const DELAY_DEFAULTS: DelayOptions = {
  nearMax: 16_384,
  batchRecordsMax: 250,
  batchBytesMax: 1024 * 1024,
  batchesOnTheirWayMax: 8,
  clockCheckMs: 500,
  retryMs: 1000,
  refusedRetryMs: 30_000,
  quietMs: 1000,
}

/** The headers by which a Kafka record asks for delay: Unix milliseconds, and milliseconds from now, in decimal digits. */
export const DUE_AT_HEADER = 'cafelog-due-at'
export const DELAY_HEADER = 'cafelog-delay-ms'
/** The headers that a delivered record has: when it was due, Unix milliseconds, and the id under which it waited. */
export const SCHEDULED_AT_HEADER = 'cafelog-scheduled-at'
export const SCHEDULE_ID_HEADER = 'cafelog-schedule-id'
