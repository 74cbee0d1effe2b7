import { afterEach, expect, test } from 'vitest'
import { BrokerHome } from '../support/broker-process.ts'
import { RestartedBroker } from '../support/restarted-broker.ts'
import { SeededRandom } from '../simulation/seeded-random.ts'
import { percentile, runDelayedLoad } from './delayed-load.ts'

let home: BrokerHome | undefined
afterEach(async () => {
  await home?.remove()
})

test('delayed records come once and not early, through both doors, over five kills', async () => {
  home = new BrokerHome()
  const seed = Number(process.env['FAST_CHECK_SEED'] ?? Date.now() % 1_000_000)
  const random = new SeededRandom(seed)
  const broker = new RestartedBroker(home)
  const options = { records: 6_000, withinMs: 6_000, kills: 5, random: () => random.next() / 2 ** 32 }
  const { lost, twice, early, lateness, ...counts } = await runDelayedLoad(broker, options)
  const share = (part: number) => percentile(lateness, part)
  console.info(
    `delayed, seed ${seed}: ${JSON.stringify(counts)}, lateness p50 ${share(0.5)} ms, p99 ${share(0.99)} ms, max ${share(1)} ms`,
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
