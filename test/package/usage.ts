/** What stands above every line. */
export const PREAMBLE = `import { startCafeLog } from 'cafelog'
import type { CafeLog, CafeLogOptions, NewTopic } from 'cafelog'
import { BrokerRefusal, CafeLogClient, ConnectionFailure, LIST_OFFSETS_START } from 'cafelog/client'
import { DeliveryFailure } from 'cafelog/client'
import type { Admin, CircuitState, ClientOptions, DeliveredMessage, Producer, ProducerMessage } from 'cafelog/client'
declare const broker: CafeLog
declare const client: CafeLogClient
declare const admin: Admin
declare const producer: Producer`

/** Lines that have to compile in a project that uses the package. */
export const RIGHT_LINES: readonly string[] = [
  // startCafeLog
  `await using own = await startCafeLog(); const port: number = own.ports.kafka; return port`,
  `const topic: NewTopic = { name: 'a', partitions: 4, config: { 'retention.ms': '7d' } }; return topic`,
  `const options: CafeLogOptions = { topics: ['a', { name: 'b' }], memoryBytesMax: 1e6 }; return startCafeLog(options)`,
  `return startCafeLog({ directory: '/tmp/x', host: '::1', ports: { json: 1 }, settings: { CAFELOG_FLUSH_POLICY: 'os' } })`,
  `await broker.clock.advance('1h'); await broker.clock.advance(5); const now: number = broker.clock.now(); return now`,
  `broker.faults.failNext('Produce', 'NOT_LEADER_OR_FOLLOWER', { times: 3 })`,
  `broker.faults.delayNext('FETCH', '2s'); broker.faults.dropNext('Produce', { when: 'after' }); broker.faults.clear()`,
  `await broker.createTopic({ name: 'a' }); await broker.close()`,
  // the client
  `await using own = new CafeLogClient({ broker: 'localhost:7070', retryForMs: 5 }); return own.circuit`,
  `const state: CircuitState = client.circuit; const options: ClientOptions = {}; return [state, options]`,
  `client.on('retry', ({ operation, attempt, delayMs, error }) => console.log(operation, attempt, delayMs, error.message))`,
  `client.on('circuit', ({ state }) => { if (state === 'half-open') console.log(state) })`,
  `const { created } = await admin.createTopic({ topic: 'a', partitions: 1 }); const made: boolean = created; return made`,
  `const [offset] = await admin.listOffsets({ topic: 'a', timestamp: LIST_OFFSETS_START }); return offset.partition + 1`,
  `const { members, offsets } = await admin.describeGroup('g'); return [members.length, offsets[0].lagMs ?? 0]`,
  `await admin.deleteTopic('a', { signal: AbortSignal.timeout(5) })`,
  `return (error: unknown) => error instanceof BrokerRefusal || (error instanceof ConnectionFailure && error.kind)`,
  // its producer
  `await using own = client.producer({ acks: 'all', compression: 'gzip', lingerMs: 5, idempotent: true }); await own.flush()`,
  `const sent: DeliveredMessage = await producer.send({ topic: 'a', value: 'v' }); return [sent.partition, sent.offset]`,
  `await producer.send({ topic: 'a', key: Buffer.from('k'), value: null, headers: { h: 'x' }, timestamp: new Date() })`,
  `const message: ProducerMessage = { topic: 'a', value: 'v', headers: [{ key: 'h', value: null }], dueAt: 1 }; return message`,
  `await producer.room({ signal: AbortSignal.timeout(5) }); return producer.hasRoom && producer.bufferedBytes`,
  `return (await producer.sendBatch([{ topic: 'a', value: 'v' }]))[0].offset`,
  `return (error: unknown) => error instanceof DeliveryFailure && error.kind === 'timeout'`,
]

