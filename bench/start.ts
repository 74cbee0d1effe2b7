// How long the broker takes to start on a data directory with many partitions, after a clean stop and after kill -9:
//   node dist/bench/start.js [PARTITIONS]
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FRAME_TYPES } from '../src/protocols/json/wire.ts'
import { formatCount, formatTable } from './format.ts'
import { countOpenFiles, findFreePort, pause, readMemory, startProcess, type ServerProcess } from './processes.ts'
import { cafeLog } from './servers/cafelog.ts'
import { encodeFrame, findFrameEnd, PlainConnection } from './wire.ts'

const PARTITIONS_PER_TOPIC = 1000
const RECORD = { value: Buffer.alloc(100, 'v').toString('base64') }

interface Running {
  readonly server: ServerProcess
  readonly port: number
  readonly firstAnswerMs: number
}

const partitionCount = Number(process.argv[2] ?? 10_000)
if (!Number.isInteger(partitionCount) || partitionCount < 1 || partitionCount > 100_000) {
  process.stderr.write(`Cannot use ${process.argv[2]} as the number of partitions: 1 to 100000\n`)
  process.exit(2)
}
const contender = cafeLog('always')
if (contender.missing !== undefined) {
  process.stderr.write(`${contender.missing}\n`)
  process.exit(1)
}
const directory = mkdtempSync(join(tmpdir(), 'cafelog-start-'))
let current: ServerProcess | undefined
process.once('SIGINT', () => {
  void current?.kill().then(() => {
    rmSync(directory, { recursive: true, force: true })
    process.exit(130)
  })
})
try {
  const rows: string[][] = []
  const empty = await start()
  rows.push(await describe('empty directory', empty))
  const createdAt = performance.now()
  await createTopics(empty.port)
  const createMs = performance.now() - createdAt
  await produceToAll(empty.port)
  const stoppedAt = performance.now()
  await empty.server.stop()
  const stopMs = performance.now() - stoppedAt

  const clean = await start()
  rows.push(await describe('after a clean stop', clean))
  await clean.server.kill()

  const idle = await start()
  rows.push(await describe('after kill -9, nothing written since the start', idle))
  await produceToAll(idle.port)
  await idle.server.kill()

  const dirty = await start()
  rows.push(await describe('after kill -9, every partition just written', dirty))
  await dirty.server.stop()

  console.log(`\n${formatCount(partitionCount)} partitions, one segment each\n`)
  console.log(formatTable(['start', 'first answer', 'RSS when idle', 'open files'], rows))
  console.log(`\n  To create the topics took ${formatMs(createMs)}, the clean stop ${formatMs(stopMs)}.`)
} finally {
  await current?.kill()
  rmSync(directory, { recursive: true, force: true })
}

/** Starts the broker on the directory and waits for the first answer to a PRODUCE (a HEARTBEAT while there is no topic). */
async function start(): Promise<Running> {
  const port = await findFreePort()
  const server = startProcess(contender.command(directory, port), join(directory, 'output.txt'))
  current = server
  for (;;) {
    try {
      await askFirst(port)
      return { server, port, firstAnswerMs: performance.now() - server.startedAt }
    } catch (error) {
      const reason = server.ended()
      if (reason !== undefined) throw new Error(`The broker did not start: ${reason}`, { cause: error })
      await pause(2)
    }
  }
}

async function askFirst(port: number): Promise<void> {
  const connection = await PlainConnection.open(port)
  try {
    await connection.request(FRAME_TYPES.PRODUCE, { topic: 'start-0', partition: 0, records: [RECORD] })
  } catch (error) {
    if (!String(error).includes('UNKNOWN_TOPIC_OR_PARTITION')) throw error
  } finally {
    connection.close()
  }
}

async function describe(what: string, { server, firstAnswerMs }: Running): Promise<string[]> {
  await pause(2000)
  const { residentBytes } = readMemory(server.pid)
  return [what, formatMs(firstAnswerMs), `${(residentBytes / 1e6).toFixed(0)} MB`, String(countOpenFiles(server.pid))]
}

function* eachTopic(): Iterable<{ topic: string; partitions: number }> {
  for (let first = 0; first < partitionCount; first += PARTITIONS_PER_TOPIC) {
    const partitions = Math.min(PARTITIONS_PER_TOPIC, partitionCount - first)
    yield { topic: `start-${first / PARTITIONS_PER_TOPIC}`, partitions }
  }
}

async function createTopics(port: number): Promise<void> {
  const connection = await PlainConnection.open(port)
  for (const asked of eachTopic()) await connection.request(FRAME_TYPES.CREATE_TOPIC, asked)
  connection.close()
}

/** One record for every partition, a topic's thousand requests at a time. */
async function produceToAll(port: number): Promise<void> {
  const connection = await PlainConnection.open(port)
  for (const { topic, partitions } of eachTopic()) {
    const requests = Array.from({ length: partitions }, (_, partition) =>
      encodeFrame(FRAME_TYPES.PRODUCE, { topic, partition, records: [RECORD] }),
    )
    const answers = await connection.exchange(Buffer.concat(requests), (received) => findEndOf(received, partitions))
    if (answers.includes('{"error"')) throw new Error(`A PRODUCE to ${topic} was refused`)
  }
  connection.close()
}

function findEndOf(received: Buffer, frames: number): number | undefined {
  let end: number | undefined = 0
  for (let frame = 0; frame < frames && end !== undefined; frame++) end = findFrameEnd(received, end)
  return end
}

function formatMs(milliseconds: number): string {
  return milliseconds < 10_000 ? `${milliseconds.toFixed(0)} ms` : `${(milliseconds / 1000).toFixed(1)} s`
}
