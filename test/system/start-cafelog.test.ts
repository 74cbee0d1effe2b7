import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { CafeLog } from '../../src/start-cafelog.ts'
import { startCafeLog } from '../../src/start-cafelog.ts'
import { COMMIT, FETCH, HEARTBEAT, LIST_OFFSETS, PRODUCE } from '../support/frame-types.ts'
import { RawClient } from '../support/raw-client.ts'

const text = (words: string) => Buffer.from(words).toString('base64')

/** Connects to the JSON door of a broker for as long as `work` takes. */
async function withClient<Result>(broker: CafeLog, work: (client: RawClient) => Promise<Result>): Promise<Result> {
  const client = await RawClient.connect(broker.ports.json)
  try {
    return await work(client)
  } finally {
    client.close()
  }
}

async function roundTrip(broker: CafeLog, topic: string) {
  return await withClient(broker, async (client) => {
    const { json } = await client.ask(PRODUCE, { topic, partition: 0, records: [{ value: text('one') }] })
    expect(json).toMatchObject({ topic, baseOffset: 0, highWatermark: 1 })
    const answer = (await client.ask(FETCH, { topic, partition: 0, offset: 0 })).json
    expect(answer.records.map(({ value }: { value: string }) => value)).toEqual([text('one')])
  })
}

test('a broker in memory has all doors, its topics, and leaves nothing', async () => {
  const before = new Set(readdirSync(tmpdir()))
  const broker = await startCafeLog({
    topics: ['plain', { name: 'wide', partitions: 3, config: { 'retention.ms': '1h' } }],
  })
  try {
    for (const port of Object.values(broker.ports)) expect(port).toBeGreaterThan(0)
    expect(broker.addresses.json).toBe(`127.0.0.1:${broker.ports.json}`)
    await roundTrip(broker, 'plain')
    await broker.createTopic('later')
    await roundTrip(broker, 'later')
    expect(await (await fetch(`http://${broker.addresses.http}/readyz`)).json()).toMatchObject({ status: 'ready' })
  } finally {
    await broker.close()
  }
  await broker.close()
  expect(existsSync('/cafelog')).toBe(false)
  const left = readdirSync(tmpdir()).filter((name) => name.includes('cafelog') && !before.has(name))
  expect(left.filter((name) => !name.startsWith('cafelog-'))).toEqual([])
  await expect(RawClient.connect(broker.ports.json)).rejects.toThrow('ECONNREFUSED')
})

test('a topic without a name is refused, with what would be right', async () => {
  const topics = [{ topic: 'orders' }] as never
  await expect(startCafeLog({ topics })).rejects.toThrow(
    'Cannot make the topic {"topic":"orders"}: {"name":"orders","partitions":4,"config":{"retention.ms":"7d"}} would be right',
  )
})

test('a broker on a disk finds everything again', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cafelog-'))
  try {
    for (const expected of [1, 2]) {
      const broker = await startCafeLog({ directory, topics: ['kept'] })
      const { json } = await withClient(broker, (client) =>
        client.ask(PRODUCE, { topic: 'kept', partition: 0, records: [{ value: null }] }),
      )
      expect(json.highWatermark).toBe(expected)
      await broker.close()
    }
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})

test('twenty at once do not know of each other', async () => {
  const brokers = await Promise.all(Array.from({ length: 20 }, () => startCafeLog({ topics: ['same'] })))
  try {
    await Promise.all(brokers.map((broker) => roundTrip(broker, 'same')))
    expect(new Set(brokers.flatMap(({ ports }) => Object.values(ports))).size).toBe(60)
  } finally {
    await Promise.all(brokers.map((broker) => broker.close()))
  }
})

test('retention, sessions and long polls follow the clock that is put forward', async () => {
  const broker = await startCafeLog({
    topics: [{ name: 'week', config: { 'retention.ms': '7d', 'segment.ms': '1d' } }],
  })
  const startedAt = performance.now()
  try {
    await withClient(broker, async (client) => {
      const now = broker.clock.now()
      await client.ask(PRODUCE, { topic: 'week', partition: 0, records: [{ value: text('old') }] })
      const { json: member } = await client.ask(HEARTBEAT, { group: 'g', topics: ['week'] })
      expect(member.assignment).toHaveLength(1)

      const waiting = client.ask(FETCH, { topic: 'week', partition: 0, offset: 1, maxWaitMs: 300_000 })
      await new Promise((resolve) => setTimeout(resolve, 50))
      await broker.clock.advance('5m')
      expect((await waiting).json.records).toEqual([])
      const commit = { topic: 'week', partition: 0, group: 'g', offset: 1, memberId: member.memberId, generation: 1 }
      expect((await client.ask(COMMIT, commit)).json.error.code).toBe('UNKNOWN_MEMBER_ID')

      await broker.clock.advance('8d')
      expect(broker.clock.now() - now).toBeGreaterThan(8 * 86_400_000)
      const { json } = await client.ask(LIST_OFFSETS, { topic: 'week', partition: 0, timestamp: -2 })
      expect(json.offsets).toEqual([{ partition: 0, offset: 1, timestamp: -1 }])
      expect((await client.ask(FETCH, { topic: 'week', partition: 0, offset: 0 })).json.error.code).toBe(
        'OFFSET_OUT_OF_RANGE',
      )
    })
    await expect(async () => broker.clock.advance('soon')).rejects.toThrow('"soon"')
    await expect(async () => broker.clock.advance(-1)).rejects.toThrow('-1')
    expect(performance.now() - startedAt).toBeLessThan(5_000)
  } finally {
    await broker.close()
  }
})

