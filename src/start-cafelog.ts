import { AdvancingClock } from './base/advancing-clock.ts'
import { BrokerError } from './base/broker-error.ts'
import { systemClock } from './base/clock.ts'
import { nodeFileSystem } from './base/file-system.ts'
import type { Logger } from './base/logger.ts'
import { MEMORY_DISK_BYTES, MemoryFileSystem } from './base/memory-file-system.ts'
import { DURATION_WANTED, parseDuration } from './base/units.ts'
import type { Address } from './config/config.ts'
import { formatAddress, parseConfig, SETTINGS } from './config/config.ts'
import { readDescriptorsMax } from './config/descriptors.ts'
import { Faults } from './faults.ts'
import type { RunningBroker } from './main.ts'
import { startBroker } from './main.ts'
import { MemoryStore } from './store/memory-store.ts'

export type { ErrorNameFor, RequestName } from './fault-names.ts'
export type { FaultOptions, Faults } from './faults.ts'

/** Where a broker in memory believes that its data is. */
const MEMORY_DIRECTORY = '/cafelog'
const HOST = '127.0.0.1'

/** A topic to begin with. */
export interface NewTopic {
  readonly name: string
  /** 1 unless given. */
  readonly partitions?: number
  /** By Kafka's keys, as text: `{ 'retention.ms': '7d', 'cleanup.policy': 'compact' }`. */
  readonly config?: Readonly<Record<string, string>>
}

/** How a broker is to be; everything may be left out. */
export interface CafeLogOptions {
  /** Topics to begin with. A name alone means one partition. */
  readonly topics?: readonly (string | NewTopic)[]
  /** Where to keep the data. Without it everything is in memory, and gone when the broker is closed. */
  readonly directory?: string
  /** How much a broker in memory holds, in bytes, before its disk is full; 1 GiB unless given. */
  readonly memoryBytesMax?: number
  /** 127.0.0.1 unless given. */
  readonly host?: string
  /** Free ones unless given. */
  readonly ports?: { readonly json?: number; readonly kafka?: number; readonly http?: number }
  /** Settings by their names in docs/configuration.md: `{ CAFELOG_DEFAULT_PARTITIONS: '4' }`. The environment does not count. */
  readonly settings?: Readonly<Record<string, string>>
  /** Gets the log; nobody unless given. pino's have this shape. */
  readonly logger?: Logger
}

/** The time of a broker: it passes by itself, and can be put forward. */
export interface CafeLogClock {
  /** Unix milliseconds. */
  now(): number
  /**
   * Lets time pass at once: `'1h'`, `'7d'`, or milliseconds. Retention, delays, session timeouts and long polls follow, in their
   * order. Resolves when what was due has happened.
   *
   * @throws RangeError for what is no duration
   */
  advance(duration: string | number): Promise<void>
}

