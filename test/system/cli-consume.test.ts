import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli, Run, startCliBroker, type CliBroker } from './cli-harness.ts'

let broker: CliBroker
beforeAll(async () => {
  broker = await startCliBroker()
})
afterAll(() => broker.remove())

const cli = (args: readonly string[]) => runCli(args, broker.env)

let topics = 0
/** A topic of its own for each test, with the numbers from 0 on as values, in turn in its partitions. */
async function newTopic({ partitions = 1, records = 0 } = {}): Promise<string> {
  const topic = `consumed-${++topics}`
  await broker.ask('CREATE_TOPIC', { topic, partitions })
  for (let partition = 0; partition < partitions; partition++) {
    await append(topic, partition, ...upTo(records).filter((n) => n % partitions === partition))
  }
  return topic
}

async function append(topic: string, partition: number, ...values: (string | number)[]) {
  const records = values.map((value) => ({ value: Buffer.from(String(value)).toString('base64') }))
  if (records.length > 0) await broker.ask('PRODUCE', { topic, partition, records })
}

const numbers = (stdout: string) =>
  stdout
    .split('\n')
    .slice(0, -1)
    .map(Number)
    .toSorted((a, b) => a - b)
const upTo = (count: number) => Array.from({ length: count }, (_, n) => n)

test('a pipe gets values, from the beginning to the end', async () => {
  const topic = await newTopic({ partitions: 3, records: 10 })
  const { stdout, stderr, code } = await cli(['consume', topic, '--from-beginning', '--exit'])
  expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
  expect(numbers(stdout)).toEqual(upTo(10))
  expect(numbers((await cli(['consume', topic, '-e', '-p', '0,2'])).stdout)).toEqual([0, 2, 3, 5, 6, 8, 9])
})

test.each([
  ['start:end', upTo(10)],
  [':end', upTo(10)],
  ['-3:end', [7, 8, 9]],
  ['-100:end', upTo(10)],
  ['+8:end', [8, 9]],
  ['4:6', [4, 5]],
  ['4:+3', [4, 5, 6]],
  [':2', [0, 1]],
  ['@-1h:end', upTo(10)],
  ['@-1h:now', upTo(10)],
  ['end:end', []],
  ['@now:end', []],
])('the range %s', async (range, expected) => {
  const topic = await newTopic({ records: 10 })
  const { stdout, code } = await cli(['consume', topic, '-o', range])
  expect(numbers(stdout)).toEqual(expected)
  expect(code).toBe(0)
})

test('an offset beyond what is there is said', async () => {
  const topic = await newTopic({ records: 3 })
  const { stderr } = await cli(['consume', topic, '-o', '70', '-e'])
  expect(stderr).toContain(`${topic}/0 holds 0 to 2: beginning at 3 instead of 70`)
})

test('without options it follows from the end, and says so', async () => {
  const topic = await newTopic({ partitions: 2, records: 5 })
  const consume = new Run(['consume', topic], broker.env)
  await consume.until((run) => run.stderr.includes('Waiting for new records'))
  await append(topic, 1, 'new')
  await consume.until((run) => run.stdout.toString() === 'new\n')
  await append(topic, 0, 'newer')
  await consume.until((run) => run.stdout.toString() === 'new\nnewer\n')
  consume.interrupt()
  expect((await consume.ended).code).toBe(0)
})

test('many partitions, and several topics, are waited for at the same time', async () => {
  const [wide, other] = [await newTopic({ partitions: 70 }), await newTopic()]
  const consume = new Run(['consume', wide, other, '--from-beginning', '-f', '%t %p %v\\n'], broker.env)
  await consume.until((run) => run.stderr === '')
  const expected: string[] = []
  for (const [topic, partition] of [
    [wide, 0],
    [wide, 69],
    [wide, 33],
    [other, 0],
  ] as const) {
    await append(topic, partition, 'x')
    expected.push(`${topic} ${partition} x`)
    await consume.until((run) => run.stdout.toString().split('\n').length > expected.length)
  }
  consume.interrupt()
  expect((await consume.ended).stdout.trim().split('\n')).toEqual(expected)
})

test('a count, an idle time and a time limit each end it', async () => {
  const topic = await newTopic({ partitions: 2, records: 10 })
  expect((await cli(['consume', topic, '--from-beginning', '-n', '3'])).stdout.trim().split('\n')).toHaveLength(3)
  const idle = await cli(['consume', topic, '--from-beginning', '--idle-timeout', '300ms'])
  expect(numbers(idle.stdout)).toEqual(upTo(10))
  expect(idle.code).toBe(0)
  const late = await cli(['consume', topic, '--from-beginning', '-n', '20', '--timeout', '500ms'])
  expect(numbers(late.stdout)).toEqual(upTo(10))
  expect(late.code).toBe(124)
  expect(late.stderr).toContain('10 of 20 records came')
})

test('Ctrl-C before a bounded command is done', async () => {
  const topic = await newTopic({ records: 2 })
  const consume = new Run(['consume', topic, '--from-beginning', '-n', '5'], broker.env)
  await consume.until((run) => run.stdout.length > 0)
  consume.interrupt()
  expect((await consume.ended).code).toBe(130)
})

