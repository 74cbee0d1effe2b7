import { BrokerError } from '../base/broker-error.ts'
import type { Clock } from '../base/clock.ts'
import type { Metrics } from '../metrics/metrics.ts'
import { CompiledSchema } from '../schema/compiled-schema.ts'
import { DRAFTS, SchemaRefused } from '../schema/schema-document.ts'
import type { Draft } from '../schema/schema-document.ts'
import type { Store } from '../store/store.ts'
import { ensureDeadLetterTopic, isDeadLetterTopic } from './dead-letter-topic.ts'
import type { Topic, Topics } from './topics.ts'

/** What becomes of records that do not fit. */
export const SCHEMA_MODES = ['reject', 'dlq', 'warn'] as const
export type SchemaMode = (typeof SCHEMA_MODES)[number]

/** A schema to be set for a topic. */
export interface SchemaWish {
  readonly text: string
  readonly mode: SchemaMode
  /** Of a schema that does not say. */
  readonly draft?: Draft | undefined
}

/** One version of a topic's schema, as it was set. */
export interface SchemaVersion {
  readonly version: number
  /** Undefined: from here on the topic has no schema. */
  readonly text: string | undefined
  readonly mode: SchemaMode
  readonly draft: Draft
  readonly setAtMs: number
}

/** The schema that is in force for a topic, ready to be applied. */
export interface ActiveSchema {
  readonly version: number
  readonly mode: SchemaMode
  readonly compiled: CompiledSchema
  readonly setAtMs: number
  readonly counts: SchemaCounts
}

/** How many records were checked since the start, by whether they fit. */
export interface SchemaCounts {
  valid: number
  invalid: number
}

// Row of the table `schemas`. Key: topic, U+0000, the version in ten digits. Value: JSON:
//   {"version":1,"topicId":"…","text":"{…}" or null,"mode":"reject","draft":"2020-12","setAtMs":…}
const ROW_VERSION = 1
const VERSION_DIGITS = 10
const SEPARATOR = '\u0000'
/** Older ones go. */
const VERSIONS_MAX = 100

/**
 * The schemas of all topics: every version that was set, and the one that is in force. A topic made anew under an old name
 * has none of the old one's.
 */
export class TopicSchemas {
  readonly #store: Store
  readonly #clock: Clock
  readonly #counts = new Map<string, SchemaCounts>()
  readonly #active = new Map<string, ActiveSchema>()
  readonly #versions = new Map<string, { readonly topicId: string; readonly list: SchemaVersion[] }>()
  #declared: ReadonlyMap<string, string> = new Map()

  constructor(parts: { readonly store: Store; readonly clock: Clock; readonly metrics: Metrics }) {
    this.#store = parts.store
    this.#clock = parts.clock
    parts.metrics.schemaValidations.collect = (emit) => {
      for (const [topicName, { valid, invalid }] of this.#counts) {
        emit(valid, topicName, 'valid')
        emit(invalid, topicName, 'invalid')
      }
    }
  }

