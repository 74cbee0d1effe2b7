import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { startCafeLog } from 'cafelog'
import { CafeLogClient } from 'cafelog/client'
import { OrderDesk } from './orders.js'

let broker
let client
let desk
beforeEach(async () => {
  broker = await startCafeLog()
  client = new CafeLogClient({ broker: broker.addresses.json, retryDelayMs: 5 })
  desk = new OrderDesk(client)
  await desk.open()
})
afterEach(async () => {
  await desk.close()
  await client.close()
  await broker.close()
})

test('orders are kept', async () => {
  await desk.take('table-4', 'flat white')
  await desk.take('table-7', 'espresso')
  assert.equal(await desk.count(), 2)
})

test('an order is sent again when the broker cannot store it', async () => {
  broker.faults.failNext('PRODUCE_BATCHES', 'INTERNAL_IO_ERROR', { times: 2 })
  await desk.take('table-4', 'flat white')
  assert.equal(await desk.count(), 1)
})

test('an order is stored once when its answer is lost', async () => {
  broker.faults.dropNext('PRODUCE_BATCHES', { when: 'after' })
  await desk.take('table-4', 'flat white')
  assert.equal(await desk.count(), 1)
})

test('orders are forgotten after a week', async () => {
  await desk.take('table-4', 'flat white')
  await broker.clock.advance('8d')
  assert.equal(await desk.count(), 0)
})
