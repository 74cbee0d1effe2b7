// @confluentinc/kafka-javascript 1.10, which is librdkafka 2.15: the part of it that was node-rdkafka.
import { flush, numberOf, onStop, piecesOf, print, printRecord, run, watchIdle } from '../agent.mjs'
import { load } from './load.mjs'

const { AdminClient, CODES, ConsumerGroupStates, KafkaConsumer, Producer } = load('@confluentinc/kafka-javascript')

const READ_AT_ONCE = 1000
/** It waits for so many as long as some come, and hands them all out then, whoever has the partitions meanwhile. */
const RECORDS_AT_ONCE = 10

function settingsOf(bootstrap) {
  return {
    'bootstrap.servers': bootstrap,
    'client.id': 'confluent-javascript-agent',
    'allow.auto.create.topics': false,
    'reconnect.backoff.max.ms': 1000,
    log_level: 4,
    ...(process.env.AGENT_LOG === undefined ? {} : { debug: process.env.AGENT_LOG }),
  }
}

/** Calls a function whose last argument is Node's callback. */
function wait(call) {
  return new Promise((resolve, reject) => call((error, value) => (error ? reject(error) : resolve(value))))
}

async function connected(client) {
  client.on('event.log', ({ message }) => process.stderr.write(`${message}\n`))
  client.on('event.error', (error) => process.stderr.write(`${error.message}\n`))
  await wait((done) => client.connect({}, done))
  return client
}

