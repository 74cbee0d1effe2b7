import { connect, type Socket } from 'node:net'
import { FRAME_TYPES } from '../../src/protocols/json/wire.ts'
import { encodeFrame, PlainConnection } from '../wire.ts'
import type { LoadOptions } from './options.ts'

/** Why a test cannot begin: `lines` is what, why and how to go on; `exitCode` tells programs. */
export class CannotStart extends Error {
  readonly lines: readonly string[]
  readonly exitCode: number

  constructor(exitCode: number, lines: readonly string[]) {
    super(lines[0])
    this.exitCode = exitCode
    this.lines = lines
  }
}

/** One partition that gets messages. */
export interface Target {
  readonly topic: string
  readonly partition: number
}

/**
 * Makes sure that the topics are there and returns their partitions, so ordered that neighbours belong to different
 * topics.
 *
 * @throws CannotStart
 */
export async function prepareTopics(options: LoadOptions): Promise<Target[]> {
  const connection = await PlainConnection.open(options.port, options.host).catch((error: unknown) => {
    throw makeUnreachable(options, error)
  })
  try {
    const partitionCounts: number[] = []
    for (let number = 1; number <= options.topics; number++) {
      partitionCounts.push(await prepareTopic(connection, `load-test-${number}`, options))
    }
    const targets: Target[] = []
    for (let partition = 0; partition < Math.max(...partitionCounts); partition++) {
      partitionCounts.forEach((count, index) => {
        if (partition < count) targets.push({ topic: `load-test-${index + 1}`, partition })
      })
    }
    return targets
  } finally {
    connection.close()
  }
}

async function prepareTopic(connection: PlainConnection, topic: string, options: LoadOptions): Promise<number> {
  const partitions = options.partitions ?? 1
  try {
    await connection.request(FRAME_TYPES.CREATE_TOPIC, { topic, partitions })
    return partitions
  } catch (refusal) {
    const found = await connection
      .request<{ topics: { partitions: unknown[] }[] }>(FRAME_TYPES.METADATA, { topics: [topic] })
      .catch((error: unknown) => {
        throw new CannotStart(1, [`cannot create topic ${topic}`, `  ${textOf(refusal)}`, `  ${textOf(error)}`])
      })
    const count = found.topics[0].partitions.length
    if (options.partitions === undefined) return count
    throw new CannotStart(6, [
      `topic ${topic} has ${count} partition${count === 1 ? '' : 's'}, not ${options.partitions}`,
      `  Leave --partitions out to use what is there, or delete it:  ./brokerctl topic delete ${topic}`,
      '  code TOPIC_ALREADY_EXISTS (exit 6)',
    ])
  }
}

/**
 * Opens the connections that the messages go over.
 *
 * @throws CannotStart
 */
export async function openConnections(options: LoadOptions): Promise<Socket[]> {
  const opening = Array.from({ length: options.connections }, () => openConnection(options))
  const results = await Promise.allSettled(opening)
  const sockets = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) {
    for (const socket of sockets) socket.destroy()
    throw makeUnreachable(options, failed.reason)
  }
  return sockets
}

function openConnection({ host, port }: LoadOptions): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
}

function makeUnreachable({ host, port }: LoadOptions, error: unknown): CannotStart {
  const reason = error instanceof Error && 'code' in error ? String(error.code) : textOf(error)
  return new CannotStart(5, [
    `cannot connect to ${host}:${port} (${reason})`,
    '  Is the broker running?  Start one:  npm start',
    '  Other broker:  load-test.sh --broker HOST:PORT …',
    '  code BROKER_UNREACHABLE (exit 5)',
  ])
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** The PRODUCE that is sent to a target over and over: `batch` different values of printable letters. */
export function makeFrame(target: Target, { batch, valueBytes, acks }: LoadOptions): Buffer {
  let state = 2463534242 + target.partition
  const makeLetters = () => {
    const letters = Buffer.alloc(valueBytes)
    for (let at = 0; at < valueBytes; at++) {
      state ^= state << 13
      state ^= state >>> 17
      state ^= state << 5
      letters[at] = 97 + ((state >>> 8) % 26)
    }
    return letters.toString('base64')
  }
  const records = Array.from({ length: batch }, () => ({ value: makeLetters() }))
  return encodeFrame(FRAME_TYPES.PRODUCE, { ...target, records, ...(acks === 'all' ? {} : { acks }) })
}
