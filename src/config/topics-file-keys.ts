import { TOPIC_CONFIG } from '../broker/topic-config.ts'
import { PARTITIONS_PER_TOPIC_MAX } from '../broker/topics.ts'
import { SCHEMA_MODES } from '../broker/topic-schemas.ts'
import { DRAFTS } from '../schema/schema-document.ts'

/** A key of topics.yml: what the documentation says about it. */
export interface TopicsFileKey {
  /** From the top of the file, with `[]` behind lists. */
  readonly path: string
  /** As it would be written; empty for a key that must be there, or that says nothing when it is not. */
  readonly default: string
  readonly range: string
  /** What SIGHUP makes of a change. */
  readonly onReload: string
  readonly meaning: string
}

const AT_ONCE = 'applied at once'

/** Keys that set a setting of the topic under a shorter name. */
const SHORT_NAMES = [
  ['retention.bytes', TOPIC_CONFIG.retentionBytes],
  ['retention.ms', TOPIC_CONFIG.retentionMs],
  ['segment.bytes', TOPIC_CONFIG.segmentBytes],
  ['segment.ms', TOPIC_CONFIG.segmentMs],
  ['flush', TOPIC_CONFIG.flushPolicy],
  ['maxMessageBytes', TOPIC_CONFIG.batchBytesMax],
] as const

/** Every key of topics.yml. docs/configuration.md has this table, and a test compares it with what is read. */
export const TOPICS_FILE_KEYS: readonly TopicsFileKey[] = [
  { path: 'topics', default: '', range: 'a list', onReload: '', meaning: 'The topics that must be there' },
  {
    path: 'topics[].name',
    default: '',
    range: '1 to 249 letters, digits, dots, underscores or hyphens; not . or ..',
    onReload: 'new ones are made, none is deleted',
    meaning: 'The only key that a topic must have; each name once',
  },
  {
    path: 'topics[].partitions',
    default: '1',
    range: `a whole number from 1 to ${PARTITIONS_PER_TOPIC_MAX}`,
    onReload: 'more are added; fewer are refused',
    meaning: 'A topic that is there keeps its own when this is not said',
  },
  ...SHORT_NAMES.map(([name, { name: setting }]) => ({
    path: `topics[].${name}`,
    default: '',
    range: `as ${setting}`,
    onReload: AT_ONCE,
    meaning: `The setting ${setting}`,
  })),
  {
    path: 'topics[].schema.file',
    default: '',
    range: 'a path within the folder of topics.yml',
    onReload: 'a new version, if it differs',
    meaning: 'The JSON Schema that records have to fit',
  },
  {
    path: 'topics[].schema.mode',
    default: '',
    range: SCHEMA_MODES.join(', '),
    onReload: 'a new version, if it differs',
    meaning: 'What becomes of records that do not fit; must be there with a file',
  },
  {
    path: 'topics[].schema.draft',
    default: 'what the schema says, else 2020-12',
    range: DRAFTS.join(', '),
    onReload: 'a new version, if it differs',
    meaning: 'The draft of JSON Schema',
  },
  {
    path: 'topics[].config',
    default: '',
    range: 'keys of topics with their values',
    onReload: AT_ONCE,
    meaning: 'Any setting of the topic, by its full name; each once in all',
  },
]
