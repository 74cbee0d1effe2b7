import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock } from '../../src/base/clock.ts'
import { systemClock } from '../../src/base/clock.ts'
import type { FileSystem } from '../../src/base/file-system.ts'
import { nodeFileSystem } from '../../src/base/file-system.ts'
import type { Logger } from '../../src/base/logger.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { Broker } from '../../src/broker/broker.ts'
import { createDelayQueue } from '../../src/broker/create-delay-queue.ts'
import { createRedrives } from '../../src/broker/dlq/create-redrives.ts'
import { openTransactions } from '../../src/broker/open-transactions.ts'
import { parseTopicSettings } from '../../src/broker/topic-config.ts'
import { TopicSchemas } from '../../src/broker/topic-schemas.ts'
import { Topics } from '../../src/broker/topics.ts'
import { parseConfig } from '../../src/config/config.ts'
import { CommittedOffsets } from '../../src/groups/committed-offsets.ts'
import { GroupCoordinator } from '../../src/groups/coordinator.ts'
import { SegmentLogEngine } from '../../src/log/segment-log-engine.ts'
import { startBroker } from '../../src/main.ts'
import { Metrics } from '../../src/metrics/metrics.ts'
import { Listener } from '../../src/net/listener.ts'
import { JsonDoor } from '../../src/protocols/json/door.ts'
import { LmdbStore } from '../../src/store/lmdb-store.ts'
import { Snapshots } from '../../src/snapshot/snapshots.ts'
import type { Tracer } from '../../src/tracing/tracer.ts'
import { ProducerIds } from '../../src/transactions/producer-ids.ts'

/** The whole program as its configuration makes it, in this process. */
export interface WholeBroker {
  /** Of the JSON door. */
  readonly port: number
  readonly kafkaPort: number
  readonly httpPort: number
  readonly directory: string
  readonly metrics: Metrics
  /** Stops in order; the directory goes too unless it was given. */
  stop(): Promise<void>
}

/** Starts a broker as the program does, with free ports and no topics.yml. `environment` may say more. */
export async function startWholeBroker(
  options: { readonly directory?: string; readonly environment?: Readonly<Record<string, string>> } = {},
): Promise<WholeBroker> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'cafelog-'))
  const environment = {
    CAFELOG_TCP_ADDR: '127.0.0.1:0',
    CAFELOG_KAFKA_ADDR: '127.0.0.1:0',
    CAFELOG_HTTP_ADDR: '127.0.0.1:0',
    CAFELOG_DATA_DIR: directory,
    CAFELOG_CONFIG_DIR: directory,
    ...options.environment,
  }
  const running = await startBroker(parseConfig(environment, 4096))
  return {
    port: running.addresses.json.port,
    kafkaPort: running.addresses.kafka.port,
    httpPort: running.addresses.http.port,
    directory,
    metrics: running.metrics,
    async stop() {
      await running.close()
      if (options.directory === undefined) rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** A broker with its JSON door open and its inside in reach, on a data directory of its own. */
export interface TestBroker {
  readonly port: number
  readonly directory: string
  readonly broker: Broker
  readonly metrics: Metrics
  readonly engine: SegmentLogEngine
  readonly listener: Listener
  /** Closes everything in order; the directory goes too unless it was given. */
  stop(): Promise<void>
}

/** Wires the rooms as the program does, for tests that must put something of their own in between. */
export async function startTestBroker(
  options: {
    readonly directory?: string
    readonly clock?: Clock
    readonly logger?: Logger
    readonly fileSystem?: FileSystem
    readonly connectionsMax?: number
    readonly tracer?: Tracer
    /** Settings of all topics, by Kafka's keys. Nothing expires unless they say so: tests have records of any age. */
    readonly settings?: Readonly<Record<string, string>>
  } = {},
): Promise<TestBroker> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), 'cafelog-'))
  const clock = options.clock ?? systemClock
  const logger = options.logger ?? silentLogger
  const fileSystem = options.fileSystem ?? nodeFileSystem
  const metrics = new Metrics()
  const observeSync = (seconds: number) => metrics.fsyncDurationSeconds.observe(seconds)
  const engine = await SegmentLogEngine.open({ directory, fileSystem, clock, logger, observeSync })
  const store = new LmdbStore({ path: join(directory, '@store'), fileSystem })
  const committedOffsets = new CommittedOffsets(store, clock)
  const brokerSettings = parseTopicSettings({ 'retention.ms': '-1', ...options.settings })
  const delay = createDelayQueue({ store, engine, clock, logger, metrics }, () => topics)
  const schemas = new TopicSchemas({ store, clock, metrics })
  const redrives = createRedrives({ store, engine, clock, logger, schemas }, () => topics)
  const withTopics = { committedOffsets, delay, schemas, redrives }
  const topics: Topics = new Topics({ store, engine, ...withTopics, clock, brokerSettings })
  await topics.load()
  schemas.load(topics)
  const groups = new GroupCoordinator({ store, clock, committedOffsets, logger })
  groups.open(topics)
  const producerIds = new ProducerIds(store)
  const transactions = openTransactions({ store, engine, topics, groups, producerIds, clock, metrics, logger })
  await delay.open()
  redrives.open()
  const identity = {
    version: '0.0.0-test',
    clusterId: 'test-cluster',
    startedAtMs: clock.now(),
    dataDirectory: directory,
    flushPolicy: 'always',
  }
  const origin = { dataDirectory: directory, version: identity.version, clusterId: identity.clusterId }
  const snapshots = new Snapshots({ ...origin, machineClock: clock, clock, fileSystem, logger, metrics, engine, store })
  const broker = new Broker({
    clock,
    tracer: options.tracer,
    snapshots,
    engine,
    topics,
    committedOffsets,
    groups,
    producerIds,
    transactions,
    delay,
    schemas,
    redrives,
    metrics,
    identity,
  })
  const protocol = new JsonDoor({ broker, clock, logger, metrics })
  const listener = new Listener({ protocol, clock, logger, metrics, connectionsMax: options.connectionsMax ?? 10_000 })
  const { host, port } = await listener.listen({ host: '127.0.0.1', port: 0 })
  broker.addresses.set('json', `${host}:${port}`)
  return {
    port,
    directory,
    broker,
    metrics,
    engine,
    listener,
    async stop() {
      await listener.drain(1_000)
      groups.close()
      transactions.close()
      await redrives.close()
      await snapshots.close()
      await delay.close()
      await engine.close()
      await store.close()
      if (options.directory === undefined) rmSync(directory, { recursive: true, force: true })
    },
  }
}
