import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { BrokerDidNotStart, BrokerHome, BrokerProcess } from '../support/broker-process.ts'
import { CREATE_TOPIC, FETCH, HEARTBEAT, PRODUCE } from '../support/frame-types.ts'

// One data directory, one broker: whoever comes second is told so, and nobody is kept out by one that is dead.

let home: BrokerHome
beforeEach(() => {
  home = new BrokerHome()
})
afterEach(async () => {
  await home.remove()
})

/** Starts a broker that must not come up. */
async function refusal(environment: Record<string, string> = {}): Promise<BrokerDidNotStart> {
  const outcome = await home.start({ environment }).catch((error: unknown) => error)
  if (outcome instanceof BrokerDidNotStart) return outcome
  throw new Error('a second broker has started', { cause: outcome })
}

test('a second broker on the same data directory is refused, and the first one goes on', async () => {
  const first = await home.start()
  const client = await first.connect()
  const { exitCode, stderr } = await refusal()
  expect(exitCode).toBe(5)
  expect(stderr).toContain(`"${home.dataDirectory}"`)
  expect(stderr).toContain(`process ${first.pid}`)
  expect(stderr).not.toContain('    at ')
  expect((await client.ask(HEARTBEAT, {})).json).toEqual({ ok: true })
  expect(await first.stop()).toBe(0)
})

test('another name of the same directory does not help', async () => {
  const first = await home.start()
  const alias = join(home.path, 'alias')
  symlinkSync(home.dataDirectory, alias)
  const { exitCode, stderr } = await refusal({ CAFELOG_DATA_DIR: alias })
  expect(exitCode).toBe(5)
  expect(stderr).toContain(`"${alias}"`)
  expect(await first.stop()).toBe(0)
})

test('of several that start at the same moment one serves, and the others say why not', async () => {
  const outcomes = await Promise.all(Array.from({ length: 4 }, () => home.start().catch((error: unknown) => error)))
  const served = outcomes.filter((outcome) => outcome instanceof BrokerProcess)
  const refused = outcomes.filter((outcome) => outcome instanceof BrokerDidNotStart)
  expect(served).toHaveLength(1)
  expect(refused.map(({ exitCode }) => exitCode)).toEqual([5, 5, 5])
  expect(await served[0].stop()).toBe(0)
})

test('after kill -9 the next start has the directory at once, with what was acknowledged', async () => {
  const times: number[] = []
  let stored = 0
  for (let life = 0; life < 3; life++) {
    const broker = await home.start()
    times.push(Math.round(broker.readyMs))
    const client = await broker.connect()
    expect((await client.ask(CREATE_TOPIC, { topic: 'kept', partitions: 1 })).json.ok).toBe(true)
    const { json } = await client.ask(FETCH, { topic: 'kept', partition: 0, offset: 0 })
    expect(json.records).toHaveLength(stored)
    await client.ask(PRODUCE, { topic: 'kept', partition: 0, records: [{ value: 'bGlmZQ==' }] })
    stored++
    await broker.kill()
    client.close()
  }
  console.info(`start to ready: ${times[0]} ms new, ${times.slice(1).join(' and ')} ms after kill -9`)
  // Far more than any start takes, far less than anything that waits for a lock to expire.
  for (const ms of times) expect(ms).toBeLessThan(5_000)
})
