import { execFile, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BrokerDidNotStart, BrokerHome } from '../support/broker-process.ts'
import { Run, runCli, startCliBroker, startFakeDoor, type CliBroker } from './cli-harness.ts'

// brokerctl snapshot, snapshot verify and restore. test/crash/snapshot.test.ts has what is in a snapshot under load.

const VALUE = Buffer.alloc(100_000, 'v').toString('base64')
const LONG_TOPIC = 't'.repeat(200)

let broker: CliBroker
let directory: string
/** A whole snapshot that tests may damage copies of. */
let whole: Buffer
beforeAll(async () => {
  broker = await startCliBroker()
  directory = mkdtempSync(join(tmpdir(), 'cafelog-snapshot-'))
  await broker.ask('CREATE_TOPIC', { topic: 'orders', partitions: 3 })
  await broker.ask('CREATE_TOPIC', { topic: LONG_TOPIC, partitions: 1 })
  for (let i = 0; i < 30; i++) {
    await broker.ask('PRODUCE', { topic: 'orders', partition: i % 3, records: [{ value: VALUE }] })
  }
  await broker.ask('PRODUCE', { topic: LONG_TOPIC, partition: 0, records: [{ value: VALUE }] })
  await broker.ask('PRODUCE', {
    topic: 'orders',
    partition: 0,
    records: [{ value: VALUE, dueAt: Date.now() + 3_600_000 }],
  })
  await broker.ask('COMMIT', { topic: 'orders', partition: 1, group: 'readers', offset: 7 })
  const taken = await runCli(['snapshot', pathOf('whole.tar')], broker.env)
  expect(taken.code).toBe(0)
  whole = readFileSync(pathOf('whole.tar'))
})
afterAll(async () => {
  await broker.remove()
  rmSync(directory, { recursive: true, force: true })
})

const pathOf = (name: string) => join(directory, name)
const isStaged = () => existsSync(join(broker.directory, '@snapshot'))

test('a snapshot says what it has, as does its verification', async () => {
  const taken = await runCli(['snapshot', pathOf('a.tar'), '-j'], broker.env)
  const { createdAt, sizeBytes, ...rest } = JSON.parse(taken.stdout) as Record<string, unknown>
  expect({ code: taken.code, rest }).toMatchObject({
    code: 0,
    rest: { snapshot: pathOf('a.tar'), topics: 2, partitions: 4, files: 6 },
  })
  expect(Date.now() - Date.parse(String(createdAt))).toBeLessThan(60_000)
  expect(sizeBytes).toBeGreaterThan(31 * 100_000)
  expect(taken.stderr).toMatch(/^2 topics, 4 partitions, 3.1 MB in /)
  const verified = await runCli(['snapshot', 'verify', pathOf('a.tar'), '-j'], broker.env)
  expect(JSON.parse(verified.stdout)).toEqual(JSON.parse(taken.stdout))
  expect(isStaged()).toBe(false)
})

test('through stdout and stdin it is the same, and a broker started on it has everything', async () => {
  const run = new Run(['snapshot', '-'], broker.env, '')
  const { code, stderr } = await run.ended
  expect({ code, stderr: stderr.slice(0, 8) }).toEqual({ code: 0, stderr: '2 topics' })
  const home = new BrokerHome()
  try {
    mkdirSync(home.dataDirectory)
    const restored = await runCli(['restore', '-', '--data', home.dataDirectory], {}, run.stdout)
    expect(restored).toMatchObject({ code: 0 })
    expect((await runCli(['log', 'verify', '--data-dir', home.dataDirectory], {})).code).toBe(0)
    const started = await home.start()
    const client = await started.connect()
    const ends = async (topic: string) => (await client.ask(7, { topic, timestamp: -1 })).json.offsets
    expect((await ends('orders')).map(({ offset }: { offset: number }) => offset)).toEqual([10, 10, 10])
    expect((await ends(LONG_TOPIC)).map(({ offset }: { offset: number }) => offset)).toEqual([1])
    const { json } = await client.ask(3, { topic: 'orders', partition: 2, offset: 9 })
    expect(json.records[0].value).toBe(VALUE)
    expect((await client.ask(8, { group: 'readers' })).json.offsets[0]).toMatchObject({ partition: 1, offset: 7 })
    expect((await client.ask(18, {})).json.waiting).toBe(1)
    client.close()
    expect(await started.stop()).toBe(0)
  } finally {
    await home.remove()
  }
})

