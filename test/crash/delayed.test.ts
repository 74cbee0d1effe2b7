import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { afterEach, expect, test } from 'vitest'
import { BrokerHome } from '../support/broker-process.ts'
import { RestartedBroker } from '../support/restarted-broker.ts'
import { SeededRandom } from '../simulation/seeded-random.ts'
import { percentile, runDelayedLoad } from './delayed-load.ts'

const KAFKAJS = fileURLToPath(new URL('../compat/.installed/node/node_modules/kafkajs', import.meta.url))

let home: BrokerHome | undefined
afterEach(async () => {
  await home?.remove()
})

function findFreePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo
      server.close(() => resolve(port))
    })
  })
}

test('delayed records come once and not early, through all doors, over five kills', async () => {
  home = new BrokerHome()
  const seed = Number(process.env['FAST_CHECK_SEED'] ?? Date.now() % 1_000_000)
  const random = new SeededRandom(seed)
  // kafkajs has to find the broker again.
  const environment = { CAFELOG_KAFKA_ADDR: `127.0.0.1:${await findFreePort()}` }
  const broker = new RestartedBroker(home, { environment })
  const kafkajs = existsSync(KAFKAJS) ? KAFKAJS : undefined
  if (kafkajs === undefined) console.info('kafkajs is not among the doors: npm run compat:install')
  const options = { records: 6_000, withinMs: 6_000, kills: 5, random: () => random.next() / 2 ** 32, kafkajs }
  const report = await runDelayedLoad(broker, options)
  const { lost, twice, early, lateness, latenessWhileUp, ...counts } = report
  const show = (sorted: readonly number[]) => {
    const [p50, p99, max] = [0.5, 0.99, 1].map((share) => percentile(sorted, share))
    return `p50 ${p50} ms, p99 ${p99} ms, max ${max} ms`
  }
  console.info(
    `delayed, seed ${seed}: ${JSON.stringify(counts)}, lateness ${show(lateness)}; of those due while the broker was up ${show(latenessWhileUp)}`,
  )
  expect({ seed, lost: lost.slice(0, 5), twice: twice.slice(0, 5), early: early.slice(0, 5) }).toEqual({
    seed,
    lost: [],
    twice: [],
    early: [],
  })
  expect(counts.sent - counts.unknown).toBeLessThanOrEqual(counts.delivered)
  expect(await (await broker.current()).stop()).toBe(0)
}, 120_000)
