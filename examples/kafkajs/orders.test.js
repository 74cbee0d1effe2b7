import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import { startCafeLog } from 'cafelog'
import { Kafka, logLevel } from 'kafkajs'
import { sendOrder, serveOrders } from './orders.js'

let broker
let kafka
let producer
beforeEach(async () => {
  broker = await startCafeLog({ topics: ['orders'] })
  kafka = new Kafka({ brokers: [broker.addresses.kafka], logLevel: logLevel.NOTHING })
  producer = kafka.producer({ retry: { initialRetryTime: 10 } })
  await producer.connect()
})
afterEach(async () => {
  await producer.disconnect()
  await broker.close()
})

test('the barista gets every order', async () => {
  await sendOrder(producer, { table: 'table-4', drink: 'flat white' })
  const order = await new Promise((resolve, reject) => {
    const serving = serveOrders(kafka, (...words) => resolve(serving.then((stop) => stop()).then(() => words)))
    serving.catch(reject)
  })
  assert.deepEqual(order, ['table-4', 'flat white'])
})

test('an order arrives although the broker has moved twice', async () => {
  broker.faults.failNext('Produce', 'NOT_LEADER_OR_FOLLOWER', { times: 2 })
  await sendOrder(producer, { table: 'table-4', drink: 'flat white' })
  const admin = kafka.admin()
  await admin.connect()
  const [{ high }] = await admin.fetchTopicOffsets('orders')
  await admin.disconnect()
  assert.equal(high, '1')
})
