import { readFileSync } from 'node:fs'
import { usageFailure } from './failure.ts'

/** What a group had committed in a partition when it was exported; null: nothing. */
export interface ExportedOffset {
  readonly topic: string
  readonly partition: number
  readonly offset: number | null
}

/** What `consumer export` prints and `consumer reset --from-file` takes. */
export interface ExportedGroup {
  readonly v: 1
  readonly group: string
  readonly exportedAt: string
  readonly offsets: readonly ExportedOffset[]
}

const WANTED =
  'what "brokerctl consumer export" prints, or lines of TOPIC,PARTITION,OFFSET as kafka-consumer-groups exports them'

/**
 * Reads exported offsets from a file, or from stdin when its name is `-`.
 *
 * @throws CliFailure when the content is something else; Node's error when the file cannot be read
 */
export async function readOffsetsFile(path: string, stdin: NodeJS.ReadStream): Promise<readonly ExportedOffset[]> {
  const text = path === '-' ? await readAll(stdin) : readFileSync(path, 'utf8')
  return parseOffsetsFile(text, path === '-' ? 'stdin' : path)
}

/**
 * Reads the content of such a file. `name` is what messages call it.
 *
 * @throws CliFailure
 */
export function parseOffsetsFile(text: string, name: string): readonly ExportedOffset[] {
  const offsets = /^\s*[[{]/.test(text) ? parseDocument(text, name) : parseLines(text, name)
  const seen = new Set<string>()
  for (const { topic, partition } of offsets) {
    const key = `${topic}/${partition}`
    if (seen.has(key)) throw usageFailure(`Cannot use ${JSON.stringify(name)}: it names ${key} twice`)
    seen.add(key)
  }
  return offsets
}

function parseDocument(text: string, name: string): ExportedOffset[] {
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch (error) {
    throw usageFailure(`Cannot use ${JSON.stringify(name)}: ${(error as Error).message}; wanted is ${WANTED}`)
  }
  const { v = 1, offsets } = (Array.isArray(document) ? { offsets: document } : document) as Record<string, unknown>
  if (v !== 1)
    throw usageFailure(`Cannot use ${JSON.stringify(name)}: it is of version ${JSON.stringify(v)}, known is 1`)
  if (!Array.isArray(offsets))
    throw usageFailure(`Cannot use ${JSON.stringify(name)}: there is no "offsets" in it; wanted is ${WANTED}`)
  return offsets.map((entry: unknown) => {
    const { topic, partition, offset } = (entry ?? {}) as Record<string, unknown>
    const exported = { topic, partition: numberOf(partition), offset: offset === null ? null : numberOf(offset) }
    if (isExported(exported)) return exported
    throw usageFailure(
      `Cannot use ${JSON.stringify(entry)} in ${JSON.stringify(name)}: {"topic":"orders","partition":0,"offset":10} would be right`,
    )
  })
}

/** Kafka's tool prints no first line with titles, other tools do. */
function parseLines(text: string, name: string): ExportedOffset[] {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '')
  const content = /^"?topic"?,/i.test(lines[0] ?? '') ? lines.slice(1) : lines
  return content.map((line) => {
    const [topic, partition, offset] = line.split(',').map((field) => field.trim().replace(/^"(.*)"$/, '$1'))
    const exported = { topic, partition: numberOf(partition), offset: numberOf(offset) }
    if (isExported(exported) && line.split(',').length === 3) return exported
    throw usageFailure(`Cannot use ${JSON.stringify(line)} in ${JSON.stringify(name)}: wanted is ${WANTED}`)
  })
}

function numberOf(value: unknown): unknown {
  return typeof value === 'string' && /^\d{1,16}$/.test(value) ? Number(value) : value
}

function isExported(exported: { topic: unknown; partition: unknown; offset: unknown }): exported is ExportedOffset {
  const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0
  const { topic, partition, offset } = exported
  return typeof topic === 'string' && topic !== '' && isCount(partition) && (offset === null || isCount(offset))
}

async function readAll(stream: NodeJS.ReadStream): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) chunks.push(Buffer.from(chunk as Buffer))
  return Buffer.concat(chunks).toString('utf8')
}
