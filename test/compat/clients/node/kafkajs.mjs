// kafkajs 2.2.4. It has codecs for none and gzip itself; snappy is its known plug-in. Those for lz4 and zstd are native code
// without binaries in their packages, so these two are made here from other libraries.
import { CannotDo, flush, numberOf, onStop, piecesOf, print, printRecord, run, watchIdle } from '../agent.mjs'
import { load } from './load.mjs'

const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = load('kafkajs')
const SnappyCodec = load('kafkajs-snappy')
const lz4 = load('lz4-napi')
const { ZstdCodec } = load('zstd-codec')

const zstd = await new Promise((resolve) => ZstdCodec.run(({ Streaming }) => resolve(new Streaming())))

CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async ({ buffer }) => lz4.compressFrame(buffer),
  decompress: async (buffer) => lz4.decompressFrame(buffer),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async ({ buffer }) => Buffer.from(zstd.compress(buffer)),
  decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)),
})

const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}

function clientOf(bootstrap) {
  const isLoud = process.env.AGENT_LOG === 'debug'
  return new Kafka({
    clientId: 'kafkajs-agent',
    brokers: [bootstrap],
    logLevel: isLoud ? logLevel.DEBUG : logLevel.NOTHING,
    // Its own logger writes to standard output.
    logCreator: () => (entry) => process.stderr.write(`${JSON.stringify(entry)}\n`),
    // Brokers are killed and started again under it.
    retry: { initialRetryTime: 100, maxRetryTime: 1000, retries: 60 },
  })
}

async function produce({ bootstrap, topic, partitions, first, count, codec, acks, idempotent }) {
  const producer = clientOf(bootstrap).producer({ idempotent: idempotent === true, allowAutoTopicCreation: false })
  await producer.connect()
  for (const records of piecesOf({ first, count, partitions })) {
    await producer.send({
      topic,
      acks: acks === 'all' ? -1 : Number(acks),
      compression: CODECS[codec],
      messages: records.map(({ timestamp, headers, ...record }) => {
        return { ...record, timestamp: String(timestamp), headers: Object.fromEntries(headers) }
      }),
    })
  }
  await producer.disconnect()
  print({ sent: count })
}

/** It cannot read without a group. */
async function consume({ bootstrap, topic, count, isolation }) {
  const consumer = clientOf(bootstrap).consumer({
    groupId: `consume-${process.pid}-${Date.now()}`,
    readUncommitted: isolation === 'read_uncommitted',
    maxWaitTimeInMs: 100,
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  const idle = watchIdle()
  let seen = 0
  await new Promise((resolve, reject) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
    const eachBatch = async ({ batch }) => {
      for (const { offset, key, value, headers, timestamp } of batch.messages) {
        const pairs = pairsOf(headers)
        printRecord({ partition: batch.partition, offset, key, value, headers: pairs, timestamp })
      }
      seen += batch.messages.length
      idle()
      if (seen >= count) resolve()
    }
    consumer.run({ autoCommit: false, eachBatch }).catch(reject)
  })
  flush()
  await consumer.disconnect()
}

/** A header that comes several times is a list. */
function pairsOf(headers) {
  return Object.entries(headers ?? {}).flatMap(([name, value]) => [value].flat().map((one) => [name, one]))
}

async function join({ bootstrap, topic, group, protocol, assignor, instanceId, sessionTimeoutMs }) {
  if (protocol !== 'classic') throw new CannotDo('it has the classic protocol only')
  if (assignor !== undefined && assignor !== 'roundrobin') throw new CannotDo(`it has no assignor ${assignor}`)
  if (instanceId !== undefined) throw new CannotDo('it has no static members')
  const consumer = clientOf(bootstrap).consumer({
    groupId: group,
    sessionTimeout: sessionTimeoutMs,
    rebalanceTimeout: sessionTimeoutMs,
    heartbeatInterval: Math.min(500, sessionTimeoutMs / 3),
    maxWaitTimeInMs: 200,
    allowAutoTopicCreation: false,
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  let assigned = []
  const say = (what) => {
    print(what)
    flush()
  }
  const revoke = () => {
    if (assigned.length > 0) say({ revoked: assigned })
    assigned = []
  }
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    revoke()
    assigned = (payload.memberAssignment[topic] ?? []).toSorted((one, other) => one - other)
    say({ assigned })
  })
  consumer.on(consumer.events.REBALANCING, revoke)
  await consumer.run({
    autoCommitInterval: 300,
    eachBatchAutoResolve: false,
    // It commits by itself after each batch, and before it joins again.
    eachBatch: async ({ batch, resolveOffset, heartbeat, commitOffsetsIfNecessary, isRunning, isStale }) => {
      for (const { offset, headers, value } of batch.messages) {
        if (!isRunning() || isStale()) break
        print({ p: batch.partition, o: Number(offset), i: numberOf(headers?.n, value) })
        resolveOffset(offset)
        if (Number(offset) % 100 !== 0) continue
        flush()
        await commitOffsetsIfNecessary()
        await heartbeat()
      }
      flush()
    },
  })
  await new Promise((resolve) => onStop(resolve))
  await consumer.disconnect()
  revoke()
  say({ left: true })
}

async function transact({ bootstrap, from, to, group, transactionalId }) {
  const kafka = clientOf(bootstrap)
  const producer = kafka.producer({
    transactionalId,
    idempotent: true,
    maxInFlightRequests: 1,
    transactionTimeout: 10_000,
  })
  const consumer = kafka.consumer({
    groupId: group,
    sessionTimeout: 6000,
    heartbeatInterval: 500,
    maxWaitTimeInMs: 100,
    readUncommitted: false,
  })
  await producer.connect()
  await consumer.connect()
  await consumer.subscribe({ topics: [from], fromBeginning: true })
  const isStopped = { now: false }
  onStop(() => (isStopped.now = true))
  let transactions = 0
  const crashed = new Promise((_, reject) => consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error)))
  const eachBatch = async ({ batch, resolveOffset, heartbeat, isRunning, isStale }) => {
    for (let start = 0; start < batch.messages.length; start += 50) {
      if (isStopped.now || !isRunning() || isStale()) return
      const messages = batch.messages.slice(start, start + 50)
      const next = String(Number(messages.at(-1).offset) + 1)
      for (let isDone = false; !isDone;) {
        const isAborted = ++transactions % 7 === 0
        const transaction = await producer.transaction()
        try {
          const copies = messages.map(({ key, value, headers }) => ({
            key,
            value: after(value),
            headers,
            partition: batch.partition,
          }))
          await transaction.send({ topic: to, messages: copies })
          if (!isAborted) {
            const topics = [{ topic: from, partitions: [{ partition: batch.partition, offset: next }] }]
            await transaction.sendOffsets({ consumerGroupId: group, topics })
            await transaction.commit()
          }
        } catch (error) {
          await transaction.abort().catch(() => undefined)
          throw error
        }
        if (isAborted) await transaction.abort()
        isDone = !isAborted
      }
      print({ committed: messages.length })
      flush()
      resolveOffset(messages.at(-1).offset)
      await heartbeat()
    }
  }
  await consumer.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch })
  await Promise.race([crashed, new Promise((resolve) => onStop(resolve))])
  await consumer.disconnect()
  await producer.disconnect()
}