test('a group resumes where it stopped, and says so when something else was asked for', async () => {
  const topic = await newTopic({ partitions: 2, records: 10 })
  const consume = (...options: string[]) => cli(['consume', topic, '--group', 'resuming', ...options])
  expect(numbers((await consume('--from-beginning', '-e')).stdout)).toEqual(upTo(10))
  await append(topic, 0, 10, 11)
  const again = await consume('--from-beginning', '-e')
  expect(numbers(again.stdout)).toEqual([10, 11])
  expect(again.stderr).toContain('resuming has committed offsets; resuming there (lag 2). Use --reset to start over.')
  expect(await consume('-e')).toMatchObject({ stdout: '', stderr: 'No records there\n', code: 0 })
  expect(numbers((await consume('--reset', '-e')).stdout)).toEqual(upTo(12))
  expect(numbers((await consume('--reset', '-o', '-1', '-e')).stdout)).toEqual([9, 11])
})

test('a group commits exactly what was printed', async () => {
  const topic = await newTopic({ records: 10 })
  const consume = (...options: string[]) => cli(['consume', topic, '--group', 'exact', ...options])
  expect(numbers((await consume('--from-beginning', '-n', '4')).stdout)).toEqual([0, 1, 2, 3])
  expect(numbers((await consume('-n', '2')).stdout)).toEqual([4, 5])
  expect(numbers((await consume('--no-commit', '-e')).stdout)).toEqual([6, 7, 8, 9])
  expect(numbers((await consume('-e')).stdout)).toEqual([6, 7, 8, 9])
  expect(numbers((await consume('-e')).stdout)).toEqual([])
})

test('a group begins at the end unless told otherwise, and is known from then on', async () => {
  const topic = await newTopic({ records: 3 })
  const consume = new Run(['consume', topic, '--group', 'late'], broker.env)
  await consume.until((run) => run.stderr.includes('Waiting'))
  consume.interrupt()
  expect(await consume.ended).toMatchObject({ stdout: '', code: 0 })
  expect((await cli(['consumer', 'lag', 'late'])).stdout).toContain('TOTAL LAG 0')
})

test('Ctrl-C in a group commits what was printed', async () => {
  const topic = await newTopic({ records: 3 })
  const consume = new Run(['consume', topic, '--group', 'stopped', '--from-beginning'], broker.env)
  await consume.until((run) => numbers(run.stdout.toString()).length === 3)
  consume.interrupt()
  expect((await consume.ended).code).toBe(0)
  expect((await cli(['consume', topic, '--group', 'stopped', '-e'])).stdout).toBe('')
})

test('a reader that has enough ends it quietly', async () => {
  const topic = await newTopic({ records: 20_000 })
  const consume = new Run(['consume', topic, '--group', 'head', '--from-beginning'], broker.env)
  await consume.until((run) => run.stdout.length > 0)
  consume.closeOutput()
  await append(topic, 0, 'more')
  expect(await consume.ended).toMatchObject({ stderr: '', code: 0 })
})

test('records that are deleted while the group is away are said to be missing', async () => {
  const topic = await newTopic({ records: 10 })
  await cli(['consume', topic, '--group', 'away', '--from-beginning', '-n', '2'])
  await broker.ask('DELETE_RECORDS', { topic, partition: 0, beforeOffset: 5 })
  const { stdout, stderr } = await cli(['consume', topic, '--group', 'away', '-e'])
  expect(numbers(stdout)).toEqual([5, 6, 7, 8, 9])
  expect(stderr).toContain(`3 records of ${topic}/0 expired before they were read: going on at 5`)
})

test('every way to print a record', async () => {
  const topic = await newTopic()
  await cli(['produce', topic, '-k', 'k', '-H', 'h:1', '--value', '{"id":12345678901234567890,"tags":["a"]}'])
  const consume = async (...options: string[]) => (await cli(['consume', topic, '-e', ...options])).stdout
  expect(await consume('--raw')).toBe('{"id":12345678901234567890,"tags":["a"]}\n')
  expect(await consume('-f', '%k=%v{json} %h\\n')).toBe('k={"id":12345678901234567890,"tags":["a"]} h=1\n')
  const json = await consume('-j')
  expect(json).toMatch(
    new RegExp(
      `^\\{"v":1,"topic":"${topic}","partition":0,"offset":"0","timestamp":"20.{21}Z","key":"k",` +
        '"value":\\{"id":12345678901234567890,"tags":\\["a"\\]\\},"valueType":"json","headers":\\{"h":"1"\\},"dueAt":null\\}\n$',
    ),
  )
  expect(await consume('--output', 'jsonl')).toBe(json)
  expect(await consume('--pretty')).toMatch(
    / {2}k {2}h=1\n\{\n {2}"id": 12345678901234567890,\n {2}"tags": \[\n {4}"a"\n {2}\]\n\}\n$/,
  )
})

test.each([
  [['-j', '--raw'], '-j and --raw exclude each other'],
  [['-f', '%v', '--pretty'], '-f and --pretty exclude each other'],
  [['--output', 'csv'], 'cannot be printed as csv'],
  [['--reset'], '--reset goes with --group'],
  [['--no-commit'], '--no-commit goes with --group'],
  [['-o', '5', '--from-beginning'], 'exclude each other'],
  [['-o', 'x'], '@-1h:end'],
  [['-p', '0,x'], 'as in 0,2'],
  [['-n', '0'], 'from 1 on'],
  [['--idle-timeout', '5'], 'a number and a unit'],
])('consume %j is refused', async (options, message) => {
  const { stderr, code } = await cli(['consume', 'any', ...options])
  expect(stderr).toContain(message)
  expect(code).toBe(2)
})

test('a partition that is not there', async () => {
  const topic = await newTopic()
  const { stderr, code } = await cli(['consume', topic, '-p', '5'])
  expect(code).toBe(3)
  expect(stderr).toContain(`there is no partition 5 in topic "${topic}": it has 0`)
})
