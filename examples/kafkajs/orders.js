/** Sends one order. */
export async function sendOrder(producer, { table, drink }) {
  await producer.send({ topic: 'orders', messages: [{ key: table, value: drink }] })
}

/** Hands every order to the barista, until it is stopped. */
export async function serveOrders(kafka, barista) {
  const consumer = kafka.consumer({ groupId: 'bar' })
  await consumer.connect()
  await consumer.subscribe({ topic: 'orders', fromBeginning: true })
  await consumer.run({ eachMessage: async ({ message }) => barista(String(message.key), String(message.value)) })
  return () => consumer.disconnect()
}
