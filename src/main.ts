import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import type { Clock } from './base/clock.ts'
import { systemClock } from './base/clock.ts'
import { DirectoryInUseError, DirectoryLock } from './base/directory-lock.ts'
import type { FileSystem } from './base/file-system.ts'
import { nodeFileSystem } from './base/file-system.ts'
import type { LogLevelControl } from './base/log-level.ts'
import type { Logger } from './base/logger.ts'
import { silentLogger } from './base/logger.ts'
import { RESTORING_DIRECTORY } from './base/restoring.ts'
import { Broker } from './broker/broker.ts'
import { createDelayQueue } from './broker/create-delay-queue.ts'
import { createRedrives } from './broker/dlq/create-redrives.ts'
import { openTransactions } from './broker/open-transactions.ts'
import { formatFlushPolicy, TOPIC_CONFIG } from './broker/topic-config.ts'
import type { TopicSettings } from './broker/topic-config.ts'
import type { TopicConfigKey } from './broker/topic-config-key.ts'
import { TopicSchemas } from './broker/topic-schemas.ts'
import { Topics } from './broker/topics.ts'
import type { Address, Config, Setting } from './config/config.ts'
import { formatAddress, SETTINGS } from './config/config.ts'
import { nameForKafka } from './config/kafka-names.ts'
import { applyTopicsFile, readTopicsFile } from './config/topics-file.ts'
import { CommittedOffsets } from './groups/committed-offsets.ts'
import { GroupCoordinator } from './groups/coordinator.ts'
import { GROUP_DEFAULTS } from './groups/group-options.ts'
import type { GroupOptions } from './groups/group-options.ts'
import { HttpStart } from './http-start.ts'
import { ApiAccess } from './http/api-access.ts'
import type { TestControls } from './http/test-controls.ts'
import { collectDelay, collectFromState, collectRedrives, collectTransactions } from './live-metrics.ts'
import { SegmentLogEngine } from './log/segment-log-engine.ts'
import { Metrics } from './metrics/metrics.ts'
import type { RefusableProtocol } from './net/faults.ts'
import { Listener } from './net/listener.ts'
import type { Protocol } from './net/protocol.ts'
import { JsonDoor } from './protocols/json/door.ts'
import { KafkaDoor } from './protocols/kafka/door.ts'
import { Snapshots } from './snapshot/snapshots.ts'
import { createHealth } from './readiness.ts'
import type { BrokerState } from './readiness.ts'
import { explainListening, StartError, toStorageStartError } from './start-error.ts'
import { LmdbStore } from './store/lmdb-store.ts'
import type { Store } from './store/store.ts'
import type { Tracer } from './tracing/tracer.ts'
import { ProducerIds } from './transactions/producer-ids.ts'
import { VERSION } from './version.ts'

/** Of the time for stopping, what is kept for making everything durable after the last answer. */
const CLOSING_SHARE = 0.25
const CLOSING_MS_MAX = 2000
/** Row of the store's table `meta`: the identity of this data directory, made at its first start. */
const CLUSTER_ID_KEY = 'cluster-id'

/** What a broker works with besides its configuration: by default the machine's own, and a log that says nothing. */
export interface StartParts {
  readonly clock?: Clock
  /** For what is about the machine and connections, not about data; `clock` unless given. */
  readonly machineClock?: Clock
  readonly fileSystem?: FileSystem
  readonly logger?: Logger
  /** Keeps everything that is not a record, in place of the one in the data directory. */
  readonly store?: Store
  /** Whether no other process can come upon the data directory: then it needs no lock. */
  readonly isPrivate?: boolean
  /** Whether HTTP may open at once, because there is no start-up of a process to be quick about. */
  readonly isHttpEager?: boolean
  /** Lets clients change what `logger` logs. */
  readonly logLevel?: LogLevelControl | undefined
  /** Told of the work that is done, if tracing is on. */
  readonly tracer?: Tracer | undefined
  /** What HTTP lets tests do. */
  readonly testControls?: TestControls
  /** What is served in place of each door's protocol. */
  readonly wrapProtocol?: (protocol: RefusableProtocol) => Protocol
}

