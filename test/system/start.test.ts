import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import * as net from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { VERSION } from '../../src/version.ts'
import { BrokerProgram } from '../support/broker-program.ts'
import { RawClient, rawFrame } from '../support/raw-client.ts'

let directory = ''
let processes: BrokerProgram[] = []
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cafelog-start-'))
  processes = []
})
afterEach(async () => {
  for (const { child } of processes) if (child.exitCode === null) child.kill('SIGKILL')
  await Promise.all(processes.map((process) => process.ended))
  rmSync(directory, { recursive: true, force: true })
})

/** Starts the built program on `<directory>/data`. */
function run(environment: Record<string, string> = {}, args: readonly string[] = []): BrokerProgram {
  const started = new BrokerProgram({ CAFELOG_DATA_DIR: join(directory, 'data'), ...environment }, args)
  processes.push(started)
  return started
}

async function produce(port: number, count: number): Promise<void> {
  const client = await RawClient.connect(port)
  expect((await client.ask(1, { topic: 'orders', partitions: 1 })).json).toMatchObject({ ok: true })
  const records = Array.from({ length: count }, (_, index) => ({
    value: Buffer.from(`order ${index}`).toString('base64'),
  }))
  expect((await client.ask(2, { topic: 'orders', partition: 0, records })).json).toMatchObject({ numRecords: count })
  client.close()
}

async function countRecords(port: number): Promise<number> {
  const client = await RawClient.connect(port)
  const { json } = await client.ask(3, { topic: 'orders', partition: 0, offset: 0, maxBytes: 1 << 20, maxWaitMs: 0 })
  client.close()
  return json.records.length
}

test('a broker says in one line of log that it is ready, serves, and stops in order on SIGTERM', async () => {
  const broker = run()
  const ready = await broker.ready()
  expect(ready).toMatchObject({ version: VERSION, pid: broker.child.pid, isNewDirectory: true, topicCount: 0 })
  await produce(ready.ports.json, 10)
  expect((await fetch(`http://127.0.0.1:${ready.ports.http}/readyz`)).status).toBe(200)

  const { code, stdout } = await broker.stop('SIGTERM')
  expect(code).toBe(0)
  expect(stdout).toBe('')
  expect(broker.log.map((line) => line['event'])).toEqual(['ready', 'stopping', 'stopped'])

  const again = run()
  expect(await again.ready()).toMatchObject({ topicCount: 1, partitionCount: 1, recordCount: 10, wasClean: true })
  expect(await countRecords((await again.ready()).ports.json)).toBe(10)
  expect((await again.stop('SIGINT')).code).toBe(0)
  expect(readdirSync(join(directory, 'data', '@lock'))).toEqual([])
})

test('after kill -9 the next start takes over the directory at once and finds every acknowledged record', async () => {
  const broker = run()
  await produce((await broker.ready()).ports.json, 10)
  await broker.stop('SIGKILL')

  const again = run()
  const ready = await again.ready()
  expect(ready).toMatchObject({ recordCount: 10, wasClean: false })
  expect(await countRecords(ready.ports.json)).toBe(10)
  await again.stop()
})

test('a second broker on the same data directory is refused and told who has it; the first goes on', async () => {
  const broker = run()
  const ready = await broker.ready()
  await produce(ready.ports.json, 1)
  const { code, stderr } = await run().ended
  expect(code).toBe(5)
  const data = JSON.stringify(join(directory, 'data'))
  expect(stderr).toContain(`✗ Cannot use the data directory ${data}: it is in use by process ${broker.child.pid} on `)
  expect(stderr).toContain('  Another directory:  CAFELOG_DATA_DIR=')
  expect(stderr).toContain('  code DATA_DIRECTORY_IN_USE (exit 5)\n')
  expect(await countRecords(ready.ports.json)).toBe(1)
  expect((await broker.stop()).code).toBe(0)
})

