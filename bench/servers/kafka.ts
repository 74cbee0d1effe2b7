import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { ListOffsets } from '../../src/protocols/kafka/apis/02-list-offsets.ts'
import { CreateTopics } from '../../src/protocols/kafka/apis/19-create-topics.ts'
import { ERROR_CODES } from '../../src/protocols/kafka/error-codes.ts'
import { KafkaClient, makeBatch } from '../../test/support/kafka-client.ts'
import { findFreePort, findProgram } from '../processes.ts'
import { findProjectRoot } from '../project-root.ts'
import { cafeLog, TOPIC } from './cafelog.ts'
import type { Startable } from './server.ts'

/** What bin/kafka-run-class.sh gives every JVM of Kafka's distribution, but for the size of the heap. */
const JVM_OPTIONS = [
  '-server',
  '-XX:+UseG1GC',
  '-XX:MaxGCPauseMillis=20',
  '-XX:InitiatingHeapOccupancyPercent=35',
  '-XX:+ExplicitGCInvokesConcurrent',
  '-Djava.awt.headless=true',
]
/** The distribution's heap for its broker, and for its performance tools. */
const BROKER_HEAP = ['-Xmx1G', '-Xms1G']
const TOOL_HEAP = ['-Xmx512M']
const LATEST = -1

/** Why nothing of Kafka's can run here, and what to do about it; undefined when it can. */
export function findMissingKafka(): string | undefined {
  if (findProgram('java') === undefined) return 'needs Java: apt-get install openjdk-17-jdk-headless maven'
  if (!existsSync(join(installed(), 'classes.stamp'))) return 'not installed: npm run compat:install'
  return undefined
}

/** The arguments that run one of Kafka's own programs in a JVM as its distribution starts it. */
export function kafkaProgram(mainClass: string, heap: readonly string[] = TOOL_HEAP): string[] {
  const classPath = `${join(installed(), 'classes')}:${join(installed(), 'lib')}/*`
  return [...heap, ...JVM_OPTIONS, '-cp', classPath, mainClass]
}

/** CafeLog's Kafka door. */
export function cafeLogForKafka(flushPolicy: 'always' | 'interval:10ms'): Startable {
  const contender = cafeLog(flushPolicy)
  return {
    name: contender.name,
    missing: contender.missing,
    command(directory, port) {
      const command = contender.command(directory, port)
      const addresses = { CAFELOG_TCP_ADDR: '127.0.0.1:0', CAFELOG_KAFKA_ADDR: `127.0.0.1:${port}` }
      return { ...command, environment: { ...command.environment, ...addresses } }
    },
    publishFirst: produceFirst,
  }
}

/** Apache Kafka: one node that is broker and controller, everything else as it comes. */
export function apacheKafka(): Startable {
  return {
    name: 'Apache Kafka',
    missing: findMissingKafka(),
    async prepare(directory, port) {
      const controllerPort = await findFreePort()
      const properties = join(directory, 'server.properties')
      mkdirSync(directory, { recursive: true })
      writeFileSync(
        properties,
        [
          'process.roles=broker,controller',
          'node.id=1',
          `listeners=PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
          'controller.listener.names=CONTROLLER',
          `controller.quorum.bootstrap.servers=127.0.0.1:${controllerPort}`,
          `log.dirs=${join(directory, 'data')}`,
          // The defaults want three brokers.
          'offsets.topic.replication.factor=1',
          'transaction.state.log.replication.factor=1',
          'transaction.state.log.min.isr=1',
          '',
        ].join('\n'),
      )
      const format = ['format', '--standalone', '-t', 'AAAAAAAAQACAAAAAAAAAAQ', '-c', properties]
      execFileSync('java', [...kafkaProgram('kafka.tools.StorageTool'), ...format], { stdio: 'ignore' })
    },
    command: (directory) => ({
      program: 'java',
      arguments: [...kafkaProgram('kafka.Kafka', BROKER_HEAP), join(directory, 'server.properties')],
      environment: {},
    }),
    publishFirst: produceFirst,
  }
}

/** How many records the log holds. */
export async function countKafkaRecords(port: number): Promise<number> {
  const client = await KafkaClient.connect(port)
  try {
    const { topics } = await client.ask(ListOffsets, 7, {
      replicaId: -1,
      isolationLevel: 0,
      topics: [{ name: TOPIC, partitions: [{ partitionIndex: 0, currentLeaderEpoch: -1, timestamp: LATEST }] }],
    })
    return topics[0].partitions[0].offset
  } finally {
    client.close()
  }
}

async function produceFirst(port: number): Promise<void> {
  const client = await KafkaClient.connect(port)
  try {
    const created = await client.ask(CreateTopics, 7, {
      topics: [{ name: TOPIC, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] }],
      timeoutMs: 10_000,
    })
    const { errorCode } = created.topics[0]
    if (errorCode !== 0 && errorCode !== ERROR_CODES.TOPIC_ALREADY_EXISTS) {
      throw new Error(`The topic was refused: ${errorCode}`)
    }
    const produced = await client.ask(Produce, 9, {
      transactionalId: null,
      acks: -1,
      timeoutMs: 10_000,
      topicData: [{ name: TOPIC, partitionData: [{ index: 0, records: makeBatch(['first']) }] }],
    })
    const [{ partitionResponses }] = produced.responses
    if (partitionResponses[0].errorCode !== 0)
      throw new Error(`A record was refused: ${partitionResponses[0].errorCode}`)
  } finally {
    client.close()
  }
}

function installed(): string {
  return join(findProjectRoot(), 'test/compat/.installed/java')
}