/** What the start found in the data directory. */
export interface StartReport {
  readonly isNewDirectory: boolean
  readonly topicCount: number
  readonly partitionCount: number
  readonly recordCount: number
  /** Whether the broker had been stopped in order; if not, the ends of its logs were read and checked. */
  readonly wasClean: boolean
  readonly openingMs: number
  /** Of torn ends that were cut off. */
  readonly truncatedBytes: number
}

/** A broker that serves. */
export interface RunningBroker {
  /** Where its doors are, with the ports that were found for port 0. */
  readonly addresses: { readonly json: Address; readonly kafka: Address; readonly http: Address }
  readonly report: StartReport
  readonly metrics: Metrics
  readonly topics: Topics
  /** Whether it was told to close. */
  readonly isStopping: boolean
  /**
   * Reads topics.yml again and does what it says; returns what was done, a sentence for each topic.
   *
   * @throws ConfigError with line and column of everything that is wrong; nothing was changed then
   */
  reloadTopics(): Promise<readonly string[]>
  /**
   * Stops in order: takes no new connections, answers what is in flight, makes everything durable, and lets go of the data
   * directory. Called again, it waits for the same.
   *
   * @throws the first error of what could not be closed in order; the rest is closed all the same
   */
  close(): Promise<void>
}

/**
 * Starts a broker in this process.
 *
 * @throws ConfigError for topics.yml; StartError when a port or the data directory is in use, or the disk fails
 */
export async function startBroker(config: Config, parts: StartParts = {}): Promise<RunningBroker> {
  const { clock = systemClock, fileSystem = nodeFileSystem, logger = silentLogger } = parts
  const {
    machineClock = clock,
    store,
    isPrivate = false,
    isHttpEager = false,
    wrapProtocol = keep,
    testControls,
    tracer,
    logLevel,
  } = parts
  const { dataDirectory } = config
  const metrics = new Metrics({ seriesMax: config.metricsSeriesMax })
  const state: BrokerState = { store: undefined, engine: undefined, isListening: false, isDraining: false }
  const health = createHealth({ clock, fileSystem, metrics, config, state })
  const opened = new Opened(logger)
  try {
    const lock = isPrivate ? undefined : await lockDirectory(dataDirectory, fileSystem, clock)
    if (lock === undefined) fileSystem.makeDirectory(dataDirectory)
    else opened.add('the lock of the data directory', () => lock.release())
    const access = new ApiAccess({
      clock: machineClock,
      token: config.token ?? undefined,
      allowedHosts: config.httpAllowedHosts,
    })
    const httpStart = new HttpStart({
      clock: machineClock,
      config,
      health,
      metrics,
      api: { access, clock: machineClock, logger, metrics },
      isEager: isHttpEager,
      testControls,
    })
    opened.add('HTTP', () => httpStart.close())

    const log = await openLog({
      clock,
      machineClock,
      fileSystem,
      logger,
      metrics,
      config,
      state,
      opened,
      store,
      tracer,
    })
    const broker = new Broker({ clock, metrics, tracer, logLevel, unpackedBytesMax: config.unpackedBytesMax, ...log })
    const doors = await openDoors({ broker, clock, machineClock, logger, metrics, config, opened, wrapProtocol })
    const { json, kafka } = doors

    opened.add('the HTTP API', () => access.drain(drainMsOf(config)))
    access.open(broker)

    const http = (await httpStart.finish(() => doors.countConnections() > 0)).address
    broker.addresses.set('http', formatAddress(http))
    state.isListening = true
    if (lock?.isHeld() === false) throw lockLost(dataDirectory)

    let closing: Promise<void> | undefined
    return {
      addresses: { json, kafka, http },
      report: log.report,
      metrics,
      topics: log.topics,
      get isStopping() {
        return state.isDraining
      },
      reloadTopics: inTurns(() => log.applyTopicsFile()),
      close() {
        state.isDraining = true
        // Whoever waits for other members, or for a transaction to end, would keep its connection open.
        log.groups.close()
        log.transactions.close()
        closing ??= opened.closeAll()
        return closing
      },
    }
  } catch (error) {
    state.isDraining = true
    await opened.closeAll().catch(() => {})
    throw error
  }
}