test('tar and sha256sum agree', async ({ skip }) => {
  if (spawnSync('sha256sum', ['--version']).status !== 0 || spawnSync('tar', ['--version']).status !== 0)
    skip('tar and sha256sum are not installed')
  const unpacked = mkdtempSync(join(directory, 'unpacked-'))
  expect(spawnSync('tar', ['xf', '-'], { cwd: unpacked, input: whole }).status).toBe(0)
  const { status, stdout } = spawnSync('sha256sum', ['-c', 'SHA256SUMS'], { cwd: unpacked })
  expect([status, stdout.toString().split('\n').length]).toEqual([0, 8])
})

test('an existing file is not touched, and neither is one that another snapshot writes', async () => {
  writeFileSync(pathOf('precious'), 'precious')
  const refused = await runCli(['snapshot', pathOf('precious')], broker.env)
  expect(refused).toMatchObject({ code: 6, stderr: expect.stringContaining('it is there already') as string })
  expect(readFileSync(pathOf('precious'), 'utf8')).toBe('precious')
  writeFileSync(pathOf('new.tar.part'), '')
  expect((await runCli(['snapshot', pathOf('new.tar')], broker.env)).stderr).toContain('code FILE_EXISTS (exit 6)')
  rmSync(pathOf('new.tar.part'))
})

test('where there is no broker, no folder or no permission to end well, nothing is left', async () => {
  const before = readdirSync(directory)
  expect((await runCli(['snapshot', pathOf('b.tar')], { CAFELOG_BROKER: '127.0.0.1:1' })).code).toBe(5)
  expect((await runCli(['snapshot', pathOf('no/such/folder.tar')], broker.env)).code).toBe(2)
  const door = await startFakeDoor({ BEGIN_SNAPSHOT: { id: 'x', files: 2, sizeBytes: 1 }, READ_SNAPSHOT: 'hang up' })
  expect((await runCli(['snapshot', pathOf('c.tar')], door.env)).code).toBe(5)
  door.close()
  expect(readdirSync(directory)).toEqual(before)
})

test('Ctrl-C and a disk that is full leave nothing, here and in the broker', async () => {
  const manifest = {
    format: 1,
    createdAt: '2026-01-01T00:00:00Z',
    files: [{ path: '@store/data.mdb', sizeBytes: 1e9 }],
  }
  const data = Buffer.from(JSON.stringify(manifest)).toString('base64')
  const door = await startFakeDoor({ BEGIN_SNAPSHOT: { id: 'x', files: 2, sizeBytes: 1 }, READ_SNAPSHOT: { data } })
  const run = new Run(['snapshot', pathOf('d.tar')], door.env, '')
  await run.until(() => existsSync(pathOf('d.tar.part')) && statSync(pathOf('d.tar.part')).size > 10_000)
  run.interrupt()
  expect(await run.ended).toMatchObject({ code: 130, stderr: expect.stringContaining('broken off') as string })
  door.close()
  expect(readdirSync(directory).filter((name) => name.startsWith('d.tar'))).toEqual([])

  // As large a file as this the shell does not allow.
  const limited = `ulimit -f 1000; trap '' XFSZ; exec "$0" "$@"`
  const program = new URL('../../dist/bin/brokerctl.js', import.meta.url).pathname
  const args = ['-c', limited, process.execPath, program, 'snapshot', pathOf('e.tar')]
  const full = await new Promise<string>((resolve) => {
    execFile('sh', args, { env: { PATH: process.env.PATH, ...broker.env } }, (_error, _stdout, stderr) =>
      resolve(stderr),
    )
  })
  expect(full).toMatch(/cannot write ".*e.tar": EFBIG/)
  expect(readdirSync(directory).filter((name) => name.startsWith('e.tar'))).toEqual([])
  expect(isStaged()).toBe(false)
})