  /** Reads what is stored for the topics there are. Once, when these are loaded. */
  load(topics: Topics): void {
    for (const [key, value] of this.#store.entries('schemas')) {
      const { topicName, topicId, version } = decodeRow(key, value)
      if (topics.get(topicName)?.id !== topicId) continue
      this.#listOf(topicName, topicId).push(version)
    }
    for (const [topicName, { list }] of this.#versions) this.#activate(topicName, list.at(-1))
  }

  /** Whether any topic has a schema. */
  get isEmpty(): boolean {
    return this.#active.size === 0
  }

  /** The schema in force. */
  get(topicName: string): ActiveSchema | undefined {
    return this.#active.get(topicName)
  }

  /** All versions that are kept, oldest first. */
  versions(topic: Topic): readonly SchemaVersion[] {
    const known = this.#versions.get(topic.name)
    return known?.topicId === topic.id ? known.list : []
  }

  /** The file with the schema that the configuration declares for a topic. That one is set again whenever it is read. */
  declaredIn(topicName: string): string | undefined {
    return this.#declared.get(topicName)
  }

  /** Notes which topics' schemas the configuration declares, each with its file. */
  declare(files: ReadonlyMap<string, string>): void {
    this.#declared = files
  }

  /**
   * Sets the schema of a topic. The same as is in force changes nothing; `isNew` is false then. For the mode `dlq` the
   * dead letter topic is made first. A trial only says what would be.
   *
   * @throws BrokerError INVALID_CONFIG for a schema that is not taken; as `Topics.create`; KAFKA_STORAGE_ERROR
   */
  async set(
    topics: Topics,
    topic: Topic,
    wish: SchemaWish,
    { isTrial = false }: { readonly isTrial?: boolean } = {},
  ): Promise<{ version: number; isNew: boolean }> {
    const compiled = compileSchema(topic.name, wish)
    if (wish.mode === 'dlq') {
      if (isDeadLetterTopic(topic.name)) {
        throw new BrokerError(
          'INVALID_CONFIG',
          `Cannot set a schema of mode dlq for topic "${topic.name}": that is for dead letters itself; reject and warn can be set`,
        )
      }
      if (!isTrial) await ensureDeadLetterTopic(topics, topic)
    }
    const current = this.versions(topic).at(-1)
    const isSame =
      current !== undefined &&
      current.text === wish.text &&
      current.mode === wish.mode &&
      current.draft === compiled.draft
    if (isSame) return { version: current.version, isNew: false }
    if (isTrial) return { version: (current?.version ?? 0) + 1, isNew: true }
    const version = await this.#add(topic, { text: wish.text, mode: wish.mode, draft: compiled.draft }, compiled)
    return { version, isNew: true }
  }

  /** Takes the schema of a topic away; the versions stay. False when there was none. */
  async unset(topic: Topic): Promise<boolean> {
    const current = this.versions(topic).at(-1)
    if (current?.text === undefined) return false
    await this.#add(topic, { text: undefined, mode: current.mode, draft: current.draft }, undefined)
    return true
  }

  /** A topic is gone: its schemas too. */
  async removeTopic(topicName: string): Promise<void> {
    this.#active.delete(topicName)
    this.#versions.delete(topicName)
    this.#counts.delete(topicName)
    const keys = [...this.#store.entries('schemas', `${topicName}${SEPARATOR}`)].map(([key]) => key)
    if (keys.length > 0) await this.#store.commit(keys.map((key) => ({ table: 'schemas', key, value: undefined })))
  }

  async #add(
    topic: Topic,
    what: Pick<SchemaVersion, 'text' | 'mode' | 'draft'>,
    compiled: CompiledSchema | undefined,
  ): Promise<number> {
    const list = this.#listOf(topic.name, topic.id)
    const version: SchemaVersion = { version: (list.at(-1)?.version ?? 0) + 1, ...what, setAtMs: this.#clock.now() }
    const outdated = list.slice(0, Math.max(0, list.length + 1 - VERSIONS_MAX))
    const changes = [
      { key: keyOf(topic.name, version.version), value: encodeRow(topic.id, version) },
      ...outdated.map((old) => ({ key: keyOf(topic.name, old.version), value: undefined })),
    ]
    // At once, so that whoever sets another one meanwhile gets the number after this.
    list.splice(0, outdated.length)
    list.push(version)
    try {
      await this.#store.commit(changes.map((change) => ({ table: 'schemas', ...change })))
    } catch (error) {
      list.splice(list.indexOf(version), 1)
      throw error
    }
    if (list.at(-1) === version) this.#activate(topic.name, version, compiled)
    return version.version
  }

  #activate(topicName: string, version: SchemaVersion | undefined, compiled?: CompiledSchema): void {
    if (version?.text === undefined) {
      this.#active.delete(topicName)
      return
    }
    const counts = this.#counts.get(topicName) ?? { valid: 0, invalid: 0 }
    this.#counts.set(topicName, counts)
    this.#active.set(topicName, {
      version: version.version,
      mode: version.mode,
      compiled: compiled ?? new CompiledSchema(version.text, version.draft),
      setAtMs: version.setAtMs,
      counts,
    })
  }

  #listOf(topicName: string, topicId: string): SchemaVersion[] {
    const known = this.#versions.get(topicName)
    if (known?.topicId === topicId) return known.list
    const list: SchemaVersion[] = []
    this.#versions.set(topicName, { topicId, list })
    return list
  }
}

/**
 * Compiles a schema for a topic.
 *
 * @throws BrokerError INVALID_CONFIG with line and column
 */
export function compileSchema(topicName: string, { text, draft }: Pick<SchemaWish, 'text' | 'draft'>): CompiledSchema {
  try {
    return new CompiledSchema(text, draft)
  } catch (error) {
    if (!(error instanceof SchemaRefused)) throw error
    const { line = 1, column = 1 } = error.place ?? {}
    throw new BrokerError(
      'INVALID_CONFIG',
      `Cannot take the schema for topic "${topicName}": line ${line}, column ${column}: ${error.message}`,
      { cause: error },
    )
  }
}

function keyOf(topicName: string, version: number): string {
  return `${topicName}${SEPARATOR}${String(version).padStart(VERSION_DIGITS, '0')}`
}

function encodeRow(
  topicId: string,
  { text = null, mode, draft, setAtMs }: Omit<SchemaVersion, 'text'> & { text?: string | null | undefined },
): Buffer {
  return Buffer.from(JSON.stringify({ version: ROW_VERSION, topicId, text, mode, draft, setAtMs }))
}

function decodeRow(key: string, value: Buffer) {
  try {
    const [topicName, digits] = key.split(SEPARATOR)
    const row = JSON.parse(value.toString()) as Record<string, unknown>
    if (row.version !== ROW_VERSION) throw new Error(`it has version ${String(row.version)}`)
    const mode = SCHEMA_MODES.find((known) => known === row.mode)
    const draft = DRAFTS.find((known) => known === row.draft)
    const { topicId, text, setAtMs } = row
    const isText = text === null || typeof text === 'string'
    if (
      mode === undefined ||
      draft === undefined ||
      typeof topicId !== 'string' ||
      typeof setAtMs !== 'number' ||
      !isText
    ) {
      throw new Error('a field is missing')
    }
    const version: SchemaVersion = { version: Number(digits), text: text ?? undefined, mode, draft, setAtMs }
    return { topicName, topicId, version }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new Error(`Cannot read the schema ${JSON.stringify(key)} in the store: ${reason}`, { cause: error })
  }
}