test('a full disk in memory refuses, and takes again when there is room', async () => {
  const broker = await startCafeLog({ topics: ['big'], memoryBytesMax: 2 * 1024 * 1024 })
  try {
    await withClient(broker, async (client) => {
      const record = { value: Buffer.alloc(256 * 1024).toString('base64') }
      const answers: string[] = []
      for (let i = 0; i < 10; i++) {
        const { json } = await client.ask(PRODUCE, { topic: 'big', partition: 0, records: [record] })
        answers.push(json.error?.code ?? 'ok')
      }
      expect(answers.slice(0, 5)).toEqual(Array(5).fill('ok'))
      expect(answers.at(-1)).toBe('INTERNAL_IO_ERROR')
    })
  } finally {
    await broker.close()
  }
})

test('what cannot be is refused, and nothing stays open', async () => {
  await expect(startCafeLog({ settings: { CAFELOG_FLUSH_POLICY: 'never' } })).rejects.toThrow('CAFELOG_FLUSH_POLICY')
  await expect(startCafeLog({ topics: ['a/b'] })).rejects.toThrow('"a/b"')
  await expect(startCafeLog({ topics: [{ name: 'a', config: { colour: 'red' } }] })).rejects.toThrow('colour')
  const first = await startCafeLog()
  try {
    await expect(startCafeLog({ ports: { json: first.ports.json } })).rejects.toThrow(String(first.ports.json))
  } finally {
    await first.close()
  }
})

test('a process that has closed its brokers ends by itself', () => {
  const source = `
    const { startCafeLog } = await import(process.argv[1])
    const broker = await startCafeLog({ topics: ['t'] })
    await broker.close()
    console.log('closed')`
  const program = new URL('../../dist/src/start-cafelog.js', import.meta.url).pathname
  const args = ['--input-type=module', '-e', source, program]
  const run = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 15_000 })
  expect([run.stdout, run.stderr, run.status]).toEqual(['closed\n', '', 0])
})

test('node --test ends by itself after twenty brokers at once, and nothing is left open', () => {
  const dist = new URL('../../dist/', import.meta.url).href
  const source = `
    import assert from 'node:assert/strict'
    import { test } from 'node:test'
    import { openConnection } from '${dist}client/json-connection.js'
    import { call } from '${dist}client/operations.js'
    import { startCafeLog } from '${dist}src/start-cafelog.js'

    const openHandles = () => process.getActiveResourcesInfo().filter((name) => /TCP|Timeout/.test(name)).sort()

    test('twenty brokers', async () => {
      const before = openHandles()
      const brokers = await Promise.all(Array.from({ length: 20 }, () => startCafeLog({ topics: ['t'] })))
      const answers = await Promise.all(brokers.map(async ({ ports }) => {
        const connection = await openConnection({ host: '127.0.0.1', port: ports.json })
        const answer = await call(connection, 'PRODUCE', { topic: 't', partition: 0, records: [{ value: null }] })
        connection.close()
        return answer.baseOffset
      }))
      assert.deepEqual(answers, Array(20).fill(0))
      await Promise.all(brokers.map((broker) => broker.close()))
      await new Promise((resolve) => setImmediate(resolve))
      assert.deepEqual(openHandles(), before)
    })`
  const directory = mkdtempSync(join(tmpdir(), 'cafelog-'))
  try {
    writeFileSync(join(directory, 'twenty.test.mjs'), source)
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => name !== 'NODE_TEST_CONTEXT'))
    const args = ['--test', join(directory, 'twenty.test.mjs')]
    const run = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 15_000, env })
    expect([run.status, run.signal, run.status === 0 ? '' : run.stdout]).toEqual([0, null, ''])
    expect(run.stdout).toMatch(/pass 1\n.*fail 0\n/)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
