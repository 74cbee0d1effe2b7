import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

import { afterEach, expect, test } from 'vitest'

import { SeededRandom } from '../simulation/seeded-random.ts'
import { BrokerHome } from '../support/broker-process.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import {
  BEGIN_SNAPSHOT,
  CREATE_TOPIC,
  FETCH,
  FETCH_OFFSETS,
  LIST_SCHEDULES,
  METADATA,
  PRODUCE,
} from '../support/frame-types.ts'
import { runCli } from '../system/cli-harness.ts'
import { checkEverything, createLedger, createTopics, Load } from './load.ts'
import { checkTransactions, createTransactionTopics, progress, Worker } from './transaction-load.ts'

// A snapshot of the real program under full load: records with commits, transactions, delayed records. What clients were told
// before it began must be in the broker that is restored from it. CAFELOG_SNAPSHOT_RUNS=20 repeats that, each time with
// another seed.

const RUNS = Number(process.env['CAFELOG_SNAPSHOT_RUNS'] ?? 1)
const ACKNOWLEDGED_MIN = 500
const ACKNOWLEDGED_RANGE = 2_000
const DELAYED = 'reminders'
const DELAYED_PARTITIONS = 4
const DELAYED_PER_REQUEST = 20
/** Some are due while the snapshot is taken, some when the restored broker runs. */
const DELAYED_WITHIN_MS = 3_000

const homes: BrokerHome[] = []
afterEach(async () => {
  await Promise.all(homes.splice(0).map((home) => home.remove()))
})

function makeHome(): BrokerHome {
  const home = new BrokerHome()
  homes.push(home)
  return home
}

/** Sends records that are due at random times, until the connection ends or it is told to stop. */
class DelayedSender {
  /** Those that were acknowledged. */
  readonly acknowledged = new Set<string>()
  isOver = false

  async run(broker: BrokerProcess, random: SeededRandom): Promise<void> {
    const client = await broker.connect()
    for (let number = 0; !this.isOver;) {
      const names = Array.from({ length: DELAYED_PER_REQUEST }, () => `delayed ${number++}`)
      const records = names.map((name) => {
        const value = Buffer.from(name).toString('base64')
        return { key: value, value, dueAt: Date.now() + 1 + random.below(DELAYED_WITHIN_MS) }
      })
      const { json } = await client.ask(PRODUCE, { topic: DELAYED, partition: -1, records })
      if (json.error !== undefined) throw new Error(json.error.message)
      for (const name of names) this.acknowledged.add(name)
      await sleep(5)
    }
    client.close()
  }
}

/** Waits until nothing is delayed any more, and counts how often each record was delivered. */
async function countDelivered(broker: BrokerProcess): Promise<Map<string, number>> {
  const client = await broker.connect()
  while ((await client.ask(LIST_SCHEDULES, { topic: DELAYED, limit: 1 })).json.waiting > 0) await sleep(50)
  const counts = new Map<string, number>()
  for (let partition = 0; partition < DELAYED_PARTITIONS; partition++) {
    for (let offset = 0; ;) {
      const { json } = await client.ask(FETCH, { topic: DELAYED, partition, offset, maxBytes: 4_000_000 })
      for (const record of json.records) {
        const name = Buffer.from(record.value, 'base64').toString()
        counts.set(name, (counts.get(name) ?? 0) + 1)
      }
      const next = json.nextOffset ?? (json.records.at(-1)?.offset ?? offset - 1) + 1
      if (next >= json.highWatermark) break
      offset = next
    }
  }
  client.close()
  return counts
}

/** Committed offsets that lie behind the end of their partition, in sentences. */
async function findOffsetsBeyondTheEnd(broker: BrokerProcess): Promise<string[]> {
  const client = await broker.connect()
  const ends = new Map<string, number>()
  for (const { name, partitions } of (await client.ask(METADATA, {})).json.topics) {
    for (const { partition, logEndOffset } of partitions) ends.set(`${name}-${partition}`, logEndOffset)
  }
  const beyond: string[] = []
  for (const group of ['group 0', 'group 1', 'group 2', 'group 3']) {
    const { json } = await client.ask(FETCH_OFFSETS, { group })
    for (const { topic, partition, offset } of json.offsets ?? []) {
      const end = ends.get(`${topic}-${partition}`) ?? -1
      if (offset > end) beyond.push(`${group}: ${topic}-${partition} ${offset} > ${end}`)
    }
  }
  client.close()
  return beyond
}