/** Opens the doors of the log. They share one limit of connections, and are closed at the same time. */
async function openDoors(parts: {
  readonly broker: Broker
  readonly clock: Clock
  readonly machineClock: Clock
  readonly logger: Logger
  readonly metrics: Metrics
  readonly config: Config
  readonly opened: Opened
  readonly wrapProtocol: (protocol: RefusableProtocol) => Protocol
}) {
  const { broker, clock, logger, metrics, config, opened, wrapProtocol } = parts
  const { connectionsMax, kafkaAdvertised, autoCreateTopics, defaultPartitions, unpackedBytesMax } = config
  const common = { clock: parts.machineClock, logger, metrics, connectionsMax }
  const named = nameForKafka(config)
  const settings = { advertised: kafkaAdvertised ?? undefined, autoCreateTopics, defaultPartitions, named }
  const json: Listener = new Listener({
    ...common,
    protocol: wrapProtocol(new JsonDoor({ broker, clock, logger, metrics, unpackedBytesMax })),
    countElsewhere: () => kafka.connectionCount,
  })
  const kafka: Listener = new Listener({
    ...common,
    protocol: wrapProtocol(new KafkaDoor({ broker, clock, logger, metrics, settings })),
    countElsewhere: () => json.connectionCount,
  })
  opened.add('the doors', async () => {
    await Promise.all([json, kafka].map((listener) => listener.drain(drainMsOf(config))))
  })
  const open = async (name: string, listener: Listener, setting: Setting<Address>, address: Address) => {
    const found = await explainListening(setting, address, () => listener.listen(address))
    broker.addresses.set(name, formatAddress(found))
    return found
  }
  return {
    json: await open('json', json, SETTINGS.tcpAddress, config.tcpAddress),
    kafka: await open('kafka', kafka, SETTINGS.kafkaAddress, config.kafkaAddress),
    countConnections: () => json.connectionCount + kafka.connectionCount,
  }
}

/** Everything that is open, to be closed in the opposite order. */
class Opened {
  readonly #logger: Logger
  readonly #things: { readonly name: string; readonly close: () => Promise<void> }[] = []

  constructor(logger: Logger) {
    this.#logger = logger
  }

  add(name: string, close: () => Promise<void>): void {
    this.#things.push({ name, close })
  }