/** A broker inside this process. */
export interface CafeLog {
  /** `host:port` of each door. */
  readonly addresses: { readonly json: string; readonly kafka: string; readonly http: string }
  readonly ports: { readonly json: number; readonly kafka: number; readonly http: number }
  readonly clock: CafeLogClock
  /** Lets requests go wrong on purpose. */
  readonly faults: Faults
  /**
   * Makes a topic, or finds it made like this.
   *
   * @throws BrokerError INVALID_TOPIC_EXCEPTION, INVALID_PARTITIONS, INVALID_CONFIG, TOPIC_ALREADY_EXISTS
   */
  createTopic(topic: string | NewTopic): Promise<void>
  /** Stops in order. What is in memory is gone. Calling it again waits for the same. */
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Starts a broker inside this process, for tests and for learning: `await using broker = await startCafeLog()`. It is the
 * broker that the `cafelog` program runs, with all its doors, on free ports of the loopback interface and in memory unless
 * told otherwise. Any number of them can run at the same time. None keeps the process alive by a timer, all do by their open
 * ports until they are closed.
 *
 * @throws ConfigError for settings that cannot be; StartError when a port or the directory is in use; BrokerError for topics
 *   that cannot be made. Nothing is left open then.
 */
export async function startCafeLog(options: CafeLogOptions = {}): Promise<CafeLog> {
  const { directory, logger, topics = [] } = options
  const clock = new AdvancingClock(systemClock)
  const faults = new Faults(clock)
  const isInMemory = directory === undefined
  const broker: RunningBroker = await startBroker(parseConfig(settingsOf(options), readDescriptorsMax()), {
    clock,
    machineClock: systemClock,
    wrapProtocol: (protocol) => faults.guard(protocol),
    testControls: {
      now: () => clock.now(),
      advance: (duration) => clock.advance(readDuration(duration)),
      addFault: (fault) => faults.add(fault),
      clearFaults: () => faults.clear(),
      dropConnections: () => faults.dropConnections(),
      createTopic: (topic) => createTopic(broker, topic),
    },
    fileSystem: isInMemory ? new MemoryFileSystem(options.memoryBytesMax ?? MEMORY_DISK_BYTES) : nodeFileSystem,
    isPrivate: isInMemory,
    isHttpEager: true,
    ...(isInMemory && { store: new MemoryStore() }),
    ...(logger && { logger }),
  })
  try {
    for (const topic of topics) await createTopic(broker, topic)
  } catch (error) {
    await broker.close()
    throw error
  }
  const { json, kafka, http } = broker.addresses
  return {
    addresses: { json: formatAddress(json), kafka: formatAddress(kafka), http: formatAddress(http) },
    ports: { json: json.port, kafka: kafka.port, http: http.port },
    clock: {
      now: () => clock.now(),
      advance: (duration) => clock.advance(readDuration(duration)),
    },
    faults,
    createTopic: (topic) => createTopic(broker, topic),
    close: () => broker.close(),
    [Symbol.asyncDispose]: () => broker.close(),
  }
}

function settingsOf(options: CafeLogOptions): Record<string, string> {
  const { host = HOST, ports = {}, directory = MEMORY_DIRECTORY, settings } = options
  const at = (port = 0): Address => ({ host, port })
  return {
    [SETTINGS.tcpAddress.variable]: formatAddress(at(ports.json)),
    [SETTINGS.kafkaAddress.variable]: formatAddress(at(ports.kafka)),
    [SETTINGS.httpAddress.variable]: formatAddress(at(ports.http)),
    [SETTINGS.dataDirectory.variable]: directory,
    [SETTINGS.configDirectory.variable]: directory,
    ...settings,
  }
}

async function createTopic({ topics }: RunningBroker, topic: unknown): Promise<void> {
  const { name, partitions = 1, config = {} } = readTopic(typeof topic === 'string' ? { name: topic } : topic)
  await topics.create({ name, partitionCount: partitions, overrides: config })
}

/** @throws BrokerError INVALID_REQUEST */
function readTopic(topic: unknown): NewTopic {
  const { name, partitions, config } = Object(topic) as Readonly<Record<string, unknown>>
  const isRight =
    typeof name === 'string' &&
    (partitions === undefined || typeof partitions === 'number') &&
    (config === undefined || (typeof config === 'object' && config !== null && Object.values(config).every(isText)))
  if (isRight) return topic as NewTopic
  const wanted = '{"name":"orders","partitions":4,"config":{"retention.ms":"7d"}}'
  throw new BrokerError('INVALID_REQUEST', `Cannot make the topic ${JSON.stringify(topic)}: ${wanted} would be right`)
}

function isText(value: unknown): boolean {
  return typeof value === 'string'
}

function readDuration(duration: string | number): number {
  const milliseconds = typeof duration === 'number' ? duration : parseDuration(duration)
  if (milliseconds !== undefined && milliseconds >= 0) return milliseconds
  throw new RangeError(`Cannot advance the clock by ${JSON.stringify(duration)}: ${DURATION_WANTED} is needed`)
}
