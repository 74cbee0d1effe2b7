// Exactly once, with real clients: loops that read, process and write in transactions, while the broker and they themselves are
// killed again and again; and idempotent producers through kills of the broker. All clients share one broker, since each kill
// costs its groups a session timeout. COMPAT_KILLS says how often the broker is killed, and each client as well.
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findFreePort } from '../../bench/processes.ts'
import { Produce } from '../../src/protocols/kafka/apis/00-produce.ts'
import { ListOffsets } from '../../src/protocols/kafka/apis/02-list-offsets.ts'
import { CreateTopics } from '../../src/protocols/kafka/apis/19-create-topics.ts'
import type { DecodedRecord } from '../../src/record/record-batch.ts'
import { SeededRandom } from '../simulation/seeded-random.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { BrokerHome } from '../support/broker-process.ts'
import { KafkaClient, makeBatch } from '../support/kafka-client.ts'
import { readAllCommitted } from '../support/kafka-reader.ts'
import type { Agent, AgentEnd } from './agents.ts'
import { AGENTS, RunningAgent } from './agents.ts'

const KILLS = Number(process.env['COMPAT_KILLS'] ?? 5)
const PARTITIONS = 3
const IDEMPOTENT_RECORDS = 60_000
/** When so much of it is there, the broker is killed. */
const KILLED_AT = [0.05, 0.3, 0.6]
const SCENARIO_MS_MAX = 400_000
/** So long a client may take until it has ended a transaction, sessions of those that were killed before it included. */
const PROGRESS_MS_MAX = 60_000
const FED_AT_A_TIME = 20
const FEEDING_PAUSE_MS = 150

/** A broker that comes back at the same port, as one behind a name would. */
class LastingBroker {
  readonly home = new BrokerHome()
  readonly port: number
  #current: BrokerProcess | undefined

  private constructor(port: number) {
    this.port = port
  }

  static async start(): Promise<LastingBroker> {
    const broker = new LastingBroker(await findFreePort())
    await broker.#start()
    return broker
  }

  get bootstrap(): string {
    return `127.0.0.1:${this.port}`
  }

  async killAndStart(): Promise<void> {
    await this.#current?.kill()
    await this.#start()
  }

  async createTopic(name: string): Promise<void> {
    const client = await KafkaClient.connect(this.port)
    const configs = [{ name: 'retention.ms', value: '-1' }]
    const { topics } = await client.ask(CreateTopics, 7, {
      topics: [{ name, numPartitions: PARTITIONS, replicationFactor: 1, configs }],
    })
    expect(topics).toMatchObject([{ name, errorCode: 0 }])
    client.close()
  }

  /** How many records a topic has, roughly: markers count too. */
  async countRecords(topic: string): Promise<number> {
    const client = await KafkaClient.connect(this.port)
    const partitions = Array.from({ length: PARTITIONS }, (_, partitionIndex) => ({ partitionIndex, timestamp: -1 }))
    const { topics } = await client.ask(ListOffsets, 2, {
      replicaId: -1,
      isolationLevel: 0,
      topics: [{ name: topic, partitions }],
    })
    client.close()
    return topics[0].partitions.reduce((sum, { offset }) => sum + offset, 0)
  }

  /** All committed records of each partition. */
  async read(topic: string): Promise<DecodedRecord[][]> {
    const all: DecodedRecord[][] = []
    for (let partition = 0; partition < PARTITIONS; partition++) {
      const client = await KafkaClient.connect(this.port)
      all.push(await readAllCommitted(client, topic, partition))
      client.close()
    }
    return all
  }

  async #start() {
    this.#current = await this.home.start({ environment: { CAFELOG_KAFKA_ADDR: this.bootstrap } })
  }
}

/** One client's loop, in which it is killed and started again. */
class Loop {
  readonly agent: Agent
  readonly from: string
  readonly to: string
  kills = 0
  /** How often it ended by itself and was started again. */
  restarts = 0
  transactions = 0
  readonly complaints: string[] = []
  #running: RunningAgent | undefined
  readonly #broker: LastingBroker
  #isStopping = false

  constructor(agent: Agent, broker: LastingBroker) {
    this.agent = agent
    this.#broker = broker
    this.from = `from-${agent.name}`
    this.to = `to-${agent.name}`
  }

