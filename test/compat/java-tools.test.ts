// Kafka's command line tools print with CafeLog what they print with Apache Kafka. golden/kafka-tools.txt is what they
// print with Apache Kafka 4.3.1; COMPAT_APACHE_KAFKA=1 starts that too and holds it against the file, and with
// `--update` writes the file anew.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { BrokerHome } from '../support/broker-process.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { ApacheKafka, findMissingJava, JavaProgram, JavaTools } from './java.ts'

const GOLDEN = new URL('golden/kafka-tools.txt', import.meta.url)
const RUN_MS_MAX = 240_000
const COMMIT_MS_MAX = 30_000

const missing = findMissingJava()
if (missing !== undefined) process.stderr.write(`test/compat/java-tools.test.ts is skipped: ${missing}\n`)

/** A tool, its arguments as on a terminal (`+` for a space inside one), and after `<<<` what it reads. */
const TOPICS = `
kafka-topics BROKER --create --topic orders --partitions 3 --replication-factor 1
kafka-topics BROKER --create --topic orders --partitions 3
kafka-topics BROKER --create --topic orders --partitions 3 --if-not-exists
kafka-topics BROKER --create --topic plain
kafka-topics BROKER --create --topic settings --partitions 1 --config delete.retention.ms=3600000 --config min.compaction.lag.ms=1000
kafka-topics BROKER --create --topic copies --replication-factor 3
kafka-topics BROKER --create --topic bad/name
kafka-topics BROKER --create --topic unknown-setting --config retention.mz=1
kafka-topics BROKER --list --exclude-internal
kafka-topics BROKER --describe --topic orders
kafka-topics BROKER --describe --topic settings
kafka-topics BROKER --describe --topic none
kafka-topics BROKER --describe --topics-with-overrides --exclude-internal
kafka-topics BROKER --describe --under-replicated-partitions
kafka-topics BROKER --describe --unavailable-partitions
kafka-topics BROKER --alter --topic orders --partitions 4
kafka-topics BROKER --alter --topic orders --partitions 2
kafka-topics BROKER --alter --topic none --partitions 2
kafka-topics BROKER --delete --topic plain
kafka-topics BROKER --delete --topic none
kafka-topics BROKER --list --exclude-internal
`

const SETTINGS = `
kafka-configs BROKER --describe --topic settings
kafka-configs BROKER --alter --topic settings --add-config delete.retention.ms=7200000,index.interval.bytes=2048
kafka-configs BROKER --alter --topic settings --delete-config min.compaction.lag.ms
kafka-configs BROKER --alter --topic settings --add-config cleanup.policy=[compact,delete]
kafka-configs BROKER --describe --topic settings
kafka-configs BROKER --alter --topic settings --add-config retention.mz=1
kafka-configs BROKER --alter --topic settings --add-config retention.ms=soon
kafka-configs BROKER --alter --topic none --add-config retention.ms=1
kafka-configs BROKER --describe --topic none
kafka-configs BROKER --describe --entity-type brokers --entity-default
kafka-configs BROKER --describe --entity-type users
kafka-configs BROKER --describe --entity-type clients --entity-default
`

const RECORDS = `
kafka-topics BROKER --create --topic lines --partitions 2
kafka-console-producer BROKER --topic lines --reader-property parse.key=true --reader-property parse.headers=true <<< from:till,n:1>key-1>value+one|:>key-2>value+two|n:3>key-3>three|n:4>key-4>four
kafka-console-producer BROKER --topic lines --compression-codec zstd <<< no+key|also+none
kafka-console-consumer BROKER --topic lines --partition 0 --offset earliest --max-messages 1 --timeout-ms 10000 --formatter-property print.key=true --formatter-property print.headers=true --formatter-property print.partition=true --formatter-property print.offset=true
kafka-console-consumer BROKER --topic lines --partition 1 --offset earliest --max-messages 1 --timeout-ms 10000 --formatter-property print.key=true --formatter-property print.headers=true --formatter-property print.partition=true --formatter-property print.offset=true
kafka-console-consumer BROKER --topic orders --partition 0 --offset earliest --timeout-ms 700
kafka-get-offsets BROKER --topic orders
kafka-get-offsets BROKER --topic orders --time -2
kafka-get-offsets BROKER --topic orders --time -3
kafka-get-offsets BROKER --topic orders --time 0
kafka-get-offsets BROKER --topic-partitions orders:0-2
kafka-get-offsets BROKER --topic none
kafka-topics BROKER --create --topic load --partitions 1
kafka-producer-perf-test BROKER --topic load --num-records 1000 --record-size 100 --throughput -1
kafka-consumer-perf-test BROKER --topic load --num-records 1000
kafka-get-offsets BROKER --topic load
kafka-delete-records BROKER --offset-json-file DIRECTORY/delete.json
kafka-delete-records BROKER --offset-json-file DIRECTORY/delete-too-many.json
kafka-get-offsets BROKER --topic load --time earliest
`

