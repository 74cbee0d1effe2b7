import { setTimeout as sleep } from 'node:timers/promises'

import { afterEach, expect, test } from 'vitest'

import { SeededRandom } from '../simulation/seeded-random.ts'
import { BrokerHome } from '../support/broker-process.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { checkTransactions, createTransactionTopics, progress, Worker } from './transaction-load.ts'

// kill -9 of the real program while transactional producers are at work.

const LIVES = 8
const PRODUCERS = 4
/** The kill falls after so many transactions at most, and a little later; in some lives just after the start. */
const KILL_AFTER_MAX = 20
const LATER_MS_MAX = 50
const EARLY_EVERY = 4
const EARLY_MS_MAX = 300

let home: BrokerHome | undefined
afterEach(async () => {
  await home?.remove()
})

test.each(['always', 'interval:10ms'])(
  'kill -9 leaves every transaction whole or away, flush policy %s',
  async (policy) => {
    home = new BrokerHome()
    const environment = { CAFELOG_FLUSH_POLICY: policy }
    const random = new SeededRandom(policy.length)
    const workers = Array.from({ length: PRODUCERS }, (_, index) => new Worker(`worker-${index}`))
    let broker: BrokerProcess = await home.start({ environment })
    await createTransactionTopics(broker.kafkaPort)
    for (let life = 0; life < LIVES; life++) {
      const running = workers.map((worker) => worker.run(broker.kafkaPort, () => false))
      if (life % EARLY_EVERY === EARLY_EVERY - 1) await sleep(random.below(EARLY_MS_MAX))
      else {
        await progress(workers, 1 + random.below(KILL_AFTER_MAX))
        await sleep(random.below(LATER_MS_MAX))
      }
      await broker.kill()
      await Promise.all(running)
      broker = await home.start({ environment })
    }

    // In the last life they end what is left, and stop in order.
    let isOver = false
    const running = workers.map((worker) => worker.run(broker.kafkaPort, () => isOver))
    await progress(workers, PRODUCERS)
    isOver = true
    await Promise.all(running)
    const committed = await checkTransactions(broker.kafkaPort, workers)
    const unknown = workers.flatMap(({ outcomes }) => outcomes).filter((outcome) => outcome === 'not known').length
    expect(committed).toBeGreaterThan(LIVES)
    expect(await broker.stop()).toBe(0)
    console.info(
      `kill -9, ${policy}: ${LIVES} kills, ${committed} transactions committed, ${unknown} without an answer`,
    )
  },
  150_000,
)
