/** The tables of the embedded store; docs/log-format.md lists what each holds. */
export const TABLES = [
  'meta',
  'topics',
  'offsets',
  'pending_offsets',
  'groups',
  'transactions',
  'schedules',
  'schedules_due',
  'schedule_topics',
  'schedule_points',
  'schedule_producers',
  'schemas',
  'dead_letters',
  'dead_letter_partitions',
  'redrives',
] as const
export type TableName = (typeof TABLES)[number]

/** One row to write, or to remove when `value` is undefined. */
export interface StoreChange {
  readonly table: TableName
  /** 1 to 1,900 bytes of UTF-8. */
  readonly key: string
  readonly value: Buffer | undefined
}

/** Everything that is not a record batch: small, transactional, durable. */
export interface Store {
  /** The first failed commit; from then on every commit is refused until the broker has been started anew. */
  readonly failure: Error | undefined
  get(table: TableName, key: string): Buffer | undefined
  /** Rows in byte order of their keys, those that begin with `prefix` if it is given. */
  entries(table: TableName, prefix?: string): Iterable<readonly [key: string, value: Buffer]>
  /** Rows in byte order of their keys, from `start` on to before `end`. */
  range(table: TableName, start: string, end: string): Iterable<readonly [key: string, value: Buffer]>
  /** How many rows there are, without looking at them. */
  count(table: TableName): number
  /**
   * Applies all changes or none. Resolves when they are on stable storage; a reader sees them no earlier than that, or
   * soon before. Commits that are waiting at the same time share one sync.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR
   */
  commit(changes: readonly StoreChange[]): Promise<void>
  /**
   * Makes a second store in a directory that is not there yet, with the rows as they are on stable storage at the moment of
   * this call. Commits go on meanwhile. What is begun is left in the directory when it fails.
   *
   * @throws BrokerError KAFKA_STORAGE_ERROR for want of space; POLICY_VIOLATION when there is nothing on a disk
   */
  copyTo(directory: string): Promise<void>
  close(): Promise<void>
}