/** The same bytes with one of them changed. */
function flip(at: number): Buffer {
  const bytes = Buffer.from(whole)
  bytes[at] ^= 0x40
  return bytes
}

test.each([
  ['a record is damaged', () => flip(Math.floor(whole.length / 2)), /does not match its checksum/],
  [
    'the store is damaged',
    () => flip(whole.indexOf('@store/data.mdb', 4096) + 512 + 5000),
    /@store\/data.mdb does not match/,
  ],
  ['a checksum is damaged', () => flip(whole.lastIndexOf('  snapshot.json') - 1), /snapshot.json does not match/],
  ['it was cut', () => whole.subarray(0, whole.length - 3000), /it ends too early/],
  ['it is empty', () => Buffer.alloc(0), /it ends too early/],
  ['it is something else', () => Buffer.alloc(4096, 'x'), /a number is "x+"/],
  ['it is from the future', () => replaceFormat('9'), /this snapshot is of form 9/],
  ['it wants to write elsewhere', () => replacePath('orders/partition-0', '../../../evil/pwd'), /what does not belong/],
])('%s: it is refused, and nothing is restored', async (_what, damage, message) => {
  const bytes = damage()
  const verified = await runCli(['snapshot', 'verify', '-'], {}, bytes)
  expect(verified.stderr).toMatch(message)
  expect([2, 4]).toContain(verified.code)
  const target = pathOf('target')
  const restored = await runCli(['restore', '-', '--data', target], {}, bytes)
  expect(restored).toMatchObject({ code: verified.code, stderr: verified.stderr })
  expect(existsSync(target)).toBe(false)
})

function replaceFormat(digit: string): Buffer {
  const bytes = Buffer.from(whole)
  bytes.write(digit, bytes.indexOf('{"format":1') + '{"format":'.length)
  return bytes
}

function replacePath(path: string, other: string): Buffer {
  const bytes = Buffer.from(whole)
  bytes.write(other, bytes.indexOf(`"path":"${path}`) + '"path":"'.length)
  return bytes
}

test('a restore wants an empty directory that nobody uses', async () => {
  const inUse = await runCli(['restore', pathOf('whole.tar'), '--data', broker.directory], {})
  expect(inUse).toMatchObject({ code: 6, stderr: expect.stringContaining('it is in use by process') as string })
  const target = mkdtempSync(join(directory, 'target-'))
  mkdirSync(join(target, 'something'))
  const full = await runCli(['restore', pathOf('whole.tar'), '--data', target], {})
  expect(full).toMatchObject({ code: 6, stderr: expect.stringContaining('such as "something"') as string })
  expect(readdirSync(target).filter((name) => name !== '@lock')).toEqual(['something'])
  expect((await runCli(['restore', pathOf('whole.tar')], {})).code).toBe(2)
})

test('no broker starts where a restore was broken off, and the next restore begins anew', async () => {
  const home = new BrokerHome()
  try {
    mkdirSync(join(home.dataDirectory, '@restoring', 'orders'), { recursive: true })
    await expect(home.start()).rejects.toThrow(BrokerDidNotStart)
    await expect(home.start()).rejects.toThrow('code RESTORE_BROKEN_OFF (exit 70)')
    const restored = await runCli(['restore', pathOf('whole.tar'), '--data', home.dataDirectory], {})
    expect(restored).toMatchObject({ code: 0 })
    expect(await (await home.start()).stop()).toBe(0)
  } finally {
    await home.remove()
  }
})

test('one at a time', async () => {
  const { id } = await broker.ask('BEGIN_SNAPSHOT', {})
  const refused = await runCli(['snapshot', pathOf('f.tar')], broker.env)
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('another one is under way') as string })
  await broker.ask('END_SNAPSHOT', { id })
  expect((await runCli(['snapshot', pathOf('f.tar')], broker.env)).code).toBe(0)
})