  start(): void {
    const parameters = {
      bootstrap: this.#broker.bootstrap,
      from: this.from,
      to: this.to,
      group: `loop-${this.agent.name}`,
      transactionalId: `loop-${this.agent.name}`,
      partitions: PARTITIONS,
    }
    const onLine = (line: Buffer) => {
      if ('committed' in (JSON.parse(line.toString()) as object)) this.transactions++
    }
    const running = new RunningAgent(this.agent, {
      command: 'transact',
      parameters,
      onLine,
      runMsMax: SCENARIO_MS_MAX,
    })
    this.#running = running
    void running.ended.then((end) => this.#ended(running, end))
  }

  /** Kills it in the midst of its work, `count` times. */
  async killAgain(count: number, random: SeededRandom): Promise<void> {
    while (this.kills < count) {
      await this.progress()
      await sleep(random.below(500))
      this.kills++
      this.#running?.kill()
      await this.#running?.ended
      this.start()
    }
    await this.progress()
  }

  /** Waits until it has committed something. */
  async progress(): Promise<void> {
    const before = this.transactions
    const end = Date.now() + PROGRESS_MS_MAX
    while (this.transactions === before) {
      if (Date.now() > end)
        throw new Error(`${this.agent.name} has not committed anything: ${this.complaints.slice(-4).join(' | ')}`)
      await sleep(20)
    }
  }

  async stop(): Promise<AgentEnd | undefined> {
    this.#isStopping = true
    this.#running?.tell('stop')
    const end = await Promise.race([this.#running?.ended, sleep(20_000, undefined)])
    this.#running?.kill()
    return end
  }

  #ended(running: RunningAgent, { code, signal, stderr }: AgentEnd) {
    if (stderr !== '') this.complaints.push(stderr.slice(-1_000))
    if (this.#isStopping || signal === 'SIGKILL' || this.#running !== running) return
    // Some give up when the broker goes: as their users would, we start them again.
    this.restarts++
    this.complaints.push(`it ended with exit code ${code}`)
    void sleep(200).then(() => this.start())
  }
}

/** Writes numbered records into a topic again and again, until it is told that it is enough. */
async function feed(broker: LastingBroker, topics: readonly string[], isEnough: () => boolean): Promise<void> {
  let number = 0
  let client: KafkaClient | undefined
  while (!isEnough()) {
    try {
      client ??= await KafkaClient.connect(broker.port)
      for (const topic of topics) {
        const partitionData = Array.from({ length: PARTITIONS }, (_, index) => {
          const values = Array.from({ length: FED_AT_A_TIME }, (_each, at) => `${number}.${index}.${at}`)
          return { index, records: makeBatch(values) }
        })
        await client.ask(Produce, 9, { acks: -1, timeoutMs: 5_000, topicData: [{ name: topic, partitionData }] })
      }
      number++
    } catch {
      // It is down for the moment. What it had taken before it went, it may get once more: no harm to the test.
      client?.close()
      client = undefined
    }
    await sleep(FEEDING_PAUSE_MS)
  }
  client?.close()
}

const transactional = AGENTS.filter(({ commands }) => commands.includes('transact'))
const present = transactional.filter(({ missing }) => missing === undefined)
for (const { name, missing } of transactional) {
  if (missing !== undefined) test(name, ({ skip }) => skip(missing))
}

describe.skipIf(present.length === 0)('loops in transactions, while everybody is killed', () => {
  let broker: LastingBroker
  let loops: Loop[]
  const ends = new Map<string, AgentEnd | undefined>()
  const failures = new Map<string, unknown>()
  let brokerKills = 0

  beforeAll(async () => {
    broker = await LastingBroker.start()
    loops = present.map((agent) => new Loop(agent, broker))
    for (const { from, to } of loops) {
      await broker.createTopic(from)
      await broker.createTopic(to)
    }
    for (const loop of loops) loop.start()
    const random = new SeededRandom(7)
    let isOver = false
    const fed = feed(
      broker,
      loops.map(({ from }) => from),
      () => isOver,
    )
    const killed = loops.map(async (loop) => {
      try {
        await loop.killAgain(KILLS, random)
      } catch (error) {
        failures.set(loop.agent.name, error)
      }
    })
    const brokerKilled = (async () => {
      while (brokerKills < KILLS) {
        await sleep(2_000 + random.below(6_000))
        await broker.killAndStart()
        brokerKills++
      }
    })()
    await Promise.all([...killed, brokerKilled])
    isOver = true
    await fed
    await waitUntilDone(broker, loops)
    await Promise.all(loops.map(async (loop) => ends.set(loop.agent.name, await loop.stop())))
  }, SCENARIO_MS_MAX)
  afterAll(() => broker.home.remove())

  test.each(present)(
    'every record once: $name',
    async ({ name }) => {
      const loop = loops.find(({ agent }) => agent.name === name)
      if (loop === undefined) throw new Error(`there is no loop of ${name}`)
      expect(failures.get(name)).toBeUndefined()
      const given = (await broker.read(loop.from)).map((records) => records.map(({ value }) => `${String(value)}!`))
      const made = (await broker.read(loop.to)).map((records) => records.map(({ value }) => String(value)))
      expect(made.map(({ length }) => length)).toEqual(given.map(({ length }) => length))
      expect(made).toEqual(given)
      const records = given.flat().length
      console.info(
        `${name}: ${records} records once, ${loop.transactions} transactions, ${brokerKills} kills of the broker, ` +
          `${loop.kills} of the client, which gave up ${loop.restarts} times`,
      )
      expect(ends.get(name)).toMatchObject({ code: 0 })
    },
    60_000,
  )
})

/** Waits until the loops have come to the end of what they were fed, or do not get on any more. */
async function waitUntilDone(broker: LastingBroker, loops: readonly Loop[]) {
  const end = Date.now() + PROGRESS_MS_MAX
  const isDone = async ({ from, to }: Loop) => {
    try {
      const [given, made] = [await broker.read(from), await broker.read(to)]
      return made.flat().length >= given.flat().length
    } catch {
      // One of its transactions is still open.
      return false
    }
  }
  for (const loop of loops) while (!(await isDone(loop)) && Date.now() < end) await sleep(500)
}

const idempotent = AGENTS.filter(({ isIdempotent, cannotSend }) => isIdempotent && !cannotSend.includes('headers'))
const presentIdempotent = idempotent.filter(({ missing }) => missing === undefined)

describe.skipIf(presentIdempotent.length === 0)('idempotent producers, while the broker is killed', () => {
  let broker: LastingBroker
  beforeAll(async () => {
    broker = await LastingBroker.start()
  })
  afterAll(() => broker.home.remove())

  test.each(presentIdempotent)(
    'every record once: $name',
    async (agent) => {
      const topic = `once-${agent.name}`
      await broker.createTopic(topic)
      const parameters = {
        bootstrap: broker.bootstrap,
        topic,
        partitions: PARTITIONS,
        first: 0,
        count: IDEMPOTENT_RECORDS,
        codec: 'none',
        acks: 'all',
        idempotent: true,
      }
      let isOver = false
      const order = { command: 'produce', parameters, onLine: () => undefined, runMsMax: SCENARIO_MS_MAX } as const
      const ended = new RunningAgent(agent, order).ended.finally(() => (isOver = true))
      let kills = 0
      for (const share of KILLED_AT) {
        const isThere = async () => (await broker.countRecords(topic)) >= share * IDEMPOTENT_RECORDS
        while (!isOver && !(await isThere())) await sleep(5)
        if (isOver) break
        await broker.killAndStart()
        kills++
      }
      const { code, stderr } = await ended
      expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
      expect(kills).toBeGreaterThan(0)
      const read = await broker.read(topic)
      const numbers = read.map((records) => records.map(({ headers }) => Number(headers[0].value)))
      for (const [partition, found] of numbers.entries()) {
        const wanted = Array.from({ length: Math.ceil((IDEMPOTENT_RECORDS - partition) / PARTITIONS) }, (_, index) => {
          return partition + index * PARTITIONS
        })
        expect(found.length, `partition ${partition}`).toBe(wanted.length)
        expect(found, `partition ${partition}`).toEqual(wanted)
      }
      console.info(`${agent.name}: ${IDEMPOTENT_RECORDS} records once, ${kills} kills of the broker`)
    },
    SCENARIO_MS_MAX,
  )
})