  /** Closes everything, whatever fails, and throws the first failure. */
  async closeAll(): Promise<void> {
    const failures: unknown[] = []
    for (const { name, close } of this.#things.splice(0).toReversed()) {
      try {
        await close()
      } catch (error) {
        this.#logger.error({ error }, `cannot close ${name} in order`)
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}

async function lockDirectory(directory: string, fileSystem: FileSystem, clock: Clock): Promise<DirectoryLock> {
  try {
    fileSystem.makeDirectory(directory)
    return await DirectoryLock.take(directory, clock)
  } catch (error) {
    if (!(error instanceof DirectoryInUseError)) throw toStorageStartError(directory, error)
    const hints = [`Another directory:  ${SETTINGS.dataDirectory.variable}=./data-2`]
    throw new StartError({ code: 'DATA_DIRECTORY_IN_USE', exitCode: 5, message: error.message, hints, cause: error })
  }
}

/** Everything between the data directory and the broker. */
async function openLog(parts: {
  readonly clock: Clock
  readonly machineClock: Clock
  readonly fileSystem: FileSystem
  readonly logger: Logger
  readonly metrics: Metrics
  readonly config: Config
  readonly state: BrokerState
  readonly opened: Opened
  readonly store: Store | undefined
  readonly tracer: Tracer | undefined
}) {
  const { clock, machineClock, fileSystem, logger, metrics, config, state, opened, tracer } = parts
  const { dataDirectory } = config
  const topicsFile = join(config.configDirectory, 'topics.yml')
  const startedAt = clock.monotonic()
  try {
    refuseHalfRestored(dataDirectory, fileSystem)
    const storePath = join(dataDirectory, '@store')
    const isNewDirectory = fileSystem.sizeOf(storePath) === undefined
    const store = parts.store ?? new LmdbStore({ path: storePath, fileSystem, machineClock })
    opened.add('the store', () => store.close())
    const { fsyncDurationSeconds } = metrics
    const engine = await SegmentLogEngine.open({
      directory: dataDirectory,
      fileSystem,
      clock,
      machineClock,
      logger,
      options: {
        openFilesMax: config.openFilesMax,
        retentionCheckMs: config.retentionCheckIntervalMs,
        unpackedBytesMax: config.unpackedBytesMax,
        cleanerCheckMs: config.cleanerIntervalMs,
        cleanerMemoryBytes: config.cleanerMemoryBytes,
        cleanerBytesPerSecond: config.cleanerBytesPerSecond,
      },
      observeSync: (seconds) => fsyncDurationSeconds.observe(seconds),
    })
    opened.add('the log', () => closeLog(engine))
    const committedOffsets = new CommittedOffsets(store, clock)
    const brokerSettings = settingsOfBroker(config)
    const delay = createDelayQueue({ store, engine, clock, machineClock, logger, metrics, tracer }, () => topics)
    const schemas = new TopicSchemas({ store, clock, metrics })
    const { unpackedBytesMax } = config
    const redrives = createRedrives({ store, engine, clock, logger, schemas, unpackedBytesMax, tracer }, () => topics)
    const withTopics = { committedOffsets, delay, schemas, redrives }
    const topics: Topics = new Topics({ store, engine, ...withTopics, clock, brokerSettings })
    await topics.load()
    schemas.load(topics)
    const groups = new GroupCoordinator({
      store,
      clock,
      committedOffsets,
      logger,
      tracer,
      options: groupOptionsOf(config),
      observer: {
        rebalanced: (seconds) => metrics.consumerRebalanceDurationSeconds.observe(seconds),
        expired: (memberCount) => metrics.consumerMembersExpired.add(memberCount),
      },
    })
    const openingMs = clock.monotonic() - startedAt
    metrics.recoveryDurationSeconds.set(openingMs / 1000)
    metrics.recoveryTruncatedBytes.set(engine.recovery.truncatedBytes)
    collectFromState(metrics, { engine, committedOffsets, topics, groups, fileSystem, dataDirectory, clock })

    const applyFile = async () => applyTopicsFile({ topics, schemas }, await readTopicsFile(topicsFile))
    for (const sentence of await applyFile()) logger.info({ file: topicsFile }, sentence)
    opened.add('the consumer groups', async () => groups.close())
    groups.open(topics)
    const producerIds = new ProducerIds(store)
    const { transactionTimeoutMsMax: timeoutMsMax, transactionalIdExpirationMs: idExpirationMs } = config
    const options = { timeoutMsMax, idExpirationMs }
    const coordinated = { store, engine, topics, groups, producerIds, clock, metrics, logger, options }
    const transactions = openTransactions(coordinated)
    collectTransactions(metrics, transactions)
    opened.add('the transactions', async () => transactions.close())
    opened.add('the delayed records', () => delay.close())
    await delay.open()
    metrics.scheduledLimit.set(config.delayRecordsMax)
    collectDelay(metrics, delay)
    opened.add('the redrives', () => redrives.close())
    redrives.open()
    collectRedrives(metrics, redrives)
    state.store = store
    state.engine = engine
    const clusterId = await readClusterId(store)
    const origin = { dataDirectory, version: VERSION, clusterId }
    const snapshots = new Snapshots({ ...origin, machineClock, clock, fileSystem, logger, metrics, engine, store })
    opened.add('the snapshots', () => snapshots.close())
    return {
      engine,
      snapshots,
      topics,
      committedOffsets,
      groups,
      producerIds,
      transactions,
      delay,
      schemas,
      redrives,
      identity: {
        version: VERSION,
        clusterId,
        startedAtMs: clock.now(),
        dataDirectory,
        flushPolicy: formatFlushPolicy(config.flushPolicy),
      },
      report: reportOf(engine, topics, isNewDirectory, openingMs),
      applyTopicsFile: applyFile,
    }
  } catch (error) {
    throw toStorageStartError(dataDirectory, error)
  }
}

/** @throws the failure of a partition of which not everything is durable: then the stop was not one in order */
async function closeLog(engine: SegmentLogEngine): Promise<void> {
  await engine.close()
  for (const { failure } of engine.partitions()) if (failure !== undefined) throw failure
}

/** What topics get that do not say otherwise. What is the default anyway is not said to come from the broker. */
/** Expired offsets are looked for more often when they expire soon. */
function groupOptionsOf(config: Config): Partial<GroupOptions> {
  const { offsetsRetentionMs } = config
  return {
    initialRebalanceDelayMs: config.groupInitialRebalanceDelayMs,
    sessionTimeoutMsMin: config.groupSessionTimeoutMsMin,
    sessionTimeoutMsMax: config.groupSessionTimeoutMsMax,
    consumerSessionTimeoutMs: config.groupConsumerSessionTimeoutMs,
    consumerHeartbeatIntervalMs: config.groupConsumerHeartbeatIntervalMs,
    offsetsRetentionMs,
    offsetsRetentionCheckMs: Math.min(GROUP_DEFAULTS.offsetsRetentionCheckMs, offsetsRetentionMs),
  }
}

function settingsOfBroker({ flushPolicy, delayEnable, delayMaxMs, delayRecordsMax }: Config): TopicSettings {
  const settings = [
    [TOPIC_CONFIG.flushPolicy, formatFlushPolicy(flushPolicy)],
    [TOPIC_CONFIG.delayEnable, String(delayEnable)],
    [TOPIC_CONFIG.delayMaxMs, String(delayMaxMs)],
    [TOPIC_CONFIG.delayRecordsMax, String(delayRecordsMax)],
  ] as const
  const changed = settings.filter(([key, value]) => value !== (key as TopicConfigKey<unknown>).format(key.default))
  return new Map(changed.map(([{ name }, value]) => [name, value]))
}

async function readClusterId(store: Store): Promise<string> {
  const known = store.get('meta', CLUSTER_ID_KEY)
  if (known !== undefined) return known.toString()
  // As Kafka's look: the 16 bytes of a UUID in 22 characters.
  const clusterId = Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url')
  await store.commit([{ table: 'meta', key: CLUSTER_ID_KEY, value: Buffer.from(clusterId) }])
  return clusterId
}

function reportOf(engine: SegmentLogEngine, topics: Topics, isNewDirectory: boolean, openingMs: number): StartReport {
  let partitionCount = 0
  let recordCount = 0
  for (const log of engine.partitions()) {
    partitionCount++
    recordCount += log.logEndOffset - log.logStartOffset
  }
  const { wasClean, truncatedBytes } = engine.recovery
  const topicCount = topics.list().length
  return { isNewDirectory, topicCount, partitionCount, recordCount, wasClean, openingMs, truncatedBytes }
}

/** @throws StartError when a restore into the directory was broken off */
function refuseHalfRestored(directory: string, fileSystem: FileSystem): void {
  if (fileSystem.sizeOf(join(directory, RESTORING_DIRECTORY)) === undefined) return
  const message = `Cannot use the data directory ${JSON.stringify(directory)}: a restore into it was broken off`
  const hints = [`Empty it and restore again:  brokerctl restore FILE --data ${directory}`]
  throw new StartError({ code: 'RESTORE_BROKEN_OFF', exitCode: 70, message, hints })
}

function lockLost(directory: string): StartError {
  const message = `Cannot keep the data directory ${JSON.stringify(directory)}: its lock was removed during the start`
  return new StartError({ code: 'DATA_DIRECTORY_LOCK_LOST', exitCode: 70, message })
}

function keep(protocol: RefusableProtocol): Protocol {
  return protocol
}

function drainMsOf({ shutdownTimeoutMs }: Config): number {
  return shutdownTimeoutMs - Math.min(CLOSING_MS_MAX, shutdownTimeoutMs * CLOSING_SHARE)
}

/** Calls begin once the one before is over. */
function inTurns<Result>(work: () => Promise<Result>): () => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve()
  return () => {
    const next = last.then(work)
    last = next.catch(() => {})
    return next
  }
}
