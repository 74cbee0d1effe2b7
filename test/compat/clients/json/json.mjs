// The door of CafeLog's own JSON protocol behind the commands of an agent; `bootstrap` is its address. Written from
// docs/protocol-json.md alone.
import { connect } from 'node:net'
import { piecesOf, print, printRecord, run, watchIdle } from '../agent.mjs'

const PRODUCE = 2
const FETCH = 3
const FETCH_BYTES = 4 * 1024 * 1024

async function produce({ bootstrap, topic, partitions, first, count, codec }) {
  if (codec !== 'none') throw new Error('records in JSON are not compressed')
  const ask = await open(bootstrap)
  for (const records of piecesOf({ first, count, partitions }, 5000)) {
    const requests = Array.from({ length: partitions }, (_, partition) => {
      const own = records.filter((record) => record.partition === partition)
      return ask(PRODUCE, { topic, partition, records: own.map((record) => toJson(record)) })
    })
    await Promise.all(requests)
  }
  print({ sent: count })
}

function toJson({ key, value, headers, timestamp }) {
  const pairs = headers.map(([name, text]) => ({ key: name, value: base64(text) }))
  return { key: base64(key), value: base64(value), headers: pairs, ts: timestamp }
}

function base64(text) {
  return text === null ? null : Buffer.from(text).toString('base64')
}

async function consume({ bootstrap, topic, partitions, count }) {
  const ask = await open(bootstrap)
  const offsets = Array.from({ length: partitions }, () => 0)
  const idle = watchIdle()
  let seen = 0
  for (let partition = 0; seen < count; partition = (partition + 1) % partitions) {
    const request = { topic, partition, offset: offsets[partition], maxBytes: FETCH_BYTES, maxWaitMs: 10 }
    const { records } = await ask(FETCH, request)
    for (const { offset, key, value, headers = [], ts } of records) {
      const pairs = headers.map((header) => [header.key, bytesOf(header.value)])
      printRecord({ partition, offset, key: bytesOf(key), value: bytesOf(value), headers: pairs, timestamp: ts })
      offsets[partition] = offset + 1
    }
    seen += records.length
    if (records.length > 0) idle()
  }
}

function bytesOf(text) {
  return text === null || text === undefined ? null : Buffer.from(text, 'base64')
}

/** Connects, and returns the function that asks: answers come in the order of the requests. */
async function open(address) {
  const at = address.lastIndexOf(':')
  const socket = connect(Number(address.slice(at + 1)), address.slice(0, at))
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  const waiting = []
  let chunks = []
  let [have, wanted] = [0, 5]
  socket.on('data', (chunk) => {
    chunks.push(chunk)
    have += chunk.length
    while (have >= wanted) {
      const bytes = Buffer.concat(chunks)
      const end = 5 + bytes.readUInt32BE(1)
      chunks = [bytes]
      wanted = end
      if (have < end) return
      const answer = JSON.parse(bytes.toString('utf8', 5, end))
      const { resolve, reject } = waiting.shift()
      if (answer.error === undefined) resolve(answer)
      else reject(new Error(`${answer.error.code}: ${answer.error.message}`))
      chunks = [bytes.subarray(end)]
      have -= end
      wanted = 5
    }
  })
  socket.on('close', () => {
    for (const { reject } of waiting.splice(0)) reject(new Error('the broker closed the connection'))
  })
  return (type, payload) =>
    new Promise((resolve, reject) => {
      const bytes = Buffer.from(JSON.stringify(payload))
      const header = Buffer.alloc(5)
      header.writeUInt8(type, 0)
      header.writeUInt32BE(bytes.length, 1)
      socket.write(Buffer.concat([header, bytes]))
      waiting.push({ resolve, reject })
    })
}

await run({ produce, consume })
