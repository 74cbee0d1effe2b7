import { readFile, stat } from 'node:fs/promises'
import { dirname, isAbsolute, join } from 'node:path'

import type * as yamlModule from 'yaml'
import type { Document, LineCounter, ParsedNode, YAMLMap } from 'yaml'

import { BrokerError } from '../base/broker-error.ts'
import { didYouMean } from '../base/nearest.ts'
import { parseTopicName } from '../base/topic-name.ts'
import type { TopicName } from '../base/topic-name.ts'
import { isDeadLetterTopic } from '../broker/dead-letter-topic.ts'
import { parseTopicSetting } from '../broker/topic-config.ts'
import type { TopicSettings } from '../broker/topic-config.ts'
import { SCHEMA_MODES } from '../broker/topic-schemas.ts'
import type { SchemaMode, SchemaWish, TopicSchemas } from '../broker/topic-schemas.ts'
import { PARTITIONS_PER_TOPIC_MAX } from '../broker/topics.ts'
import type { Topics } from '../broker/topics.ts'
import { CompiledSchema } from '../schema/compiled-schema.ts'
import { SCHEMA_LIMITS } from '../schema/limits.ts'
import { DRAFTS, parseDraft, SchemaRefused } from '../schema/schema-document.ts'
import type { Draft as SchemaDraft } from '../schema/schema-document.ts'
import { ConfigError } from './config.ts'

const FILE_BYTES_MAX = 1024 * 1024
/** As in Kafka, for a topic that does not say. */
const PARTITIONS_DEFAULT = 1

/** The library, which is loaded only when there is a file to read: it takes more of the start-up time than all else here. */
type Yaml = typeof yamlModule

/** The schema of a topic as the file declares it, with the text of the file that it names. */
export interface SchemaDeclaration extends SchemaWish {
  /** The file with the schema, for messages. */
  readonly path: string
  /** Where it is named. */
  readonly place: string
}

/** One topic as the file declares it. */
export interface TopicDeclaration {
  readonly name: TopicName
  /** Undefined when the file does not say: one for a new topic, and as many as it has for another. */
  readonly partitionCount: number | undefined
  /** Only what the file mentions, by Kafka's names. */
  readonly settings: TopicSettings
  readonly schema: SchemaDeclaration | undefined
  /** Where it is written, as `file:line:column`. */
  readonly place: string
  readonly partitionsPlace: string
}

/**
 * Reads a topics file. A file that is not there declares no topics.
 *
 * @throws ConfigError with everything that is wrong, each with its line and column
 */
export async function readTopicsFile(path: string): Promise<readonly TopicDeclaration[]> {
  let bytes: Buffer
  try {
    const { size } = await stat(path)
    if (size > FILE_BYTES_MAX) {
      throw new Error(`it has ${size} bytes, ${FILE_BYTES_MAX} are the most`)
    }
    bytes = await readFile(path)
  } catch (error) {
    // No `instanceof`: in Jest, errors of Node.js are of another Error than the one that is known here.
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return []
    throw new ConfigError([`Cannot read ${path}: ${message}`])
  }
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw new ConfigError([`Cannot read ${path}: it is not UTF-8 text`])
  }
  return parseTopicsFile(path, text, (name) => readFile(join(dirname(path), name)))
}

/**
 * Parses the text of a topics file; `path` is for messages. `readSchema` reads a file by its path within the folder.
 *
 * @throws ConfigError with everything that is wrong, each with its line and column
 */
export async function parseTopicsFile(
  path: string,
  text: string,
  readSchema: (name: string) => Promise<Buffer> = nothingToRead,
): Promise<readonly TopicDeclaration[]> {
  const yaml = await import('yaml')
  const lines = new yaml.LineCounter()
  const faults: string[] = []
  let document: Document.Parsed
  try {
    document = yaml.parseDocument(text, { lineCounter: lines, prettyErrors: false })
  } catch (error) {
    // The parser calls itself for every level of nesting.
    throw new ConfigError([
      `${path}: this cannot be read as YAML: ${error instanceof Error ? error.message : String(error)}`,
    ])
  }
  for (const { code, message, pos } of document.errors) {
    const { line, col } = lines.linePos(pos[0])
    const what =
      code === 'MULTIPLE_DOCS' ? 'a second document begins here: there can be only one' : `this is not YAML: ${message}`
    faults.push(`${path}:${line}:${col}: ${what}`)
  }
  const reader = new TopicsFileReader(yaml, path, lines, faults)
  const drafts = faults.length > 0 ? [] : reader.read(document.contents)
  const declarations: TopicDeclaration[] = []
  for (const { schema, ...rest } of drafts) {
    const wish =
      schema === undefined ? undefined : await readSchemaFile(dirname(path), schema, rest.name, readSchema, faults)
    declarations.push({ ...rest, schema: wish })
  }
  if (faults.length > 0) throw new ConfigError(faults)
  return declarations
}

