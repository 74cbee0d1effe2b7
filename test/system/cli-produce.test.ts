import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli, Run, startCliBroker, type CliBroker } from './cli-harness.ts'

let broker: CliBroker
let scratch: string
beforeAll(async () => {
  broker = await startCliBroker()
  scratch = mkdtempSync(join(tmpdir(), 'cafelog-cli-'))
})
afterAll(async () => {
  await broker.remove()
  rmSync(scratch, { recursive: true, force: true })
})

const cli = (args: readonly string[], input?: string | Buffer) => runCli(args, broker.env, input)

let topics = 0
/** A topic of its own for each test. */
async function newTopic(partitions = 1): Promise<string> {
  const topic = `produced-${++topics}`
  await broker.ask('CREATE_TOPIC', { topic, partitions })
  return topic
}

/** What the topic holds, a line for each record, partition by partition. */
async function read(topic: string, format = '%p %o %k|%v\\n'): Promise<string[]> {
  const { stdout } = await cli(['consume', topic, '-e', '-f', format])
  return stdout.split('\n').slice(0, -1).toSorted()
}

test('every line of stdin is a record, also an empty one and one without an end', async () => {
  const topic = await newTopic()
  const { stdout, stderr, code } = await cli(['produce', topic], 'a\n\nb')
  expect({ stdout, code }).toEqual({ stdout: '', code: 0 })
  expect(stderr).toMatch(/^3 records, 2 B, \d.*, .*\/s, 0 errors\n$/)
  expect(await read(topic)).toEqual(['0 0 |a', '0 1 |', '0 2 |b'])
})

test('key, headers, partition, and a report of where the record went', async () => {
  const topic = await newTopic(4)
  const args = [
    'produce',
    topic,
    '--value',
    'v',
    '-k',
    'k',
    '-p',
    '3',
    '-H',
    'a:b:c',
    '-H',
    'x=y',
    '--report',
    '%t/%p @%o %k %v %h\\n',
    '-q',
  ]
  expect(await cli(args)).toEqual({ stdout: `${topic}/3 @0 k v a=b:c,x=y\n`, stderr: '', code: 0 })
  expect(await read(topic, '%p %k %v %h\\n')).toEqual(['3 k v a=b:c,x=y'])
})

test('keys before a delimiter of several characters decide the partition', async () => {
  const topic = await newTopic(4)
  await cli(['produce', topic, '-K', ' => '], 'a => 1\nb => {"x":"y => z"}\na => 2\n')
  const lines = await read(topic, '%k|%v\\n')
  expect(lines).toEqual(['a|1', 'a|2', 'b|{"x":"y => z"}'])
  const partitions = await read(topic, '%k %p\\n')
  expect(new Set(partitions).size).toBe(2)
})

test('a report names the place of every record, whatever its partition', async () => {
  const topic = await newTopic(4)
  const input = Array.from({ length: 200 }, (_, n) => `key-${n}=${n}\n`).join('')
  const { stdout } = await cli(['produce', topic, '-K', '=', '--report', '%p %o %k|%v\\n'], input)
  expect(stdout.split('\n').slice(0, -1).toSorted()).toEqual(await read(topic))
})

test('one value: raw input with line ends and bytes, a file, a tombstone', async () => {
  const topic = await newTopic()
  const bytes = Buffer.from([0, 10, 255, 13, 10])
  await cli(['produce', topic, '--input', 'raw'], bytes)
  writeFileSync(join(scratch, 'input'), 'from\na file\n')
  await cli(['produce', topic, '--file', join(scratch, 'input')])
  await cli(['produce', topic, '--tombstone', '-k', 'gone'])
  expect(await read(topic, '%o %V %v{base64} %v{json}\\n')).toEqual([
    `0 5 ${bytes.toString('base64')} ${JSON.stringify(bytes.toString('base64'))}`,
    '1 4 ZnJvbQ== "from"',
    '2 6 YSBmaWxl "a file"',
    '3 0  null',
  ])
})

test('acks 0 and 1', async () => {
  const topic = await newTopic()
  expect(await cli(['produce', topic, '--acks', '0'], 'a\nb\n')).toMatchObject({ code: 0 })
  expect(await cli(['produce', topic, '--acks', '1'], 'c\n')).toMatchObject({ code: 0 })
  expect(await read(topic)).toEqual(['0 0 |a', '0 1 |b', '0 2 |c'])
})

test('what is not a record is counted, shown and kept; the rest is stored', async () => {
  const topic = await newTopic()
  const failed = join(scratch, 'failed')
  const { stderr, code } = await cli(['produce', topic, '-K', '=', '--failed', failed], 'a=1\nbad\nb=2\nworse\n')
  expect(code).toBe(4)
  expect(stderr).toContain('! line 2: There is no "=" in it to end the key\n')
  expect(stderr).toContain('2 records, 4 B, ')
  expect(stderr).toContain(
    `✗ 2 of 4 records were not stored\n  Their input is in ${failed}\n  code PARTIAL_FAILURE (exit 4)\n`,
  )
  expect(readFileSync(failed, 'utf8')).toBe('bad\nworse\n')
  expect(await read(topic)).toEqual(['0 0 a|1', '0 1 b|2'])
})

