import { api } from '../api.ts'
import { array, bool, int16, int32, int64, string } from '../schema.ts'

/**
 * Tells how many bytes partitions take in which data directory. `topics` null asks for all.
 *
 * - v2: flexible
 * - v3: an error of the whole request
 * - v4: size of the volume, and what of it is free (KIP-827)
 */
export const DescribeLogDirs = api(
  35,
  'DescribeLogDirs',
  { versions: '1-4', flexible: 2 },
  {
    request: {
      topics: array({ topic: string, partitions: array(int32) }).nullable,
    },
    response: {
      throttleTimeMs: int32.default(0),
      errorCode: int16.since(3).default(0),
      results: array({
        errorCode: int16,
        logDir: string,
        topics: array({
          name: string,
          partitions: array({
            partitionIndex: int32,
            partitionSize: int64,
            /** How far a replica is behind; 0 on the leader. */
            offsetLag: int64,
            /** Whether it is a copy that is being moved in from another directory. */
            isFutureKey: bool,
          }),
        }),
        totalBytes: int64.since(4).default(-1),
        usableBytes: int64.since(4).default(-1),
      }),
    },
  },
)
