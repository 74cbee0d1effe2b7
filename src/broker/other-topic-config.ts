import { BrokerError } from '../base/broker-error.ts'
import { parseDuration } from '../base/units.ts'
import type { FlushPolicy } from '../log/log-engine.ts'
import { INT64_MAX, oneOf } from './topic-config-key.ts'
import type { TopicConfigKey } from './topic-config-key.ts'

// Kafka's other settings of topics. Clients list them, and set them again as they have read them; so each is shown, and
// takes what changes nothing that anyone could notice. What this broker could not keep is refused, and why.

/** What a setting is that concerns nothing here: texts in, the same texts out. */
interface OtherKey extends TopicConfigKey<string> {
  /** Why nothing else is taken. */
  readonly because: string
}

const HOUR_MS = 60 * 60 * 1000
const ONE_BROKER = 'there is one broker'
const NO_TIERS = 'all segments are kept in the data directory'

const FLUSH_MESSAGES = 'flush.messages'
const FLUSH_MS = 'flush.ms'

/** By name, as Kafka has them. */
export const OTHER_TOPIC_CONFIG: ReadonlyMap<string, OtherKey> = new Map(
  [
    {
      name: FLUSH_MESSAGES,
      default: INT64_MAX,
      ...wholeNumber(1),
      meaning: 'After how many records, at the latest, they go to stable storage: any limit makes flush.policy always.',
      because: 'it counts records',
    },
    {
      name: FLUSH_MS,
      default: INT64_MAX,
      ...wholeNumber(0),
      meaning: 'After what time, at the latest, records go to stable storage: flush.policy is at least so strict.',
      because: 'it is a time',
    },
    {
      name: 'min.insync.replicas',
      default: '1',
      ...oneOf(['1']),
      meaning: 'How many copies a record must have before it is acknowledged. There is one.',
      because: `${ONE_BROKER}, and so one copy`,
    },
    {
      name: 'compression.lz4.level',
      default: '9',
      ...oneOf(['9']),
      meaning: 'How hard lz4 tries. It has one level here.',
      because: 'lz4 has one level here',
    },
    {
      name: 'file.delete.delay.ms',
      default: '60000',
      ...wholeNumber(0),
      meaning: 'How long removed segments stay on disk. They go at once.',
      because: 'it is a time',
    },
    {
      name: 'segment.index.bytes',
      default: '10485760',
      ...wholeNumber(4),
      meaning: 'How large an index may grow. It is as large as its segment makes it.',
      because: 'it is a size',
    },
    {
      name: 'segment.jitter.ms',
      default: '0',
      ...wholeNumber(0),
      meaning: 'By how much segments may begin earlier than segment.ms, so that not all begin at once. They do not.',
      because: 'it is a time',
    },
    {
      name: 'preallocate',
      default: 'false',
      ...oneOf(['false']),
      meaning: 'Whether segments take their room on disk when they begin. They grow.',
      because: 'segments grow as they are written',
    },
    {
      name: 'unclean.leader.election.enable',
      default: 'false',
      ...oneOf(['false', 'true']),
      meaning: 'Whether a replica that lacks records may lead. There are no replicas.',
      because: ONE_BROKER,
    },
    {
      name: 'leader.replication.throttled.replicas',
      default: '',
      ...replicas(),
      meaning: 'Which replicas are sent slowly. There are no replicas.',
      because: ONE_BROKER,
    },
    {
      name: 'follower.replication.throttled.replicas',
      default: '',
      ...replicas(),
      meaning: 'Which replicas are fetched slowly. There are no replicas.',
      because: ONE_BROKER,
    },
    {
      name: 'remote.storage.enable',
      default: 'false',
      ...oneOf(['false']),
      meaning: 'Whether old segments move to a store of objects. There is none.',
      because: NO_TIERS,
    },
    {
      name: 'local.retention.ms',
      default: '-2',
      ...oneOf(['-2']),
      meaning:
        'How long segments stay here that are in a store of objects too. There is none: -2 stands for retention.ms.',
      because: NO_TIERS,
    },
    {
      name: 'local.retention.bytes',
      default: '-2',
      ...oneOf(['-2']),
      meaning: 'The same by size: -2 stands for retention.bytes.',
      because: NO_TIERS,
    },
  ].map((key) => [key.name, key]),
)

/** The refusal of a value for one of these. */
export function refuseOther({ name, wanted, because }: OtherKey, text: string): BrokerError {
  const shown = text.length > 80 ? `${text.slice(0, 80)}…` : text
  return new BrokerError(
    'INVALID_CONFIG',
    `Cannot set ${name} to ${JSON.stringify(shown)}: ${because}, so it must be ${wanted}`,
  )
}

/**
 * The flush policy with Kafka's two settings considered: they say when records are flushed at the latest, so they can make
 * the policy stricter and never laxer. `get` gives the text that is set for a key, if there is one.
 */
export function stricterFlushPolicy(policy: FlushPolicy, get: (name: string) => string | undefined): FlushPolicy {
  const messages = get(FLUSH_MESSAGES) ?? INT64_MAX
  const intervalMs = Number(get(FLUSH_MS) ?? INT64_MAX)
  if (policy.kind === 'always' || messages !== INT64_MAX || intervalMs === 0) return { kind: 'always' }
  if (intervalMs >= Number(INT64_MAX)) return policy
  const wanted = Math.min(intervalMs, HOUR_MS)
  return policy.kind === 'interval' && policy.intervalMs <= wanted ? policy : { kind: 'interval', intervalMs: wanted }
}

/** A whole number of Kafka's, which has 64 bits. It stays text: nothing is reckoned with it. */
function wholeNumber(least: number) {
  return {
    wanted: `a whole number, at least ${least}`,
    parse: (text: string) => {
      if (text === INT64_MAX) return text
      const value = parseDuration(text)
      return value !== undefined && value >= least ? String(value) : undefined
    },
    format: String,
  }
}

/** Kafka's lists of replicas: partition and broker, or all of them. */
function replicas() {
  return {
    wanted: 'empty, "*", "none", or partitions and brokers such as "0:1,2:1"',
    parse: (text: string) =>
      /^(?:\*|none|(?:\d+:\d+(?:, ?\d+:\d+)*)?)$/.test(text) && text.length < 10_000 ? text : undefined,
    format: String,
  }
}