test.each(Array.from({ length: RUNS }, (_, run) => run))(
  'a snapshot under full load has all that was acknowledged before it, run %i',
  async (run) => {
    const seed = Number(process.env['FAST_CHECK_SEED'] ?? (Date.now() + run * 7919) % 1_000_000)
    const random = new SeededRandom(seed)
    const policy = ['always', 'interval:10ms', 'os'][seed % 3]
    const environment = { CAFELOG_FLUSH_POLICY: policy }
    const home = makeHome()
    const broker = await home.start({ environment })
    await createTopics(broker)
    await createTransactionTopics(broker.kafkaPort)
    const admin = await broker.connect()
    await admin.ask(CREATE_TOPIC, { topic: DELAYED, partitions: DELAYED_PARTITIONS })
    admin.close()

    const ledger = createLedger()
    const load = await Load.start(broker, ledger, { life: 0, promised: ['all', 1] })
    const workers = Array.from({ length: 3 }, (_, index) => new Worker(`worker-${index}`))
    let isOver = false
    const transacting = workers.map((worker) => worker.run(broker.kafkaPort, () => isOver))
    const sender = new DelayedSender()
    const sending = sender.run(broker, random)
    await progress(workers, 4)
    await load.acknowledged(load.acknowledgedRequests + ACKNOWLEDGED_MIN + random.below(ACKNOWLEDGED_RANGE))

    load.promiseNothingMore()
    const told = workers.map(({ name, outcomes }) => ({ name, outcomes: [...outcomes] }))
    const delayed = [...sender.acknowledged]
    const requestsBefore = load.acknowledgedRequests
    const file = join(home.path, 'backup.tar')
    const taken = await runCli(['snapshot', file, '-j'], { CAFELOG_BROKER: `127.0.0.1:${broker.port}` })
    expect(taken).toMatchObject({ code: 0 })
    const requestsMeanwhile = load.acknowledgedRequests - requestsBefore
    isOver = true
    sender.isOver = true
    await Promise.all([...transacting, sending])
    const { sizeBytes } = JSON.parse(taken.stdout) as { sizeBytes: number }
    expect(existsSync(join(home.dataDirectory, '@snapshot'))).toBe(false)
    expect(await broker.metric('cafelog_snapshots_total', 'result="ok"')).toBe(1)
    expect(await broker.metric('cafelog_snapshot_last_size_bytes')).toBeGreaterThan(sizeBytes)
    await broker.kill()
    await load.ended()
    // What was begun after the snapshot may be in it, or not.
    for (const [index, { outcomes }] of told.entries()) {
      for (const number of workers[index].outcomes.keys()) outcomes[number] ??= 'not known'
    }

    const other = makeHome()
    const restored = await runCli(['restore', file, '--data', other.dataDirectory], {})
    expect(restored).toMatchObject({ code: 0 })
    const verified = await runCli(['log', 'verify', '--data-dir', other.dataDirectory], {})
    expect(verified.code).toBe(0)
    const again = await other.start({ environment })
    await checkEverything(again, ledger)
    // Transactional ids go on where they were; what was open in the snapshot ends by that.
    const numbersBefore = workers.map(({ outcomes }) => outcomes.length)
    let isEnough = false
    const going = workers.map((worker) => worker.run(again.kafkaPort, () => isEnough))
    await progress(workers, 3)
    isEnough = true
    await Promise.all(going)
    for (const [index, { outcomes }] of told.entries()) {
      outcomes.push(...workers[index].outcomes.slice(numbersBefore[index]))
    }
    const committed = await checkTransactions(again.kafkaPort, told)
    const counts = await countDelivered(again)
    expect({
      seed,
      violations: ledger.violations.slice(0, 20),
      refusals: ledger.refusals,
      beyond: await findOffsetsBeyondTheEnd(again),
      lost: delayed.filter((name) => !counts.has(name)),
      twice: [...counts].filter(([, count]) => count > 1),
    }).toEqual({ seed, violations: [], refusals: [], beyond: [], lost: [], twice: [] })
    expect(await again.stop()).toBe(0)
    console.info(
      `snapshot, seed ${seed}, flush policy ${policy}: ${ledger.acknowledgedRecords} records, ${ledger.acknowledgedCommits} commits, ` +
        `${committed} transactions and ${delayed.length} delayed records, ${sizeBytes} bytes, none lost; ${requestsMeanwhile} requests answered meanwhile`,
    )
  },
  60_000,
)

test('a broker that is killed in the middle of a snapshot has lost nothing and leaves nothing of it', async () => {
  const home = makeHome()
  const ledger = createLedger()
  let broker = await home.start()
  await createTopics(broker)
  const load = await Load.start(broker, ledger, { life: 0, promised: ['all'] })
  await load.acknowledged(300)
  const client = await broker.connect()
  const { json } = await client.ask(BEGIN_SNAPSHOT, {})
  expect(json.files).toBeGreaterThan(5)
  expect(existsSync(join(home.dataDirectory, '@snapshot'))).toBe(true)
  await load.acknowledged(load.acknowledgedRequests + 100)
  await broker.kill()
  await load.ended()
  client.close()

  broker = await home.start()
  expect(existsSync(join(home.dataDirectory, '@snapshot'))).toBe(false)
  await checkEverything(broker, ledger)
  expect({ violations: ledger.violations, refusals: ledger.refusals }).toEqual({ violations: [], refusals: [] })
  expect(await broker.stop()).toBe(0)
}, 60_000)
