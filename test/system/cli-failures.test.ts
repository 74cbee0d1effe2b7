// How the program fails: every exit code that it documents, and the four parts of what it says.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { metadataOf, Run, runCli, startFakeDoor } from './cli-harness.ts'

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})

/** Nobody listens there: port 1 is reserved. */
const NOBODY = { CAFELOG_BROKER: '127.0.0.1:1', CAFELOG_HTTP: 'http://127.0.0.1:1' }

async function fakeDoor(answers: Parameters<typeof startFakeDoor>[0]) {
  const door = await startFakeDoor(answers)
  cleanups.push(() => door.close())
  return door.env
}

async function fakeHttp(status: number, body: string) {
  const server = createServer((_request, response) => {
    response.statusCode = status
    response.end(body)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => server.close())
  return { CAFELOG_HTTP: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

const refusal = (code: string, message: string) => ({ error: { code, message } })

test.each([
  ['topic list'],
  ['topic create a'],
  ['topic describe a'],
  ['topic alter a --unset b'],
  ['topic offsets a'],
  ['topic delete a --yes'],
  ['produce a --value x'],
  ['consume a'],
  ['consumer list'],
  ['consumer describe a'],
  ['consumer lag a'],
  ['consumer peek a'],
  ['consumer reset a --to end'],
  ['consumer export a'],
  ['consumer delete a --yes'],
  ['consumer offset-delete a --topic b --yes'],
])('nobody there: %s', async (line) => {
  expect(await runCli(line.split(' '), NOBODY)).toEqual({
    stdout: '',
    stderr: [
      '✗ cannot connect to 127.0.0.1:1 (ECONNREFUSED)',
      '  Is the broker running?  Start one:  npx cafelog  (in a checkout: npm start)',
      '  Other broker:  brokerctl -b HOST:PORT …',
      '  code BROKER_UNREACHABLE (exit 5)',
      '',
    ].join('\n'),
    code: 5,
  })
})

test('nobody there: health', async () => {
  const { stderr, code } = await runCli(['health'], NOBODY)
  expect(stderr).toContain('✗ cannot connect to http://127.0.0.1:1/healthz (ECONNREFUSED)')
  expect(code).toBe(5)
  expect(await runCli(['health', '--wait', '300ms'], NOBODY)).toMatchObject({ code: 124 })
})

test('with -v the failure says where it came from', async () => {
  expect((await runCli(['topic', 'list', '-v'], NOBODY)).stderr).toMatch(
    /code BROKER_UNREACHABLE \(exit 5\)\n {2}\w.*\n {6}at /,
  )
})

test.each([
  ['an unknown command', ['topci'], "unknown command 'topci' (Did you mean topic?)", 'brokerctl --help'],
  [
    'an unknown word of a group',
    ['topic', 'lst'],
    "unknown command 'lst' (Did you mean one of list, ls?)",
    'brokerctl topic --help',
  ],
  [
    'an unknown option',
    ['topic', 'list', '--srot'],
    "unknown option '--srot' (Did you mean --sort?)",
    'brokerctl topic list --help',
  ],
  ['a missing argument', ['consume'], "missing required argument 'TOPIC'", 'brokerctl consume --help'],
  ['an argument too many', ['version', 'x'], 'too many arguments', 'brokerctl version --help'],
  [
    'a value that is not among the choices',
    ['topic', 'list', '--output', 'xml'],
    'table, wide, json',
    'brokerctl topic list --help',
  ],
  ['an option without its value', ['topic', 'list', '--output'], 'argument missing', 'brokerctl topic list --help'],
])('%s', async (_name, args, message, help) => {
  const { stdout, stderr, code } = await runCli(args, NOBODY)
  expect(stdout).toBe('')
  expect(stderr).toContain(message)
  expect(stderr).toContain(`  What it takes:  ${help}\n  code USAGE (exit 2)\n`)
  expect(code).toBe(2)
})

test.each([
  ['--broker', 'a:b:c', 'HOST:PORT'],
  ['--http', 'ftp://x', 'as in http://localhost:8080'],
  ['--timeout', '10', 'a number and a unit'],
])('the setting %s %s', async (option, value, message) => {
  const { stderr, code } = await runCli(['topic', 'list', option, value], {})
  expect(stderr).toContain(message)
  expect(code).toBe(2)
})

test.each([
  ['INTERNAL_IO_ERROR', 1],
  ['INVALID_REQUEST', 2],
  ['UNKNOWN_TOPIC_OR_PARTITION', 3],
  ['NON_EMPTY_GROUP', 6],
  ['SCHEMA_VALIDATION_FAILED', 7],
  ['TOPIC_AUTHORIZATION_FAILED', 8],
  ['SOMETHING_NEW', 1],
])('the refusal %s ends with %i', async (code, exitCode) => {
  const env = await fakeDoor({ LIST_GROUPS: refusal(code, 'Cannot do it: a reason') })
  const { stderr, code: ended } = await runCli(['consumer', 'list'], env)
  expect(stderr).toMatch(/^✗ cannot do it: a reason\n/)
  expect(stderr).toMatch(new RegExp(`  code ${code} \\(exit ${exitCode}\\)\n$`))
  expect(ended).toBe(exitCode)
})

test.each([
  ['SCHEMA_VALIDATION_FAILED', 7],
  ['INTERNAL_IO_ERROR', 1],
  ['INVALID_REQUEST', 4],
])('a producer all of whose records are refused with %s ends with %i', async (code, exitCode) => {
  const env = await fakeDoor({ METADATA: metadataOf('orders'), PRODUCE: refusal(code, 'Cannot append: a reason') })
  const { stderr, code: ended } = await runCli(['produce', 'orders', '--value', 'x'], env)
  expect(stderr).toContain('! Cannot append: a reason\n')
  expect(ended).toBe(exitCode)
})

test('a producer of whose batch a part was stored', async () => {
  const stored = { partition: 0, baseOffset: 0, numRecords: 2, highWatermark: 2 }
  const failed = { partition: 1, ...refusal('INTERNAL_IO_ERROR', 'disk') }
  const env = await fakeDoor({
    METADATA: metadataOf('orders'),
    PRODUCE: { ...refusal('INTERNAL_IO_ERROR', 'Cannot append to one of them'), partitions: [stored, failed] },
  })
  const { stderr, code } = await runCli(['produce', 'orders'], env, 'a\nb\nc\n')
  expect(stderr).toContain('1 of 3 records: Cannot append to one of them')
  expect(stderr).toContain('1 of 3 records were not stored')
  expect(code).toBe(4)
})

test('a broker that goes away while records are on their way', async () => {
  const env = await fakeDoor({ METADATA: metadataOf('orders'), PRODUCE: 'hang up' })
  const { stderr, code } = await runCli(['produce', 'orders'], env, 'a\nb\n')
  expect(stderr).toMatch(/✗ lost the connection to .*; 0 records are stored, 2 may or may not be\n/)
  expect(stderr).toContain('code BROKER_UNREACHABLE (exit 5)')
  expect(code).toBe(5)
})

test('a producer does not wait for input when the broker has gone', async () => {
  const env = await fakeDoor({ METADATA: metadataOf('orders'), PRODUCE: 'hang up' })
  const produce = new Run(['produce', 'orders'], env)
  produce.write('a\n')
  expect(await produce.ended).toMatchObject({ code: 5 })
})

test('a broker that goes away while it is being read', async () => {
  const env = await fakeDoor({ METADATA: metadataOf('orders'), FETCH: 'hang up' })
  expect(await runCli(['consume', 'orders', '--from-beginning'], env)).toMatchObject({ code: 5 })
})

test('a broker that does not answer', async () => {
  const env = await fakeDoor({ METADATA: 'silence' })
  const { stderr, code } = await runCli(['topic', 'list', '--timeout', '200ms'], env)
  expect(stderr).toContain('did not answer within 200 ms')
  expect(stderr).toContain('code TIMEOUT (exit 124)')
  expect(code).toBe(124)
})

test('something else that listens there', async () => {
  const http = await fakeHttp(200, 'hello')
  const { stderr, code } = await runCli(['topic', 'list', '-b', http.CAFELOG_HTTP.slice('http://'.length)], {})
  expect(stderr).toMatch(/does not speak CafeLog's JSON protocol|closed/)
  expect(code).toBe(5)
  expect(await runCli(['health'], http)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('does not answer as CafeLog does'),
  })
})

test('a broker that is not well', async () => {
  const checks = [{ name: 'recovery', ok: false, detail: 'segment 41/97' }]
  const notReady = await fakeHttp(503, JSON.stringify({ status: 'not_ready', checks }))
  const { stdout, code } = await runCli(['health', '--ready'], notReady)
  expect(stdout).toMatch(/^not_ready .*\n\nCHECK +OK +DETAIL\nrecovery +no +segment 41\/97\n$/)
  expect(code).toBe(10)
  expect(await runCli(['health'], await fakeHttp(200, '{"status":"degraded"}'))).toMatchObject({ code: 10 })
  const late = await runCli(['health', '--ready', '--wait', '300ms'], notReady)
  expect(late.stderr).toContain('it says not_ready')
  expect(late.code).toBe(124)
  expect(await runCli(['health'], await fakeHttp(401, ''))).toMatchObject({ code: 8 })
})

test('Ctrl-C ends a command that waits for an answer', async () => {
  const env = await fakeDoor({ METADATA: 'silence' })
  const list = new Run(['topic', 'list', '-v'], env)
  await list.until((run) => run.stderr.includes('connected'))
  list.interrupt()
  expect((await list.ended).code).toBe(130)
})
