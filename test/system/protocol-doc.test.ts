import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import * as netLimits from '../../src/net/limits.ts'
import * as limits from '../../src/protocols/json/limits.ts'
import { FRAME_PAYLOAD_BYTES_MAX, FRAME_TYPES, WIRE_ERRORS } from '../../src/protocols/json/wire.ts'
import { RawClient } from '../support/raw-client.ts'
import type { TestBroker } from '../support/start-broker.ts'
import { startTestBroker } from '../support/start-broker.ts'

// docs/protocol-json.md is held to the code: its tables, its numbers, its bytes, and its clients, which are run.

const document = readFileSync(new URL('../../docs/protocol-json.md', import.meta.url), 'utf8')

/** The document without the spaces that line up the columns of its tables. */
const rowsOfTables = document.replaceAll(/ {2,}/g, ' ')

/** The fenced blocks of one kind. */
function blocks(kind: string): string[] {
  return [...document.matchAll(/^```(.*)\n([^]*?)^```$/gm)]
    .filter((match) => match[1] === kind)
    .map((match) => match[2])
}

let broker: TestBroker
let directory: string
beforeAll(async () => {
  broker = await startTestBroker()
  directory = mkdtempSync(join(tmpdir(), 'cafelog-doc-'))
})
afterAll(async () => {
  await broker.stop()
  rmSync(directory, { recursive: true, force: true })
})

test('the document lists every operation with its type', () => {
  const rows = [...rowsOfTables.matchAll(/^\| (\d+) \| \[([A-Z_]+)\]\(#([a-z_0-9-]+)\) \|/gm)]
  expect(Object.fromEntries(rows.map(([, type, name]) => [name, Number(type)]))).toEqual(FRAME_TYPES)
  const headings = [...document.matchAll(/^### ([A-Z_]+) \((\d+)\)$/gm)]
  expect(Object.fromEntries(headings.map(([, name, type]) => [name, Number(type)]))).toEqual(FRAME_TYPES)
  for (const [, type, name, anchor] of rows) expect(anchor).toBe(`${name.toLowerCase()}-${type}`)
})

test('the document lists every error code and whether trying again helps', () => {
  const rows = [...rowsOfTables.matchAll(/^\| `([A-Z_]+)` \| (yes|no) \|/gm)].map(([, code, again]) => [
    code,
    again === 'yes',
  ])
  const expected = Object.entries(WIRE_ERRORS).map(([code, { isRetriable }]) => [code, isRetriable])
  expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(expected))
})

test('the document has the limits that the code has', () => {
  const numbers = [
    FRAME_PAYLOAD_BYTES_MAX,
    limits.RECORDS_PER_REQUEST_MAX,
    limits.BATCHES_PER_REQUEST_MAX,
    limits.RECORD_TEXT_BYTES_MAX,
    limits.FETCH_BYTES_DEFAULT,
    limits.FETCH_BYTES_MAX,
    limits.FETCH_BATCHES_BYTES_MAX,
    limits.PARTITIONS_PER_REQUEST_MAX,
    limits.FETCH_WAIT_MS_MAX,
    netLimits.REQUESTS_IN_FLIGHT_MAX,
  ]
  for (const number of numbers) expect(document).toContain(number.toLocaleString('en-US'))
  expect(rowsOfTables).toContain(`| ${netLimits.OUTPUT_BYTES_SOFT_MAX / 2 ** 20} MiB |`)
  expect(rowsOfTables).toContain(`| ${netLimits.FRAME_TIMEOUT_MS / 1000} s |`)
  expect(rowsOfTables).toContain(`| ${netLimits.IDLE_TIMEOUT_MS / 60_000} min |`)
  expect(rowsOfTables).toContain(`| ${netLimits.OUTPUT_STALL_TIMEOUT_MS / 60_000} min |`)
})

test('the exchange in bytes is what a new broker does', async () => {
  const requests = blocks('hex request').map(parseDump)
  const answers = blocks('hex answer').map(parseDump)
  expect([requests.length, answers.length]).toEqual([2, 2])
  const socket = connect(broker.port, '127.0.0.1')
  let received = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => (received = Buffer.concat([received, chunk])))
  for (const [index, request] of requests.entries()) {
    received = Buffer.alloc(0)
    socket.write(request)
    await expect.poll(() => received.toString('hex')).toBe(answers[index].toString('hex'))
  }
  socket.destroy()
})

test('the exchanges in JSON are what a new broker does', async () => {
  const [lines] = blocks('exchange').map((block) => block.trimEnd().split('\n'))
  const fresh = await startTestBroker()
  const client = await RawClient.connect(fresh.port)
  for (let at = 0; at < lines.length; at += 2) {
    const [, type, request] = /^→ (\d+) (.*)$/.exec(lines[at]) ?? []
    expect(`← ${(await client.ask(Number(type), request)).text}`).toBe(lines[at + 1])
  }
  client.close()
  await fresh.stop()
})

test('the client in Node runs', async () => {
  const [source] = blocks('js')
  expect(source.split('\n').length).toBeLessThan(40)
  const file = join(directory, 'client.mjs')
  writeFileSync(file, source)
  await broker.broker.topics.create({ name: 'greetings', partitionCount: 1 })
  expect(await run(process.execPath, [file, '127.0.0.1', String(broker.port)])).toMatch(/^0 hello\n/)
  expect(broker.broker.committedOffsets.get('readers', 'greetings', 0)?.offset).toBe(1)
  await broker.broker.topics.delete('greetings')
})

test('the client in Python runs', async ({ skip }) => {
  if (spawnSync('python3', ['--version']).status !== 0) skip('there is no python3')
  const [source] = blocks('python')
  expect(source.split('\n').length).toBeLessThan(30)
  const file = join(directory, 'client.py')
  writeFileSync(file, source)
  expect(await run('python3', [file, '127.0.0.1', String(broker.port)])).toBe('0 hello\n')
  expect(broker.broker.committedOffsets.get('readers', 'greetings', 0)?.offset).toBe(1)
})

/** The bytes of a hex dump: position, up to sixteen bytes, and the same as text, which must agree. */
function parseDump(dump: string): Buffer {
  const lines = dump.trimEnd().split('\n')
  const rows = lines.map((line, index) => {
    expect(parseInt(line.slice(0, 4), 16)).toBe(index * 16)
    const bytes = Buffer.from(line.slice(6, 53).replaceAll(' ', ''), 'hex')
    expect(line.slice(55)).toBe(bytes.toString('latin1').replaceAll(/[^ -~]/g, '.'))
    return bytes
  })
  return Buffer.concat(rows)
}

/** Runs a program to its end and returns what it printed. */
async function run(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  let errors = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()))
  const code = await new Promise((resolve) => child.once('close', resolve))
  expect([code, errors]).toEqual([0, ''])
  return output
}
