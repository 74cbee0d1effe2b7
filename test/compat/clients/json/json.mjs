// The door of CafeLog's own JSON protocol behind the commands of an agent; `bootstrap` is its address. Written from
// docs/protocol-json.md alone.
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { flush, numberOf, onStop, piecesOf, print, printRecord, run, watchIdle } from '../agent.mjs'

const PRODUCE = 2
const FETCH = 3
const COMMIT = 4
const HEARTBEAT = 5
const FETCH_OFFSETS = 8
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

async function join({ bootstrap, topic, group, assignor, instanceId, sessionTimeoutMs }) {
  const subscription = {
    topics: [topic],
    ...(assignor === undefined ? {} : { assignor }),
    ...(instanceId === undefined ? {} : { instanceId }),
  }
  // Of each partition that is ours, the next offset: to read, and to commit.
  const owned = new Map()
  let identity = {}
  let heardAt = Date.now()
  let connected
  let isStopped = false
  onStop(() => (isStopped = true))

  const say = (what) => {
    print(what)
    flush()
  }
  const giveUp = () => {
    if (owned.size > 0) say({ revoked: [...owned.keys()] })
    owned.clear()
    identity = { memberId: identity.memberId }
  }
  const commit = async (partitions) => {
    const { memberId, generation } = identity
    const behind = partitions.filter(([, own]) => own.next > own.committed)
    await Promise.all(
      behind.map(async ([partition, own]) => {
        const offset = own.next
        await connected(COMMIT, { topic, partition, group, offset, memberId, generation })
        own.committed = offset
      }),
    )
  }
  const beat = async () => {
    const isJoining = identity.generation === undefined
    const says = isJoining ? subscription : { owned: [{ topic, partitions: [...owned.keys()] }] }
    const answer = await connected(HEARTBEAT, { group, ...identity, ...says })
    heardAt = Date.now()
    identity = { memberId: answer.memberId, generation: answer.generation }
    const mine = new Set(answer.assignment.flatMap(({ partitions }) => partitions))
    const revoked = [...owned].filter(([partition]) => !mine.has(partition))
    if (revoked.length > 0) {
      for (const [partition] of revoked) owned.delete(partition)
      await commit(revoked)
      say({ revoked: revoked.map(([partition]) => partition) })
      // Somebody waits for them.
      return 0
    }
    const added = [...mine].filter((partition) => !owned.has(partition))
    if (added.length > 0) {
      const { offsets } = await connected(FETCH_OFFSETS, { group, topic })
      for (const partition of added) {
        const next = offsets.find((one) => one.partition === partition)?.offset ?? 0
        owned.set(partition, { next, committed: next })
      }
      say({ assigned: added })
    }
    return answer.heartbeatIntervalMs
  }
  const read = async () => {
    const readings = [...owned].map(async ([partition, own]) => {
      const { records } = await connected(FETCH, { topic, partition, offset: own.next, maxBytes: FETCH_BYTES })
      // It may have been taken away meanwhile.
      if (owned.get(partition) !== own) return
      for (const { offset, value, headers = [] } of records) {
        const n = headers.find(({ key }) => key === 'n')
        print({ p: partition, o: offset, i: numberOf(n && bytesOf(n.value), bytesOf(value)) })
        own.next = offset + 1
      }
    })
    await Promise.all(readings)
    flush()
  }

  let beatAt = 0
  let commitAt = 0
  while (!isStopped) {
    try {
      connected ??= await open(bootstrap)
      if (Date.now() >= beatAt) beatAt = Date.now() + (await beat())
      await read()
      if (Date.now() >= commitAt) {
        await commit([...owned])
        commitAt = Date.now() + 300
      }
      await sleep(20)
    } catch (error) {
      process.stderr.write(`${error.message}: it tries again\n`)
      if (/^(?:UNKNOWN_MEMBER_ID|FENCED_MEMBER_EPOCH)/.test(error.message)) giveUp()
      else if (!/^[A-Z_]+:/.test(error.message)) connected = undefined
      // Whom the broker has not heard for so long it takes for dead.
      if (Date.now() - heardAt > sessionTimeoutMs) giveUp()
      beatAt = 0
      await sleep(100)
    }
  }
  await commit([...owned])
  await connected(HEARTBEAT, { group, memberId: identity.memberId, leave: true })
  giveUp()
  say({ left: true })
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
  // It closes after that.
  socket.on('error', () => {})
  socket.on('close', () => {
    for (const { reject } of waiting.splice(0)) reject(new Error('the broker closed the connection'))
  })
  return (type, payload) =>
    new Promise((resolve, reject) => {
      if (socket.destroyed) throw new Error('the connection is closed')
      const bytes = Buffer.from(JSON.stringify(payload))
      const header = Buffer.alloc(5)
      header.writeUInt8(type, 0)
      header.writeUInt32BE(bytes.length, 1)
      socket.write(Buffer.concat([header, bytes]))
      waiting.push({ resolve, reject })
    })
}

await run({ produce, consume, join })
