import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ClientWorld, numbers, take } from '../support/client-world.ts'

const PROGRAM = new URL('../../dist/client/client.js', import.meta.url).href

let world: ClientWorld
beforeEach(async () => {
  world = await ClientWorld.start({ topics: ['one'] })
})
afterEach(() => world.close())

test('what a consumer was at work on when it was killed comes again, what it committed does not', async () => {
  await world.produce('one', 0, numbers(0, 100))
  const script = `
    import { CafeLogClient } from ${JSON.stringify(PROGRAM)}
    const client = new CafeLogClient({ broker: ${JSON.stringify(world.broker.addresses.json)} })
    const consumer = client.consumer({ group: 'g', topics: ['one'], autoOffsetReset: 'earliest', commitIntervalMs: 5 })
    consumer.on('committed', ({ offsets }) => { if (offsets[0].offset === 60) console.log('committed') })
    await consumer.run({ eachMessage: ({ offset }) => (offset === 60 ? new Promise(() => {}) : undefined) })
  `
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  child.kill('SIGKILL')
  await once(child, 'exit')
  await world.broker.clock.advance('1m')
  const next = world.client().consumer({ group: 'g', topics: ['one'], autoOffsetReset: 'fail' })
  expect(await take(next, 40)).toEqual(numbers(60, 100))
})
