import type { Command } from '../processes.ts'

/** The one request that a publish run repeats. */
export interface PublishRequest {
  readonly request: Buffer
  /** Sent once after connecting. */
  readonly prelude: Buffer | undefined
}

/** A server that can be started and publishes its first record. */
export interface Startable {
  readonly name: string
  /** Why it cannot be measured here and what to do about it; undefined when it can. */
  readonly missing: string | undefined
  /** What is to be done before it is started, and not measured. */
  prepare?(directory: string, port: number): Promise<void>
  command(directory: string, port: number): Command
  /**
   * Creates the topic, stream or whatever holds the records, and publishes one record to it. Fails while the server
   * does not listen yet; is then simply called again.
   */
  publishFirst(port: number): Promise<void>
}

/** Something with a log to publish to: CafeLog in one of its settings, or a peer. */
export interface Contender extends Startable {
  readonly protocol: 'json' | 'nats' | 'redis'
  /** A request with `records` records of `valueBytes` bytes each. */
  publishRequest(records: number, valueBytes: number): PublishRequest
  /** How many records the log holds. */
  countRecords(port: number): Promise<number>
}

/** Letters that are the same in every run, so that all contenders carry the same values. */
export function makeValue(bytes: number): Buffer {
  const value = Buffer.alloc(bytes)
  let state = 12345
  for (let at = 0; at < bytes; at++) {
    state = (state * 1103515245 + 12345) & 0x7fffffff
    value[at] = 97 + ((state >>> 16) % 26)
  }
  return value
}