test('a batch that the broker refuses is kept too, and the next one is stored', async () => {
  const topic = await newTopic()
  await broker.ask('ALTER_TOPIC', { topic, set: { 'max.message.bytes': '1KB' } })
  const failed = join(scratch, 'refused')
  const big = 'x'.repeat(2_000)
  const { stderr, code } = await cli(['produce', topic, '--batch', '1', '--failed', failed], `a\n${big}\nb\n`)
  expect(code).toBe(4)
  expect(stderr).toContain('1 of 3 records were not stored')
  expect(readFileSync(failed, 'utf8')).toBe(`${big}\n`)
  expect(await read(topic)).toEqual(['0 0 |a', '0 1 |b'])
})

test('lines of JSON: what is wrong is said, with its line', async () => {
  const topic = await newTopic()
  const input = '{"value":{"n":1}}\n\n{"n":2}\n{"value":"x","key":"k"}\n{\n'
  const { stderr, code } = await cli(['produce', topic, '--input', 'jsonl'], input)
  expect(code).toBe(4)
  expect(stderr).toMatch(/line 3: There is no "value"/)
  expect(stderr).toMatch(/line 5: It is not valid JSON/)
  expect(await read(topic)).toEqual(['0 0 |{"n":1}', '0 1 k|x'])
})

test('consume -j and produce --input jsonl copy a topic record by record', async () => {
  const [from, to] = [await newTopic(3), await newTopic(3)]
  const values = [
    '{"id":12345678901234567890,"price":1.10}',
    '{\n  "pretty": true\n}\n',
    ' [1, 2] ',
    '"text"',
    'text',
    'null',
    '',
    '9007199254740993',
    Buffer.from([255, 0, 254]),
    'käse 日本 🙂',
    'line\nfeed',
  ]
  for (const [n, value] of values.entries()) {
    await cli(['produce', from, '--input', 'raw', '-k', `key-${n}`, '-H', `n:${n}`], Buffer.from(value))
  }
  await cli(['produce', from, '--value', 'no key'])
  await cli(['produce', from, '--tombstone', '-k', 'gone'])
  const envelopes = await cli(['consume', from, '-e', '-j'])
  expect(await cli(['produce', to, '--input', 'jsonl', '--keep-partition'], envelopes.stdout)).toMatchObject({
    code: 0,
  })
  const format = '%p %o %d %k{base64} %V %v{base64} %h\\n'
  const copied = await read(to, format)
  expect(copied).toEqual(await read(from, format))
  expect(copied).toHaveLength(values.length + 2)
  for (const value of values)
    expect(copied.some((line) => line.includes(` ${Buffer.from(value).toString('base64')} `))).toBe(true)
})

test('records are sent as they come, not when the input ends', async () => {
  const topic = await newTopic()
  const produce = new Run(['produce', topic, '--report', '%o\\n'], broker.env)
  produce.write('a\n')
  await produce.until((run) => run.stdout.toString() === '0\n')
  produce.write('b\n')
  await produce.until((run) => run.stdout.toString() === '0\n1\n')
  produce.interrupt()
  expect(await produce.ended).toMatchObject({ code: 130, stderr: expect.stringContaining('2 records') })
})

test('many records arrive once each and in the order of their keys', async () => {
  const topic = await newTopic(4)
  const input = Array.from({ length: 50_000 }, (_, n) => `key-${n % 100}=${n}\n`).join('')
  const { stderr } = await cli(['produce', topic, '-K', '='], input)
  expect(stderr).toMatch(/^50,000 records, /)
  const { stdout } = await cli(['consume', topic, '-e', '-f', '%k %v\\n'])
  const last = new Map<string, number>()
  for (const line of stdout.trim().split('\n')) {
    const [key, number] = line.split(' ')
    expect(Number(number)).toBe((last.get(key) ?? Number(key.slice(4)) - 100) + 100)
    last.set(key, Number(number))
  }
  expect([...last.values()].reduce((sum, number) => sum + number)).toBe(100 * 49_900 + 4_950)
})

test.each([
  [['--value', 'a', '--tombstone', '-k', 'k'], '--value and --tombstone exclude each other'],
  [['--tombstone'], '--key KEY'],
  [['-k', 'a', '-K', '='], '--key and -K exclude each other'],
  [['-K', ''], 'is empty'],
  [['-H', 'nothing'], 'KEY:VALUE'],
  [['--acks', '2'], 'all, 1, 0'],
  [['--batch', '0'], 'from 1 on'],
  [['--report', '%q'], '%q'],
  [['--keep-partition'], '--input jsonl'],
  [['--file', '/nothing/there'], 'there is no such file'],
])('produce %j is refused', async (options, message) => {
  const { stderr, code } = await cli(['produce', 'any', ...options])
  expect(stderr).toContain(message)
  expect(code).toBe(2)
})

test('a partition that is not there', async () => {
  const topic = await newTopic(2)
  const { stderr, code } = await cli(['produce', topic, '--value', 'a', '-p', '2'])
  expect(code).toBe(3)
  expect(stderr).toContain('it has 0 to 1')
})