async function produce({ bootstrap, topic, partitions, first, count, codec, acks, idempotent }) {
  const producer = await connected(
    new Producer(
      {
        ...settingsOf(bootstrap),
        'compression.codec': codec,
        'enable.idempotence': idempotent === true,
        'linger.ms': 20,
        dr_cb: true,
      },
      { acks: acks === 'all' ? -1 : Number(acks) },
    ),
  )
  let delivered = 0
  let failure
  producer.on('delivery-report', (error) => {
    if (error) failure ??= error
    else delivered++
  })
  producer.setPollInterval(10)
  for (const records of piecesOf({ first, count, partitions })) {
    for (const { partition, key, value, headers, timestamp } of records) {
      const bytes = value === null ? null : Buffer.from(value)
      producer.produce(
        topic,
        partition,
        bytes,
        key,
        timestamp,
        null,
        headers.map(([name, text]) => ({ [name]: text })),
      )
    }
    // Its own queue holds 100,000 records.
    await wait((done) => producer.flush(60_000, done))
  }
  for (let left = 100; delivered < count && failure === undefined && left > 0; left--) {
    producer.poll()
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  if (failure !== undefined) throw failure
  await wait((done) => producer.disconnect(5000, done))
  print({ sent: delivered })
}

async function consume({ bootstrap, topic, partitions, count, isolation }) {
  const consumer = await connected(
    new KafkaConsumer(
      {
        ...settingsOf(bootstrap),
        'group.id': 'none',
        'enable.auto.commit': false,
        'isolation.level': isolation,
        'fetch.wait.max.ms': 100,
      },
      { 'auto.offset.reset': 'earliest' },
    ),
  )
  consumer.setDefaultConsumeTimeout(200)
  consumer.assign(Array.from({ length: partitions }, (_, partition) => ({ topic, partition, offset: 0 })))
  const idle = watchIdle()
  for (let seen = 0; seen < count;) {
    const messages = await wait((done) => consumer.consume(READ_AT_ONCE, done))
    for (const message of messages) printRecord({ ...message, headers: pairsOf(message.headers) })
    seen += messages.length
    if (messages.length > 0) idle()
  }
  flush()
  await wait((done) => consumer.disconnect(done))
}

function pairsOf(headers) {
  return (headers ?? []).flatMap((header) => Object.entries(header).map(([name, value]) => [name, Buffer.from(value)]))
}

/** A consumer of a group which tells what it gets and gives back. `onRevoke` is called before it is given back. */
async function member(settings, topic, { onAssign, onRevoke }) {
  const consumer = new KafkaConsumer(
    {
      ...settings,
      'enable.auto.commit': false,
      'fetch.wait.max.ms': 200,
      rebalance_cb: (error, assignment) => {
        const isCooperative = consumer.rebalanceProtocol() === 'COOPERATIVE'
        const partitions = assignment.map(({ partition }) => partition).toSorted((one, other) => one - other)
        if (error.code === CODES.ERRORS.ERR__ASSIGN_PARTITIONS) {
          if (isCooperative) consumer.incrementalAssign(assignment)
          else consumer.assign(assignment)
          onAssign(partitions)
        } else {
          onRevoke(partitions)
          if (isCooperative) consumer.incrementalUnassign(assignment)
          else consumer.unassign()
        }
      },
    },
    { 'auto.offset.reset': 'earliest' },
  )
  await connected(consumer)
  consumer.setDefaultConsumeTimeout(100)
  consumer.subscribe([topic])
  return consumer
}

async function join({ bootstrap, topic, group, protocol, assignor, instanceId, sessionTimeoutMs }) {
  const uncommitted = new Map()
  const say = (what) => {
    print(what)
    flush()
  }
  const commit = (consumer) => {
    flush()
    const offsets = [...uncommitted.values()]
    uncommitted.clear()
    if (offsets.length === 0) return
    try {
      consumer.commitSync(offsets)
    } catch (error) {
      process.stderr.write(`commit: ${error.message}\n`)
    }
  }
  let consumer
  const settings = {
    ...settingsOf(bootstrap),
    'group.id': group,
    'group.protocol': protocol,
    ...(instanceId === undefined ? {} : { 'group.instance.id': instanceId }),
    ...(protocol === 'classic'
      ? {
          'session.timeout.ms': sessionTimeoutMs,
          'heartbeat.interval.ms': Math.min(500, Math.floor(sessionTimeoutMs / 3)),
          ...(assignor === undefined ? {} : { 'partition.assignment.strategy': assignor }),
        }
      : assignor === undefined
        ? {}
        : { 'group.remote.assignor': assignor }),
  }
  consumer = await member(settings, topic, {
    onAssign: (assigned) => say({ assigned }),
    onRevoke: (revoked) => {
      commit(consumer)
      say({ revoked })
    },
  })
  let isStopped = false
  onStop(() => (isStopped = true))
  let committedAt = Date.now()
  while (!isStopped) {
    const messages = await wait((done) => consumer.consume(RECORDS_AT_ONCE, done))
    for (const { partition, offset, headers, value } of messages) {
      print({ p: partition, o: offset, i: numberOf(headers?.find((header) => 'n' in header)?.n, value) })
      uncommitted.set(partition, { topic, partition, offset: offset + 1 })
    }
    flush()
    if (Date.now() - committedAt < 300) continue
    commit(consumer)
    committedAt = Date.now()
  }
  commit(consumer)
  await wait((done) => consumer.disconnect(done))
  say({ left: true })
}

async function transact({ bootstrap, from, to, group, transactionalId }) {
  const producer = await connected(
    new Producer({
      ...settingsOf(bootstrap),
      'transactional.id': transactionalId,
      'transaction.timeout.ms': 10_000,
      'linger.ms': 0,
      dr_cb: true,
    }),
  )
  producer.setPollInterval(10)
  const settings = {
    ...settingsOf(bootstrap),
    'group.id': group,
    'session.timeout.ms': 6000,
    'isolation.level': 'read_committed',
  }
  const consumer = await member(settings, from, { onAssign: () => undefined, onRevoke: () => undefined })
  await retried((done) => producer.initTransactions(20_000, done))
  let isStopped = false
  onStop(() => (isStopped = true))
  let transactions = 0
  while (!isStopped) {
    const messages = await wait((done) => consumer.consume(50, done))
    if (messages.length === 0) continue
    const next = new Map(
      messages.map(({ partition, offset }) => [partition, { topic: from, partition, offset: offset + 1 }]),
    )
    for (let isDone = false; !isDone;) {
      const isAborted = ++transactions % 7 === 0
      await wait((done) => producer.beginTransaction(done))
      try {
        for (const { partition, key, value, headers } of messages) {
          const bytes = Buffer.concat([value ?? Buffer.alloc(0), Buffer.from('!')])
          producer.produce(to, partition, bytes, key, Date.now(), null, headers)
        }
        if (isAborted) await retried((done) => producer.abortTransaction(20_000, done))
        else {
          await retried((done) => producer.sendOffsetsToTransaction([...next.values()], consumer, 20_000, done))
          await retried((done) => producer.commitTransaction(20_000, done))
        }
        isDone = !isAborted
      } catch (error) {
        if (!error.isTxnRequiresAbort) throw error
        process.stderr.write(`a transaction had to be aborted: ${error.message}\n`)
        await retried((done) => producer.abortTransaction(20_000, done))
        // Its offsets did not go through: read them again, or let whoever has the partitions now do it.
        throw error
      }
    }
    print({ committed: messages.length })
    flush()
  }
  await wait((done) => consumer.disconnect(done))
  await wait((done) => producer.disconnect(5000, done))
}

/** Does again what librdkafka says may be done again. */
async function retried(call) {
  for (let left = 20; ; left--) {
    try {
      return await wait(call)
    } catch (error) {
      if (!error.isRetriable || left === 0) throw error
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
}

/** It has no calls for settings and for changing a group's offsets. */
async function admin({ bootstrap, topic, group }) {
  const client = AdminClient.create(settingsOf(bootstrap))
  const made = `${topic}-made`
  const call = async (name, result) => print({ call: name, result: await result })
  const create = () =>
    wait((done) =>
      client.createTopic(
        {
          topic: made,
          num_partitions: 3,
          replication_factor: 1,
          config: { 'retention.ms': '3600000', 'segment.bytes': '1048576' },
        },
        done,
      ),
    )
  const names = async () => {
    const all = await wait((done) => client.listTopics({}, done))
    return all.filter((name) => name.startsWith(topic)).toSorted()
  }
  const partitionCount = async () => {
    const [described] = await wait((done) => client.describeTopics([made], {}, done))
    return described.partitions.length
  }
  const hasGroup = async () => {
    const { groups } = await wait((done) => client.listGroups({}, done))
    return groups.some(({ groupId }) => groupId === group)
  }
  const offsetsAt = async (timestamp) => {
    const asked = [0, 1, 2].map((partition) => ({ topic, partition, offset: { timestamp } }))
    const listed = await wait((done) => client.listOffsets(asked, {}, done))
    const sorted = listed.toSorted((one, other) => one.partition - other.partition)
    return sorted.map(({ offset }) => offset)
  }

  await call(
    'createTopic',
    create().then(() => 'ok'),
  )
  await call(
    'createTopicAgain',
    create().then(
      () => 'ok',
      ({ code }) => (code === CODES.ERRORS.ERR_TOPIC_ALREADY_EXISTS ? 'TOPIC_ALREADY_EXISTS' : code),
    ),
  )
  await call('listTopics', names())
  await call('describeTopic', partitionCount())
  await wait((done) => client.createPartitions(made, 5, done))
  await call('createPartitions', partitionCount())
  const [earliest, latest] = [await offsetsAt(-2), await offsetsAt(-1)]
  await call(
    'listOffsets',
    earliest.map((offset, partition) => [offset, latest[partition]]),
  )
  const [deleted] = await wait((done) => client.deleteRecords([{ topic, partition: 0, offset: 5 }], {}, done))
  await call('deleteRecords', deleted.lowWatermark)
  await call('listGroups', hasGroup())
  const { groups } = await wait((done) => client.describeGroups([group], {}, done))
  await call('describeGroup', groups[0].state === ConsumerGroupStates.EMPTY ? 'Empty' : groups[0].state)
  const [{ partitions }] = await wait((done) => client.listConsumerGroupOffsets([{ groupId: group }], {}, done))
  await call('groupOffsets', partitions.find(({ partition }) => partition === 0).offset)
  await wait((done) => client.deleteGroups([group], {}, done))
  await call('deleteGroup', hasGroup())
  for (const name of [made, topic]) await wait((done) => client.deleteTopic(name, done))
  await call('deleteTopics', names())
  client.disconnect()
}

await run({ produce, consume, join, transact, admin })