test('of two brokers that start at the same moment exactly one wins', async () => {
  const [first, second] = [run(), run()]
  const outcome = (broker: BrokerProgram) =>
    Promise.race([broker.ready().then(() => 'ready'), broker.ended.then(({ code }) => `exit ${code}`)]).catch(
      () => 'exit 5',
    )
  const outcomes = await Promise.all([outcome(first), outcome(second)])
  expect(new Set(outcomes)).toEqual(new Set(['ready', 'exit 5']))
})

test.each([
  ['CAFELOG_TCP_ADDR', 'json'],
  ['CAFELOG_KAFKA_ADDR', 'kafka'],
  ['CAFELOG_HTTP_ADDR', 'http'],
])('a busy port is told with its variable, and what was opened is closed again: %s', async (variable) => {
  const holder = net.createServer()
  holder.listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as AddressInfo
  const { code, stderr, stdout } = await run({ [variable]: `127.0.0.1:${port}` }).ended
  holder.close()
  expect(code).toBe(5)
  expect(stdout).toBe('')
  expect(stderr).toBe(
    `✗ Cannot listen on ${variable}=127.0.0.1:${port}: another process has the port\n` +
      `  Another port:  ${variable}=:${port + 1}\n` +
      `  Who is it?     ss -ltnp 'sport = :${port}'\n` +
      '  code ADDRESS_IN_USE (exit 5)\n',
  )
  const again = run()
  expect(await again.ready()).toMatchObject({ wasClean: true })
  await again.stop()
})

test('an address that this machine does not have is bad configuration', async () => {
  const { code, stderr } = await run({ CAFELOG_TCP_ADDR: '192.0.2.1:7070' }).ended
  expect(code).toBe(2)
  expect(stderr).toMatch(/^✗ Cannot listen on CAFELOG_TCP_ADDR=192\.0\.2\.1:7070: .*EADDRNOTAVAIL/)
})

test('bad configuration is told all at once, and nothing is made', async () => {
  const { code, stderr } = await run({ CAFELOG_LOG_LEVEL: 'loud', CAFELOG_TCP_ADDR: 'seven' }).ended
  expect(code).toBe(2)
  expect(stderr).toMatch(/^✗ Cannot use CAFELOG_TCP_ADDR="seven": .*\n {2}Cannot use CAFELOG_LOG_LEVEL="loud": .*\n/)
  expect(stderr).toContain('  code BAD_CONFIGURATION (exit 2)\n')
  expect(readdirSync(directory)).toEqual([])
})

test('a bad topics.yml is refused with file, line and column', async () => {
  writeFileSync(join(directory, 'topics.yml'), 'topics:\n  - name: orders\n    partitions: none\n')
  const { code, stderr } = await run({ CAFELOG_CONFIG_DIR: directory }).ended
  expect(code).toBe(2)
  expect(stderr).toContain(`${join(directory, 'topics.yml')}:3:17: `)
})

test('a data directory that cannot be one is a storage failure', async () => {
  writeFileSync(join(directory, 'data'), 'a file')
  const { code, stderr } = await run().ended
  expect(code).toBe(70)
  expect(stderr).toMatch(/^✗ Cannot open the data directory ".*data": (ENOTDIR|EEXIST)/)
  expect(stderr).toContain('  code STORAGE_FAILURE (exit 70)\n')
})

test.each<[args: string[], code: number, stdout: RegExp, stderr: RegExp]>([
  [['--version'], 0, new RegExp(`^${VERSION}\n$`), /^$/],
  [['--help'], 0, /^Usage: cafelog[^]*CAFELOG_DATA_DIR/, /^$/],
  [['start'], 2, /^$/, /^✗ Cannot use "start": the broker takes no arguments/],
])('arguments %j', async (args, code, stdout, stderr) => {
  const ended = await run({}, args).ended
  expect(ended).toMatchObject({ code })
  expect(ended.stdout).toMatch(stdout)
  expect(ended.stderr).toMatch(stderr)
  expect(readdirSync(directory)).toEqual([])
})