/**
 * Makes the topics as the file has them: creates those that are missing, adds partitions, sets what the file mentions. What
 * it does not mention stays: other settings, other topics. Doing it twice is doing it once. Returns what was done, a
 * sentence for each topic.
 *
 * Everything is checked first; if anything is refused, nothing is done.
 *
 * @throws ConfigError for what cannot be done, with line and column; BrokerError KAFKA_STORAGE_ERROR
 */
export async function applyTopicsFile(
  { topics, schemas }: { readonly topics: Topics; readonly schemas: TopicSchemas },
  declarations: readonly TopicDeclaration[],
): Promise<readonly string[]> {
  await checkDeclarations(topics, declarations)
  const done: string[] = []
  for (const declaration of declarations) {
    const { name, partitionCount, settings, schema } = declaration
    if (topics.get(name) === undefined) {
      const created = { name, partitionCount: partitionCount ?? PARTITIONS_DEFAULT, overrides: settings }
      await topics.create(created)
      done.push(
        `created topic "${name}" with ${created.partitionCount} partition${created.partitionCount === 1 ? '' : 's'}`,
      )
    } else {
      const changes = await topics.alter(toAlteration(declaration))
      const what = changes.map(({ key, from, to }) => `${key} from ${from} to ${to}`)
      if (changes.length > 0) done.push(`changed topic "${name}": ${what.join(', ')}`)
    }
    if (schema === undefined) continue
    const { version, isNew } = await schemas.set(topics, topics.getExisting(name), schema)
    if (isNew) done.push(`set schema version ${version} of topic "${name}", mode ${schema.mode}: ${schema.path}`)
  }
  const files = declarations.flatMap(({ name, schema }) => (schema === undefined ? [] : [[name, schema.path] as const]))
  schemas.declare(new Map(files))
  return done
}

async function nothingToRead(name: string): Promise<Buffer> {
  throw new Error(`there is no ${name}`)
}

/** Reads and checks the schema that a topic names; what is wrong with it joins the faults, and nothing is returned. */
async function readSchemaFile(
  folder: string,
  { file, mode, draft, place }: DraftSchema,
  topicName: string,
  read: (name: string) => Promise<Buffer>,
  faults: string[],
): Promise<SchemaDeclaration | undefined> {
  const path = join(folder, file)
  let text: string
  try {
    const bytes = await read(file)
    if (bytes.length > SCHEMA_LIMITS.bytesMax) {
      throw new Error(`it has ${bytes.length} bytes, ${SCHEMA_LIMITS.bytesMax} are the most`)
    }
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    void new CompiledSchema(text, draft)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    if (error instanceof SchemaRefused)
      faults.push(`${path}:${error.place?.line ?? 1}:${error.place?.column ?? 1}: ${reason}`)
    else faults.push(`${place}: cannot read the schema ${path}: ${reason}`)
    return undefined
  }
  if (mode === 'dlq' && isDeadLetterTopic(topicName)) {
    faults.push(`${place}: a topic for dead letters cannot have a schema of mode dlq: reject and warn can be set`)
  }
  return { text, mode, draft, path, place }
}

async function checkDeclarations(topics: Topics, declarations: readonly TopicDeclaration[]) {
  const faults: string[] = []
  let partitionsWanted = 0
  for (const declaration of declarations) {
    const { name, partitionCount, place, partitionsPlace } = declaration
    const topic = topics.get(name)
    const partitionsNow = topic?.partitionCount ?? 0
    partitionsWanted += Math.max(0, (partitionCount ?? (partitionsNow || PARTITIONS_DEFAULT)) - partitionsNow)
    if (partitionsWanted > topics.partitionsLeft) {
      faults.push(
        `${partitionsPlace}: up to here the file wants ${partitionsWanted} partitions more: ${topics.partitionsLeft} are left`,
      )
      break
    }
    if (topic === undefined) continue
    try {
      await topics.alter({ ...toAlteration(declaration), dryRun: true })
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      faults.push(`${error.code === 'INVALID_PARTITIONS' ? partitionsPlace : place}: ${error.message}`)
    }
  }
  if (faults.length > 0) throw new ConfigError(faults)
}

function toAlteration({ name, partitionCount, settings }: TopicDeclaration) {
  return { name, set: settings, ...(partitionCount !== undefined && { partitionCount }) }
}

/** A value of a mapping: its node, undefined when there is nothing after the colon, and the place to point at. */
interface Entry {
  readonly key: string
  readonly node: ParsedNode | null
  readonly place: string
}