/** Lines each of which has a mistake that the compiler has to find. */
export const WRONG_LINES: readonly string[] = [
  // startCafeLog
  `await startCafeLog('orders')`,
  `await startCafeLog({ topcis: ['a'] })`,
  `await startCafeLog({ topics: 'a' })`,
  `await startCafeLog({ topics: [1] })`,
  `await startCafeLog({ topics: [{ partitions: 2 }] })`,
  `await startCafeLog({ topics: [{ name: 'a', partitions: '4' }] })`,
  `await startCafeLog({ topics: [{ name: 'a', config: { 'retention.ms': 7 } }] })`,
  `await startCafeLog({ ports: { smtp: 25 } })`,
  `await startCafeLog({ ports: { json: '7070' } })`,
  `await startCafeLog({ directory: 7 })`,
  `await startCafeLog({ settings: { CAFELOG_DEFAULT_PARTITIONS: 4 } })`,
  `await startCafeLog({ logger: 'pino' })`,
  `return startCafeLog().addresses`,
  `return broker.addresses.smtp`,
  `broker.ports.json = 1`,
  `const port: string = broker.ports.json; return port`,
  `await broker.clock.advance()`,
  `await broker.clock.advance(new Date())`,
  `await broker.createTopic()`,
  `await broker.createTopic({ partitions: 1 })`,
  `broker.faults.failNext('Produce')`,
  `broker.faults.failNext('Produse', 'NONE')`,
  `broker.faults.failNext('Produce', 'NOT_LEADER')`,
  `broker.faults.failNext('PRODUCE', 'NOT_LEADER_OR_FOLLOWER')`,
  `broker.faults.delayNext('produce', '2s')`,
  `broker.faults.failNext('Produce', 'NOT_LEADER_OR_FOLLOWER', 3)`,
  `broker.faults.failNext('Produce', 'NOT_LEADER_OR_FOLLOWER', { times: 'often' })`,
  `broker.faults.delayNext('Fetch')`,
  `broker.faults.dropNext('Produce', { when: 'during' })`,
  `using own = await startCafeLog()`,
  `return import('cafelog/dist/src/main.js')`,
  // the client
  `return new CafeLogClient('localhost:7070')`,
  `return new CafeLogClient({ brokers: ['localhost:7070'] })`,
  `return new CafeLogClient({ broker: 7070 })`,
  `return new CafeLogClient({ retryForMs: '1s' })`,
  `return new CafeLogClient({ host: 'localhost' })`,
  `client.circuit = 'open'`,
  `return client.circuit === 'ajar'`,
  `client.on('cirkit', () => {})`,
  `client.on('retry', ({ tries }) => console.log(tries))`,
  `client.on('circuit', (state: string) => console.log(state))`,
  `await admin.createTopic('a')`,
  `await admin.createTopic({ topic: 'a' })`,
  `await admin.createTopic({ topic: 'a', partitions: '1' })`,
  `await admin.createTopic({ topic: 'a', partitions: 1, config: { 'retention.ms': 1 } })`,
  `await admin.deleteTopic({ topic: 'a' })`,
  `await admin.deleteTopic('a', AbortSignal.timeout(5))`,
  `await admin.alterTopic({ partitions: 2 })`,
  `await admin.listOffsets({ topic: 'a' })`,
  `await admin.deleteRecords({ topic: 'a', partition: 0 })`,
  `await admin.commitOffset({ topic: 'a', partition: 0, offset: 1 })`,
  `await admin.deleteOffsets({})`,
  `await admin.describeGroup()`,
  `const groups: string[] = await admin.listGroups(); return groups`,
  `return (await admin.describeBroker()).ports`,
  // its producer
  `return client.producer({ acks: 2 })`,
  `return client.producer({ compression: 'lzma' })`,
  `return client.producer({ linger: 5 })`,
  `return client.producer({ batchBytes: '64KB' })`,
  `await producer.send('a', 'v')`,
  `await producer.send({ value: 'v' })`,
  `await producer.send({ topic: 'a' })`,
  `await producer.send({ topic: 'a', value: { total: 12 } })`,
  `await producer.send({ topic: 'a', key: 7, value: 'v' })`,
  `await producer.send({ topic: 'a', value: 'v', headers: { h: 1 } })`,
  `await producer.send({ topic: 'a', value: 'v', timestamp: 'now' })`,
  `await producer.send({ topic: 'a', value: 'v', partition: '0' })`,
  `await producer.send([{ topic: 'a', value: 'v' }])`,
  `return producer.send({ topic: 'a', value: 'v' }).offset`,
  `await producer.sendBatch({ topic: 'a', value: 'v' })`,
  `producer.bufferedBytes = 0`,
]
