// @platformatic/kafka 1.35, the last that runs on Node.js 20. It compresses with zstd where Node.js does: as of 22.15.
import { CannotDo, flush, numberOf, onStop, piecesOf, print, printRecord, run, watchIdle } from '../agent.mjs'
import { load } from './load.mjs'

const { Admin, Consumer, Producer } = load('@platformatic/kafka')

const TEXT = (text) => (text === undefined || text === null ? undefined : Buffer.from(text))

function optionsOf(bootstrap) {
  return { clientId: 'platformatic-agent', bootstrapBrokers: [bootstrap], retries: 60, retryDelay: 200 }
}

async function produce({ bootstrap, topic, partitions, first, count, codec, acks, idempotent }) {
  const producer = new Producer({
    ...optionsOf(bootstrap),
    idempotent: idempotent === true,
    acks: acks === 'all' ? -1 : Number(acks),
    compression: codec,
    serializers: { key: TEXT, value: TEXT, headerKey: TEXT, headerValue: TEXT },
  })
  for (const records of piecesOf({ first, count, partitions })) {
    await producer.send({
      messages: records.map(({ key, value, headers, timestamp, partition }) => {
        const [keyOrNot, valueOrNot] = [key ?? undefined, value ?? undefined]
        return {
          topic,
          partition,
          key: keyOrNot,
          value: valueOrNot,
          headers: new Map(headers),
          timestamp: BigInt(timestamp),
        }
      }),
    })
  }
  await producer.close()
  print({ sent: count })
}

/** It cannot read without a group. */
async function consume({ bootstrap, topic, count, isolation }) {
  const consumer = new Consumer({
    ...optionsOf(bootstrap),
    groupId: `consume-${process.pid}-${Date.now()}`,
    isolationLevel: isolation === 'read_committed' ? 1 : 0,
    autocommit: false,
    maxWaitTime: 100,
    highWaterMark: 10_000,
  })
  const stream = await consumer.consume({ topics: [topic], mode: 'earliest', fallbackMode: 'earliest' })
  const idle = watchIdle()
  let seen = 0
  for await (const { partition, offset, key, value, headers, timestamp } of stream) {
    const pairs = [...headers].map(([name, bytes]) => [name.toString(), bytes])
    printRecord({ partition, offset, key, value, headers: pairs, timestamp })
    if (++seen % 1000 === 0) idle()
    if (seen >= count) break
  }
  flush()
  await consumer.close(true)
}