const GROUPS_ACTIVE = `
kafka-consumer-groups BROKER --list
kafka-consumer-groups BROKER --list --state
kafka-consumer-groups BROKER --list --state stable,empty
kafka-consumer-groups BROKER --list --type
kafka-consumer-groups BROKER --describe --group readers
kafka-consumer-groups BROKER --describe --group readers --offsets
kafka-consumer-groups BROKER --describe --group readers --members
kafka-consumer-groups BROKER --describe --group readers --members --verbose
kafka-consumer-groups BROKER --describe --group readers --state
kafka-consumer-groups BROKER --reset-offsets --group readers --topic load --to-earliest --execute
kafka-consumer-groups BROKER --delete --group readers
kafka-consumer-groups BROKER --delete-offsets --group readers --topic load
kafka-groups BROKER --list
`

const GROUPS_EMPTY = `
kafka-consumer-groups BROKER --describe --group readers
kafka-consumer-groups BROKER --describe --group readers --members
kafka-consumer-groups BROKER --describe --group readers --state
kafka-consumer-groups BROKER --reset-offsets --group readers --topic load --to-earliest --dry-run
kafka-consumer-groups BROKER --reset-offsets --group readers --topic load --to-offset 500 --execute
kafka-consumer-groups BROKER --reset-offsets --group readers --all-topics --shift-by -100 --execute
kafka-consumer-groups BROKER --reset-offsets --group readers --topic load:0 --to-datetime 2020-01-01T00:00:00.000 --execute
kafka-consumer-groups BROKER --reset-offsets --group readers --all-topics --by-duration PT0S --execute
kafka-consumer-groups BROKER --reset-offsets --group readers --all-topics --to-current --export --dry-run
kafka-consumer-groups BROKER --reset-offsets --group readers --from-file DIRECTORY/offsets.csv --execute
kafka-consumer-groups BROKER --reset-offsets --group readers --topic none --to-latest --execute
kafka-consumer-groups BROKER --reset-offsets --group fresh --topic load --to-latest --execute
kafka-consumer-groups BROKER --describe --group readers
kafka-consumer-groups BROKER --list
kafka-consumer-groups BROKER --delete-offsets --group readers --topic load
kafka-consumer-groups BROKER --delete-offsets --group readers --topic none
kafka-consumer-groups BROKER --describe --group readers
kafka-consumer-groups BROKER --delete --group readers
kafka-consumer-groups BROKER --delete --group none
kafka-consumer-groups BROKER --list
`

const TRANSACTIONS = `
kafka-topics BROKER --create --topic paid --partitions 1
kafka-producer-perf-test BROKER --topic paid --num-records 100 --record-size 10 --throughput -1 --transactional-id payments --transaction-duration-ms 60000
kafka-transactions BROKER find-hanging --broker-id 1
kafka-transactions BROKER find-hanging --topic paid
kafka-transactions BROKER describe --transactional-id none
kafka-transactions BROKER describe-producers --topic paid --partition 0
kafka-transactions BROKER list
kafka-transactions BROKER describe --transactional-id payments
kafka-get-offsets BROKER --topic paid
`

const CLUSTER = `
kafka-cluster cluster-id BROKER
kafka-cluster list-endpoints BROKER
kafka-leader-election BROKER --election-type preferred --topic orders --partition 0
kafka-leader-election BROKER --election-type preferred --all-topic-partitions
kafka-leader-election BROKER --election-type unclean --topic orders --partition 0
kafka-acls BROKER --list
kafka-acls BROKER --add --allow-principal User:a --operation Read --topic orders
kafka-reassign-partitions BROKER --list
kafka-log-dirs BROKER --describe --topic-list settings
`

/** A broker that the tools are pointed at. */
interface Target {
  readonly port: number
  /** For the files that tools read. */
  readonly directory: string
}

class Session {
  readonly #tools: JavaTools
  readonly #target: Target
  #transcript = ''