function after(value) {
  return Buffer.concat([value ?? Buffer.alloc(0), Buffer.from('!')])
}

async function admin({ bootstrap, topic, group }) {
  const client = clientOf(bootstrap).admin()
  await client.connect()
  const made = `${topic}-made`
  const call = async (name, result) => print({ call: name, result: await result })
  const create = () =>
    client.createTopics({
      topics: [
        {
          topic: made,
          numPartitions: 3,
          configEntries: [
            { name: 'retention.ms', value: '3600000' },
            { name: 'segment.bytes', value: '1048576' },
          ],
        },
      ],
    })
  const names = async () => (await client.listTopics()).filter((name) => name.startsWith(topic)).toSorted()
  const partitionCount = async () => (await client.fetchTopicMetadata({ topics: [made] })).topics[0].partitions.length
  const resource = { type: ConfigResourceTypes.TOPIC, name: made }
  const readConfigs = async () => {
    const { resources } = await client.describeConfigs({ resources: [resource], includeSynonyms: false })
    return resources[0].configEntries
  }
  const twoConfigs = async () => {
    const entries = await readConfigs()
    return ['retention.ms', 'segment.bytes'].map(
      (name) => entries.find((entry) => entry.configName === name).configValue,
    )
  }
  const hasGroup = async () => (await client.listGroups()).groups.some(({ groupId }) => groupId === group)
  const committed = async () => {
    const [{ partitions }] = await client.fetchOffsets({ groupId: group, topics: [topic] })
    return Number(partitions.find(({ partition }) => partition === 0).offset)
  }

  await call(
    'createTopic',
    create().then((isCreated) => (isCreated ? 'ok' : 'not')),
  )
  // It answers false for a topic that is there.
  await call(
    'createTopicAgain',
    create().then((isCreated) => (isCreated ? 'ok' : 'TOPIC_ALREADY_EXISTS')),
  )
  await call('listTopics', names())
  await call('describeTopic', partitionCount())
  await client.createPartitions({ topicPartitions: [{ topic: made, count: 5 }] })
  await call('createPartitions', partitionCount())
  await call('describeConfigs', twoConfigs())
  const entries = (await readConfigs()).filter(({ isDefault, readOnly }) => !isDefault && !readOnly)
  const configEntries = entries.map(({ configName, configValue }) => {
    return { name: configName, value: configName === 'retention.ms' ? '7200000' : configValue }
  })
  await client.alterConfigs({ resources: [{ ...resource, configEntries }], validateOnly: false })
  await call('alterConfigs', twoConfigs())
  const offsets = (await client.fetchTopicOffsets(topic)).toSorted((one, other) => one.partition - other.partition)
  await call(
    'listOffsets',
    offsets.map(({ low, high }) => [Number(low), Number(high)]),
  )
  await client.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '5' }] })
  const after = await client.fetchTopicOffsets(topic)
  await call('deleteRecords', Number(after.find(({ partition }) => partition === 0).low))
  await call('listGroups', hasGroup())
  await call('describeGroup', (await client.describeGroups([group])).groups[0].state)
  await call('groupOffsets', committed())
  await client.setOffsets({ groupId: group, topic, partitions: [{ partition: 0, offset: '6' }] })
  await call('alterGroupOffsets', committed())
  await call('describeCluster', (await client.describeCluster()).brokers.length)
  await client.deleteGroups([group])
  await call('deleteGroup', hasGroup())
  await client.deleteTopics({ topics: [made, topic] })
  await call('deleteTopics', names())
  await client.disconnect()
}

await run({ produce, consume, join, transact, admin })