async function join({ bootstrap, topic, group, protocol, assignor, instanceId, sessionTimeoutMs }) {
  const isClassic = protocol === 'classic'
  if (isClassic && assignor !== undefined && assignor !== 'roundrobin')
    throw new CannotDo(`it has no assignor ${assignor}`)
  const consumer = new Consumer({
    ...optionsOf(bootstrap),
    groupId: group,
    ...(instanceId === undefined ? {} : { groupInstanceId: instanceId }),
    ...(isClassic
      ? {
          sessionTimeout: sessionTimeoutMs,
          rebalanceTimeout: sessionTimeoutMs,
          heartbeatInterval: Math.min(500, Math.floor(sessionTimeoutMs / 3)),
        }
      : { groupProtocol: 'consumer', ...(assignor === undefined ? {} : { groupRemoteAssignor: assignor }) }),
    maxWaitTime: 200,
    autocommit: false,
  })
  let assigned = []
  const say = (what) => {
    print(what)
    flush()
  }
  const report = (next) => {
    const revoked = assigned.filter((partition) => !next.includes(partition))
    const added = next.filter((partition) => !assigned.includes(partition))
    if (revoked.length > 0) say({ revoked })
    if (added.length > 0 || assigned.length === 0) say({ assigned: added })
    assigned = next
  }
  const current = () => (consumer.assignments ?? []).find((one) => one.topic === topic)?.partitions ?? []
  // In the classic protocol a member gives everything back before it gets anything.
  consumer.on('consumer:group:rebalance', () => report([]))
  consumer.on('consumer:group:join', () => report(current()))
  consumer.on('consumer:heartbeat:end', () => {
    if (!isClassic && current().join() !== assigned.join()) report(current())
  })
  const uncommitted = new Map()
  const commit = async () => {
    flush()
    const offsets = [...uncommitted.values()].filter(({ partition }) => current().includes(partition))
    uncommitted.clear()
    if (offsets.length > 0) await consumer.commit({ offsets })
  }
  let isStopped = false
  let stream
  onStop(() => {
    isStopped = true
    stream?.destroy()
  })
  while (!isStopped) {
    try {
      stream = await consumer.consume({ topics: [topic], mode: 'committed', fallbackMode: 'earliest' })
      let committing = Promise.resolve()
      const timer = setInterval(
        () => (committing = committing.then(commit)).catch((error) => stream.destroy(error)),
        300,
      )
      try {
        for await (const { partition, offset, headers, value } of stream) {
          const header = [...headers].find(([name]) => name.toString() === 'n')?.[1]
          print({ p: partition, o: Number(offset), i: numberOf(header, value) })
          uncommitted.set(partition, { topic, partition, offset: offset + 1n, leaderEpoch: 0 })
        }
      } finally {
        clearInterval(timer)
      }
      await committing
    } catch (error) {
      if (!isStopped) process.stderr.write(`${error.message}: it begins again\n`)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  await commit().catch((error) => process.stderr.write(`the last commit: ${error.message}\n`))
  await consumer.close(true)
  report([])
  say({ left: true })
}

async function transact({ bootstrap, from, to, group, transactionalId }) {
  const producer = new Producer({
    ...optionsOf(bootstrap),
    transactionalId,
    idempotent: true,
    acks: -1,
    repeatOnStaleMetadata: true,
  })
  const consumer = new Consumer({
    ...optionsOf(bootstrap),
    groupId: group,
    sessionTimeout: 6000,
    rebalanceTimeout: 6000,
    heartbeatInterval: 500,
    isolationLevel: 1,
    maxWaitTime: 100,
    autocommit: false,
  })
  const stream = await consumer.consume({ topics: [from], mode: 'committed', fallbackMode: 'earliest' })
  // Its stream fetches nothing until somebody listens.
  stream.on('readable', () => undefined)
  let isStopped = false
  onStop(() => (isStopped = true))
  let transactions = 0
  const write = async (records) => {
    for (let isDone = false; !isDone;) {
      const isAborted = ++transactions % 7 === 0
      const transaction = await producer.beginTransaction()
      const messages = records.map(({ partition, key, value, headers }) => {
        return {
          topic: to,
          partition,
          key,
          value: Buffer.concat([value ?? Buffer.alloc(0), Buffer.from('!')]),
          headers,
        }
      })
      await transaction.send({ messages })
      if (isAborted) await transaction.abort()
      else {
        await transaction.addConsumer(consumer)
        const last = new Map(records.map((record) => [record.partition, record]))
        for (const record of last.values()) await transaction.addOffset(record)
        await transaction.commit()
      }
      isDone = !isAborted
    }
    print({ committed: records.length })
    flush()
  }
  while (!isStopped) {
    const records = []
    for (let record = stream.read(); record !== null; record = stream.read()) {
      records.push(record)
      if (records.length === 50) break
    }
    if (records.length > 0) await write(records)
    else await new Promise((resolve) => setTimeout(resolve, 20))
    if (stream.destroyed) throw stream.errored ?? new Error('the stream of records has ended')
  }
  await consumer.close(true)
  await producer.close()
}

/** Kafka's numbers, which this library wants as they are. */
const TOPIC = 2
const SET = 0
const EARLIEST = -2n
const LATEST = -1n

async function admin({ bootstrap, topic, group }) {
  const client = new Admin({ ...optionsOf(bootstrap), retries: 0 })
  const made = `${topic}-made`
  const call = async (name, result) => print({ call: name, result: await result })
  const configs = [
    { name: 'retention.ms', value: '3600000' },
    { name: 'segment.bytes', value: '1048576' },
  ]
  const create = () => client.createTopics({ topics: [made], partitions: 3, replicas: 1, configs })
  const names = async () => (await client.listTopics()).filter((name) => name.startsWith(topic)).toSorted()
  const partitionCount = async () => {
    const metadata = await client.metadata({ topics: [made], forceUpdate: true })
    return metadata.topics.get(made).partitionsCount
  }
  const readConfigs = async () => {
    const resources = [{ resourceType: TOPIC, resourceName: made, configurationKeys: null }]
    return (await client.describeConfigs({ resources }))[0].configs
  }
  const twoConfigs = async () => {
    const all = await readConfigs()
    return ['retention.ms', 'segment.bytes'].map((name) => all.find((config) => config.name === name).value)
  }
  const hasGroup = async () => (await client.listGroups()).has(group)
  const committed = async () => {
    const [{ topics }] = await client.listConsumerGroupOffsets({ groups: [group] })
    const { partitions } = topics.find(({ name }) => name === topic)
    return Number(partitions.find(({ partitionIndex }) => partitionIndex === 0).committedOffset)
  }
  const offsetsAt = async (timestamp) => {
    const partitions = [0, 1, 2].map((partitionIndex) => ({ partitionIndex, timestamp }))
    const [listed] = await client.listOffsets({ topics: [{ name: topic, partitions }] })
    const sorted = listed.partitions.toSorted((one, other) => one.partitionIndex - other.partitionIndex)
    return sorted.map(({ offset }) => Number(offset))
  }

  await call(
    'createTopic',
    create().then(() => 'ok'),
  )
  await call(
    'createTopicAgain',
    create().then(
      () => 'ok',
      (error) => nameOf(error),
    ),
  )
  await call('listTopics', names())
  await call('describeTopic', partitionCount())
  await client.createPartitions({ topics: [{ name: made, count: 5, assignments: null }] })
  await call('createPartitions', partitionCount())
  await call('describeConfigs', twoConfigs())
  const entries = (await readConfigs()).filter(({ configSource, readOnly }) => configSource === 1 && !readOnly)
  const changed = entries.map(({ name, value }) => ({ name, value: name === 'retention.ms' ? '7200000' : value }))
  await client.alterConfigs({ resources: [{ resourceType: TOPIC, resourceName: made, configs: changed }] })
  await call('alterConfigs', twoConfigs())
  const one = [{ name: 'segment.bytes', configOperation: SET, value: '2097152' }]
  await client.incrementalAlterConfigs({ resources: [{ resourceType: TOPIC, resourceName: made, configs: one }] })
  await call('incrementalAlterConfigs', twoConfigs())
  const [earliest, latest] = [await offsetsAt(EARLIEST), await offsetsAt(LATEST)]
  await call(
    'listOffsets',
    earliest.map((offset, partition) => [offset, latest[partition]]),
  )
  const [deleted] = await client.deleteRecords({
    topics: [{ name: topic, partitions: [{ partition: 0, offset: 5n }] }],
  })
  await call('deleteRecords', Number(deleted.partitions[0].lowWatermark))
  await call('listGroups', hasGroup())
  const described = await client.describeGroups({ groups: [group] })
  await call('describeGroup', stateOf(described.get(group).state))
  await call('groupOffsets', committed())
  const partitionOffsets = [{ partition: 0, offset: 6n }]
  await client.alterConsumerGroupOffsets({ groupId: group, topics: [{ name: topic, partitionOffsets }] })
  await call('alterGroupOffsets', committed())
  await call('describeCluster', (await client.metadata({ topics: [] })).brokers.size)
  await client.deleteGroups({ groups: [group] })
  await call('deleteGroup', hasGroup())
  await client.deleteTopics({ topics: [made, topic] })
  await call('deleteTopics', names())
  await client.close()
}

/** Kafka's name of an error, which is some levels deep. */
function nameOf(error) {
  if (error?.apiId !== undefined) return error.apiId
  for (const inner of [...(error?.errors ?? []), error?.cause]) {
    const name = inner === undefined ? undefined : nameOf(inner)
    if (name !== undefined) return name
  }
  return undefined
}

function stateOf(state) {
  return state.charAt(0).toUpperCase() + state.slice(1).toLowerCase()
}

await run({ produce, consume, join, transact, admin })
