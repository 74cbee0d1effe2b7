/** The form of snapshots that this version writes, and the only one that it reads. */
export const SNAPSHOT_FORMAT = 1

/** The name of the file that says what a snapshot consists of; the first one in it. */
export const SNAPSHOT_MANIFEST = 'snapshot.json'

/** What a snapshot consists of. */
export interface SnapshotManifest {
  readonly format: number
  /** The CafeLog that has taken it. */
  readonly version: string
  readonly clusterId: string
  /** The moment that it is of, ISO 8601. */
  readonly createdAt: string
  /** Everything but the manifest itself, in order. Paths are those in a data directory, with `/` between names. */
  readonly files: readonly { readonly path: string; readonly sizeBytes: number }[]
}