/** A topic while it is being read. */
interface Draft {
  partitionCount: number | undefined
  readonly settings: Map<string, string>
  /** Where each setting was found, to refuse a second one. */
  readonly settingPlaces: Map<string, string>
  schema: DraftSchema | undefined
}

/** What a topic says about its schema, before the file was read. */
interface DraftSchema {
  readonly file: string
  readonly mode: SchemaMode
  readonly draft: SchemaDraft | undefined
  readonly place: string
}

type DraftDeclaration = Omit<TopicDeclaration, 'schema'> & { readonly schema: DraftSchema | undefined }

/** Walks over the nodes of a YAML document and writes down what is wrong with it; goes on after each fault. */
class TopicsFileReader {
  readonly #yaml: Yaml
  readonly #path: string
  readonly #lines: LineCounter
  readonly #faults: string[]
  readonly #places = new Map<string, string>()

  constructor(yaml: Yaml, path: string, lines: LineCounter, faults: string[]) {
    this.#yaml = yaml
    this.#path = path
    this.#lines = lines
    this.#faults = faults
  }

  read(root: ParsedNode | null): DraftDeclaration[] {
    const declarations: DraftDeclaration[] = []
    if (isNothing(root)) return declarations
    this.#readMap('the file', root, this.#placeOf(root), {
      topics: ({ node, place }) => {
        if (isNothing(node)) return
        if (!this.#yaml.isSeq<ParsedNode>(node))
          return this.#fault(place, 'topics', this.#describe(node), 'a list of topics')
        for (const item of node.items) {
          const declaration = this.#readTopic(item)
          if (declaration !== undefined) declarations.push(declaration)
        }
      },
    })
    return declarations
  }

  #readTopic(node: ParsedNode): DraftDeclaration | undefined {
    const place = this.#placeOf(node)
    const draft: Draft = { partitionCount: undefined, settings: new Map(), settingPlaces: new Map(), schema: undefined }
    const setting = (name: string) => (entry: Entry) => this.#readSetting(draft, name, entry)
    let name: TopicName | undefined
    let namePlace: string | undefined
    let partitionsPlace = place
    const isMap = this.#readMap('a topic', node, place, {
      name: (entry) => {
        namePlace = entry.place
        name = this.#readName(entry)
      },
      partitions: (entry) => {
        partitionsPlace = entry.place
        draft.partitionCount = this.#readPartitionCount(entry)
      },
      retention: ({ node, place }) => {
        this.#readMap('retention', node, place, { bytes: setting('retention.bytes'), ms: setting('retention.ms') })
      },
      segment: ({ node, place }) => {
        this.#readMap('segment', node, place, { bytes: setting('segment.bytes'), ms: setting('segment.ms') })
      },
      flush: setting('flush.policy'),
      maxMessageBytes: setting('max.message.bytes'),
      schema: (entry) => {
        draft.schema = this.#readSchema(entry)
      },
      config: ({ node, place }) => {
        this.#readMap('config', node, place, (entry) => this.#readSetting(draft, entry.key, entry))
      },
    })
    if (isMap && namePlace === undefined)
      this.#faults.push(`${place}: this topic has no name: begin it with "- name: …"`)
    if (name === undefined) return undefined
    const { partitionCount, settings, schema } = draft
    return { name, partitionCount, settings, schema, place: namePlace ?? place, partitionsPlace }
  }

  #readName(entry: Entry): TopicName | undefined {
    const text = this.#readText('name', entry)
    if (text === undefined) return undefined
    const before = this.#places.get(text)
    if (before !== undefined) {
      this.#faults.push(`${entry.place}: topic ${JSON.stringify(text)} is declared twice, first at ${before}`)
      return undefined
    }
    this.#places.set(text, entry.place)
    return this.#attempt(entry.place, () => parseTopicName(text))
  }

  #readSchema({ node, place }: Entry): DraftSchema | undefined {
    let file: string | undefined
    let mode: SchemaMode | undefined
    let draft: SchemaDraft | undefined
    let filePlace = place
    const isMap = this.#readMap('schema', node, place, {
      file: (entry) => {
        const text = this.#readText('file', entry)
        if (text === undefined) return
        filePlace = entry.place
        const isInside = !isAbsolute(text) && !text.split(/[\\/]/).includes('..') && text !== ''
        if (isInside) file = text
        else this.#fault(entry.place, 'file', JSON.stringify(text), 'a path within the folder of this file')
      },
      mode: (entry) => {
        const text = this.#readText('mode', entry)
        mode = SCHEMA_MODES.find((known) => known === text)
        if (text !== undefined && mode === undefined) {
          this.#fault(entry.place, 'mode', JSON.stringify(text), SCHEMA_MODES.join(', '))
        }
      },
      draft: (entry) => {
        const text = this.#readText('draft', entry)
        draft = text === undefined ? undefined : parseDraft(text)
        if (text !== undefined && draft === undefined) {
          this.#fault(entry.place, 'draft', JSON.stringify(text), DRAFTS.join(', '))
        }
      },
    })
    if (!isMap) return undefined
    const members = this.#yaml.isMap<ParsedNode, ParsedNode | null>(node)
      ? this.#entriesOf(node).map(({ key }) => key)
      : []
    for (const wanted of ['file', 'mode']) {
      if (!members.includes(wanted)) this.#faults.push(`${place}: this schema has no ${wanted}: it needs file and mode`)
    }
    return file === undefined || mode === undefined ? undefined : { file, mode, draft, place: filePlace }
  }

  #readPartitionCount(entry: Entry): number | undefined {
    const text = this.#readText('partitions', entry)
    if (text === undefined) return undefined
    const partitionCount = /^\d{1,9}$/.test(text) ? Number(text) : 0
    if (partitionCount >= 1 && partitionCount <= PARTITIONS_PER_TOPIC_MAX) return partitionCount
    this.#fault(entry.place, 'partitions', JSON.stringify(text), `a whole number from 1 to ${PARTITIONS_PER_TOPIC_MAX}`)
    return undefined
  }

  #readSetting({ settings, settingPlaces }: Draft, name: string, entry: Entry) {
    const text = this.#readText(name, entry)
    if (text === undefined) return
    const before = settingPlaces.get(name)
    if (before !== undefined) {
      this.#faults.push(`${entry.place}: ${name} is set twice for this topic, first at ${before}`)
      return
    }
    settingPlaces.set(name, entry.place)
    const value = this.#attempt(entry.place, () => parseTopicSetting(name, text))
    if (value !== undefined) settings.set(name, value)
  }

  /** The text of a value as it is written, so that a number is read by our rules and not by YAML's. */
  #readText(what: string, { node, place }: Entry): string | undefined {
    if (this.#yaml.isScalar(node)) {
      if (typeof node.value === 'string') return node.value
      if (typeof node.value === 'number') return node.source ?? String(node.value)
    }
    this.#fault(place, what, this.#describe(node), 'a text or a number')
    return undefined
  }

  /** Gives each value of a mapping to its reader, or all to one; says whether it was a mapping at all. */
  #readMap(
    what: string,
    node: ParsedNode | null,
    place: string,
    readers: Readonly<Record<string, (entry: Entry) => void>> | ((entry: Entry) => void),
  ): boolean {
    const names = typeof readers === 'function' ? [] : Object.keys(readers)
    if (!this.#yaml.isMap<ParsedNode, ParsedNode | null>(node)) {
      const wanted = names.length === 0 ? 'keys with values' : `a mapping with ${names.join(', ')}`
      this.#fault(place, what, this.#describe(node), wanted)
      return false
    }
    for (const entry of this.#entriesOf(node)) {
      const read = typeof readers === 'function' ? readers : new Map(Object.entries(readers)).get(entry.key)
      if (read !== undefined) {
        read(entry)
        continue
      }
      const hint = didYouMean(entry.key, names) || `, there is ${names.join(', ')}`
      this.#faults.push(`${entry.place}: there is no ${JSON.stringify(entry.key)} in ${what}${hint}`)
    }
    return true
  }

  #entriesOf(map: YAMLMap<ParsedNode, ParsedNode | null>): Entry[] {
    return map.items.map(({ key, value }) => ({
      key: this.#yaml.isScalar(key) ? String(key.value) : this.#describe(key),
      node: value,
      place: this.#placeOf(isNothing(value) ? key : (value ?? key)),
    }))
  }

  #attempt<Value>(place: string, parse: () => Value): Value | undefined {
    try {
      return parse()
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error
      this.#faults.push(`${place}: ${error.message}`)
      return undefined
    }
  }

  #fault(place: string, what: string, is: string, wanted: string) {
    this.#faults.push(`${place}: ${what} is ${is}: it must be ${wanted}`)
  }

  #describe(node: ParsedNode | null): string {
    if (isNothing(node)) return 'empty'
    if (this.#yaml.isAlias(node)) return 'an alias, which is not followed here'
    if (this.#yaml.isMap(node)) return 'a mapping'
    if (this.#yaml.isSeq(node)) return 'a list'
    return JSON.stringify(String(node?.value))
  }

  #placeOf(node: ParsedNode | null): string {
    const { line, col } = this.#lines.linePos(node?.range[0] ?? 0)
    return `${this.#path}:${line}:${col}`
  }
}

/** Nothing after the colon, or `null`. */
function isNothing(node: ParsedNode | null): boolean {
  return node === null || ('value' in node && node.value === null)
}
