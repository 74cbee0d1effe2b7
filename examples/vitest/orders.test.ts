import { startCafeLog } from 'cafelog'
import { CafeLogClient } from 'cafelog/client'
import { expect, test } from 'vitest'
import { OrderDesk } from './orders.ts'

/** A desk with a broker of its own. All of it is closed at the end of the block that it is used in. */
async function openDesk() {
  const broker = await startCafeLog()
  const client = new CafeLogClient({ broker: broker.addresses.json, retryDelayMs: 5 })
  const desk = new OrderDesk(client)
  await desk.open()
  return {
    broker,
    desk,
    async [Symbol.asyncDispose]() {
      await desk.close()
      await client.close()
      await broker.close()
    },
  }
}

test('orders are kept', async () => {
  await using cafe = await openDesk()
  await cafe.desk.take('table-4', 'flat white')
  await cafe.desk.take('table-7', 'espresso')
  expect(await cafe.desk.count()).toBe(2)
})

test('an order is sent again when the broker cannot store it', async () => {
  await using cafe = await openDesk()
  cafe.broker.faults.failNext('PRODUCE_BATCHES', 'INTERNAL_IO_ERROR', { times: 2 })
  await cafe.desk.take('table-4', 'flat white')
  expect(await cafe.desk.count()).toBe(1)
})

test('an order is stored once when its answer is lost', async () => {
  await using cafe = await openDesk()
  cafe.broker.faults.dropNext('PRODUCE_BATCHES', { when: 'after' })
  await cafe.desk.take('table-4', 'flat white')
  expect(await cafe.desk.count()).toBe(1)
})

test('orders are forgotten after a week', async () => {
  await using cafe = await openDesk()
  await cafe.desk.take('table-4', 'flat white')
  await cafe.broker.clock.advance('8d')
  expect(await cafe.desk.count()).toBe(0)
})