test('npm start prints a banner with every address, the data directory, the flush policy and three commands', async () => {
  const broker = run({ npm_lifecycle_event: 'start', CAFELOG_FLUSH_POLICY: 'interval:10ms' })
  const { ports } = await broker.ready()
  const { stdout } = await broker.stop()
  expect(stdout).toContain(`CafeLog ${VERSION}  ready in `)
  expect(stdout).toContain(`localhost:${ports.json}`)
  expect(stdout).toContain(`http://localhost:${ports.http}`)
  expect(stdout).toContain(join(directory, 'data'))
  expect(stdout).toContain('interval')
  expect(stdout).toContain('may lose what was acknowledged in the last 10ms')
  expect(stdout.match(/brokerctl -b localhost:\d+ (topic create|produce|consume) /g)).toHaveLength(3)
  expect(stdout).not.toContain('\u001b')
})

test('a broker under npm start stops in order when npm is told to stop', async () => {
  // As npm does it: in a shell, which ends on SIGTERM and passes nothing on.
  const environment = { CAFELOG_DATA_DIR: join(directory, 'data'), npm_lifecycle_event: 'start' }
  const shell = new BrokerProgram(environment, [], ['sh', '-c', '"$@"; exit', '--'])
  processes.push(shell)
  const { pid } = await shell.ready()
  expect(pid).not.toBe(shell.child.pid)
  // Its streams close when the broker has gone too.
  await shell.stop('SIGTERM')
  expect(shell.log.at(-1)).toMatchObject({ event: 'stopped', msg: 'stopped in order' })
})

test('a client that waits for records is answered before the broker stops', async () => {
  const broker = run()
  const { ports } = await broker.ready()
  await produce(ports.json, 1)
  const client = await RawClient.connect(ports.json)
  const answer = client.ask(3, { topic: 'orders', partition: 0, offset: 1, maxBytes: 1024, maxWaitMs: 60_000 })
  // The fetch is parked once a later request on another connection was answered.
  await countRecords(ports.json)
  const stopped = broker.stop()
  expect((await answer).json).toMatchObject({ records: [], highWatermark: 1 })
  expect((await stopped).code).toBe(0)
  client.close()
})

/** A client that has asked for more than the system buffers, and reads nothing of it. */
async function connectStubborn(port: number): Promise<net.Socket> {
  const client = await RawClient.connect(port)
  await client.ask(1, { topic: 'orders', partitions: 1 })
  await client.ask(2, { topic: 'orders', partition: 0, records: [{ value: 'AAAA'.repeat(1_500_000) }] })
  client.close()
  const socket = net.connect(port, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  const fetchAll = rawFrame(3, { topic: 'orders', partition: 0, offset: 0, maxBytes: 8_000_000, maxWaitMs: 0 })
  socket.write(Buffer.concat([fetchAll, fetchAll, fetchAll]))
  // It is served when the answer begins to come.
  await once(socket, 'readable')
  return socket
}

test('stopping takes no longer than it may, whatever clients do', async () => {
  const broker = run({ CAFELOG_SHUTDOWN_TIMEOUT: '3s' })
  const socket = await connectStubborn((await broker.ready()).ports.json)
  expect((await broker.stop()).code).toBe(0)
  const [stopping, stopped] = broker.log.slice(-2).map(({ time }) => Date.parse(time as string))
  expect(stopped - stopping).toBeGreaterThan(2000)
  expect(stopped - stopping).toBeLessThan(3000)
  expect(broker.log.at(-1)).toMatchObject({ msg: 'stopped in order' })
  socket.destroy()
})

test('who tells the broker to stop twice will not wait; one Ctrl-C that arrives twice is not that', async () => {
  const broker = run({ CAFELOG_SHUTDOWN_TIMEOUT: '1m' })
  const socket = await connectStubborn((await broker.ready()).ports.json)
  broker.child.kill('SIGINT')
  broker.child.kill('SIGINT')
  await broker.logged(({ event }) => event === 'stopping')
  await new Promise((resolve) => setTimeout(resolve, 600))
  expect(broker.child.exitCode).toBeNull()
  expect((await broker.stop('SIGINT')).code).toBe(1)
  socket.destroy()
})