  constructor(tools: JavaTools, target: Target) {
    this.#tools = tools
    this.#target = target
  }

  /** Everything that was typed and printed so far, without what is another one every time. */
  get transcript(): string {
    return this.#transcript
  }

  async type(script: string): Promise<void> {
    for (const line of script.trim().split('\n')) {
      const [command, input = ''] = line.split(' <<< ')
      const args = command
        .split(' ')
        .flatMap((word) => (word === 'BROKER' ? ['--bootstrap-server', `127.0.0.1:${this.#target.port}`] : [word]))
        .map((word) => word.replace('DIRECTORY', this.#target.directory))
      const typed = input.replaceAll('+', ' ').replaceAll('>', '\t').replaceAll('|', '\n')
      const { exit, output: printed, errors } = await this.#tools.run(args, typed)
      // Ids and times of producers are numbers of any length; Kafka says when a completed transaction had begun.
      const output = args[0] === 'kafka-transactions' ? printed.replaceAll(/-?\b\d+\b|\bNone\b/g, 'N') : printed
      // Groups come in no order.
      const shown = line.includes(' --list') ? sortLines(normalise(output)) : normalise(output)
      this.#transcript += `$ ${line}\n${shown}${normalise(errors)}${exit === 0 ? '' : `exit ${exit}\n`}\n`
    }
  }
}

function sortLines(text: string): string {
  return text
    .split(/(?<=\n)/)
    .toSorted()
    .join('')
}

/** Leaves out what differs from run to run, and the words in which a broker refuses. */
function normalise(printed: string): string {
  const lines = printed
    .replaceAll(/127\.0\.0\.1([: ]+)\d+/g, '127.0.0.1$1PORT')
    .replaceAll(/(TopicId|Cluster ID): [\w-]{22}/g, '$1: ID')
    .replaceAll(/^\[20[^\]]*\] /gm, '[TIME] ')
    .replaceAll(/(\w+Exception): .*/g, '$1')
    .replaceAll(/(Error while executing topic command :).*/g, '$1')
    .replaceAll(/(clientId=[a-z-]+)\d+/g, '$1N')
    .replaceAll(/perf-consumer-\d+/g, 'perf-consumer-N')
    .replaceAll(/consumer-readers-1-[\w-]{36}/g, 'MEMBER')
    .replaceAll(/(Configs: )(.*)/g, (_, label, configs) => label + configs.split(',').toSorted().join(','))
    .replaceAll(/^\d[\d.]* records (sent|\/sec).*$/gm, (line) => line.replaceAll(/\d+(\.\d+)?/g, 'N'))
    .replaceAll(/^20\d\d-\d\d-\d\d .*$/gm, (line) => line.replaceAll(/\d+(\.\d+)?/g, 'N'))
    .replaceAll(/"size":\d+/g, '"size":N')
    .replaceAll(/"(logDir|totalBytes|usableBytes)":("[^"]*"|-?\d+)/g, '"$1":X')
    .split('\n')
    .filter((line) => !/^\s+at |^Caused by|^\s+\.\.\. \d+ more/.test(line))
    .map((line) => line.replaceAll(/ +/g, ' ').trimEnd())
    .filter((line) => line !== '')
  return lines.map((line) => `${line}\n`).join('')
}

/** Waits until the member has committed what it has read. */
async function committed(tools: JavaTools, target: Target): Promise<void> {
  const bootstrap = ['--bootstrap-server', `127.0.0.1:${target.port}`]
  const deadline = performance.now() + COMMIT_MS_MAX
  for (;;) {
    const { output } = await tools.run(['kafka-consumer-groups', ...bootstrap, '--describe', '--group', 'readers'])
    if (/ 1000 +1000 +0 /.test(output)) return
    if (performance.now() > deadline) throw new Error(`The member has not committed: ${output}`)
  }
}

/** Types everything at a broker, and returns what there is to see then. */
async function play(tools: JavaTools, target: Target): Promise<string> {
  const file = (name: string, text: string) => writeFileSync(join(target.directory, name), text)
  const deletion = (topic: string, offset: number) =>
    JSON.stringify({ partitions: [{ topic, partition: 0, offset }], version: 1 })
  file('delete.json', deletion('load', 300))
  file('delete-too-many.json', deletion('load', 5000))
  file('offsets.csv', 'load,0,700\n')
  const session = new Session(tools, target)
  await session.type(TOPICS)
  await session.type(SETTINGS)
  await session.type(RECORDS)
  const member = new JavaProgram('Agent', 'join', {
    bootstrap: `127.0.0.1:${target.port}`,
    topic: 'load',
    group: 'readers',
    protocol: 'classic',
    assignor: 'range',
    sessionTimeoutMs: 30_000,
  })
  try {
    await member.until((line) => line['o'] === 999)
    await committed(tools, target)
    await session.type(GROUPS_ACTIVE)
    await member.stop()
  } finally {
    await member.kill()
  }
  await session.type(GROUPS_EMPTY)
  await session.type(TRANSACTIONS)
  await session.type(CLUSTER)
  return session.transcript
}

function lines(count: number, line: (index: number) => string): string {
  return Array.from({ length: count }, (_, index) => `${line(index)}\n`).join('')
}

describe.skipIf(missing !== undefined)('the tools of Apache Kafka', () => {
  let tools: JavaTools
  let home: BrokerHome
  let broker: BrokerProcess
  beforeAll(async () => {
    tools = new JavaTools()
    home = new BrokerHome()
    broker = await home.start({ environment: { CAFELOG_DEFAULT_PARTITIONS: '1' } })
  })
  afterAll(async () => {
    await tools.close()
    await broker.stop()
    await home.remove()
  })

  /** A tool and its arguments, pointed at CafeLog. */
  function command(text: string): string[] {
    const [tool, ...args] = text.split(' ')
    return [tool, '--bootstrap-server', `127.0.0.1:${broker.kafkaPort}`, ...args]
  }

  test.skipIf(process.env['COMPAT_APACHE_KAFKA'] !== '1')(
    'print with Apache Kafka what the file says',
    async () => {
      // A JVM of its own: tools that end their process leave connections behind that keep looking for their broker.
      const ownTools = new JavaTools()
      const kafka = await ApacheKafka.start(ownTools, { 'group.initial.rebalance.delay.ms': '0' })
      try {
        await expect(await play(ownTools, kafka)).toMatchFileSnapshot(GOLDEN.pathname)
      } finally {
        await ownTools.close()
        await kafka.remove()
      }
    },
    RUN_MS_MAX,
  )

  test(
    'print with CafeLog what they print with Apache Kafka',
    async () => {
      const transcript = await play(tools, { port: broker.kafkaPort, directory: home.path })
      expect(transcript.split('\n')).toEqual(readFileSync(GOLDEN, 'utf8').split('\n'))
    },
    RUN_MS_MAX,
  )

  test('dump a segment of CafeLog without complaint, whatever wrote it', async () => {
    const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd']
    await tools.run(command('kafka-topics --create --topic dumped --partitions 1'))
    for (const codec of codecs) {
      const args = command(`kafka-console-producer --topic dumped --compression-codec ${codec}`)
      const { errors } = await tools.run(
        args,
        lines(50, (index) => `${codec} ${index} ${'x'.repeat(index)}`),
      )
      expect(errors).toBe('')
    }
    const transaction = '--transactional-id dumper --transaction-duration-ms 100'
    const load = '--num-records 100 --record-size 10 --throughput 500'
    const { errors } = await tools.run(command(`kafka-producer-perf-test --topic dumped ${load} ${transaction}`))
    expect(errors).toBe('')
    const json = await broker.connect()
    const value = Buffer.from('through the JSON door').toString('base64')
    await json.ask(2, { topic: 'dumped', partition: 0, records: [{ value, headers: [{ key: 'a', value }] }] })
    json.close()

    const segment = join(home.dataDirectory, 'dumped/partition-0/00000000000000000000.log')
    const dump = await tools.run(['kafka-dump-log', '--files', segment, '--deep-iteration', '--print-data-log'])
    expect([dump.exit, dump.errors]).toEqual([0, ''])
    for (const codec of codecs) {
      expect(dump.output).toContain(`compresscodec: ${codec} `)
      for (let index = 0; index < 50; index++) {
        expect(dump.output).toContain(`payload: ${codec} ${index} ${'x'.repeat(index)}\n`)
      }
    }
    expect(dump.output).toContain('headerKeys: [a] payload: through the JSON door\n')
    expect(dump.output).toMatch(/isTransactional: true isControl: true .*\n.* endTxnMarker: COMMIT/)
    expect(dump.output).not.toMatch(/isvalid: false|invalid|mismatch|found/i)
  })
})
