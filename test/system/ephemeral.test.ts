import { afterEach, expect, test } from 'vitest'
import { BrokerProgram } from '../support/broker-program.ts'
import { FETCH, PRODUCE } from '../support/frame-types.ts'
import { RawClient } from '../support/raw-client.ts'

// The broker for tests in other languages: a program, and what it can be told over HTTP.

const programs: BrokerProgram[] = []
afterEach(async () => {
  for (const program of programs.splice(0)) {
    program.child.kill('SIGKILL')
    await program.ended
  }
})

function run(...args: string[]): BrokerProgram {
  const program = new BrokerProgram({}, args)
  programs.push(program)
  return program
}

async function start(...args: string[]) {
  const program = run('--ephemeral', '--print-addresses', 'json', ...args)
  await new Promise<void>((resolve, reject) => {
    program.child.stdout?.on('data', () => program.stdout.includes('\n') && resolve())
    void program.ended.then((ended) => reject(new Error(ended.stderr)))
  })
  const addresses = JSON.parse(program.stdout) as { json: string; kafka: string; http: string }
  const send = async (method: string, path: string, body?: unknown) => {
    const headers = { 'content-type': 'application/json' }
    const content = body === undefined ? {} : { body: JSON.stringify(body), headers }
    const response = await fetch(`http://${addresses.http}${path}`, { method, ...content })
    return { status: response.status, json: (await response.json()) as any }
  }
  const portOf = (address: string) => Number(address.split(':')[1])
  return { program, addresses, send, client: await RawClient.connect(portOf(addresses.json)) }
}

test('a program prints where it is, makes topics, turns its clock, lets requests fail, and goes without a trace', async () => {
  const { program, addresses, send, client } = await start('--port', '0')
  expect(Object.keys(addresses)).toEqual(['json', 'kafka', 'http'])
  expect(await send('POST', '/test/topics', { name: 't', config: { 'retention.ms': '1h' } })).toEqual({
    status: 200,
    json: { ok: true },
  })
  const produce = { topic: 't', partition: 0, records: [{ value: null }] }
  expect((await client.ask(PRODUCE, produce)).json.baseOffset).toBe(0)

  const { now } = (await send('GET', '/test/clock')).json
  expect((await send('POST', '/test/clock/advance', { by: '3h' })).json.now).toBeGreaterThanOrEqual(now + 3 * 3_600_000)
  const fetchFrom = { topic: 't', partition: 0, offset: 0 }
  expect((await client.ask(FETCH, fetchFrom)).json.error.code).toBe('OFFSET_OUT_OF_RANGE')

  await send('POST', '/test/faults', { request: 'PRODUCE', fail: 'INTERNAL_IO_ERROR', times: 2 })
  expect((await client.ask(PRODUCE, produce)).json.error.code).toBe('INTERNAL_IO_ERROR')
  await send('DELETE', '/test/faults')
  expect((await client.ask(PRODUCE, produce)).json.baseOffset).toBe(1)
  await send('POST', '/test/faults', { request: 'PRODUCE', drop: 'after' })
  await expect(client.ask(PRODUCE, produce)).rejects.toThrow('closed')
  expect((await send('POST', '/test/connections/drop')).json).toEqual({ ok: true })

  program.child.kill('SIGTERM')
  expect(await program.ended).toMatchObject({ code: 0, stderr: '' })
})

test('what cannot be is refused with the reason', async () => {
  const { send, client } = await start()
  const refused: [string, unknown, string][] = [
    ['/test/clock/advance', { by: 'soon' }, '"soon"'],
    ['/test/clock/advance', {}, 'undefined'],
    ['/test/topics', { name: 7 }, '{"name":7}'],
    ['/test/topics', { name: 'a/b' }, '"a/b"'],
    ['/test/topics', [1], '[1]'],
    ['/test/faults', { request: 'Produce' }, '"fail", "delay" and "drop"'],
    ['/test/faults', { request: 'Produce', fail: 'NOTHING' }, '"NOTHING"'],
    ['/test/faults', { request: 'Fetch', fail: 'NONE', delay: 1 }, '"fail", "delay" and "drop"'],
    ['/test/faults', { request: 'Fetch', delay: '1s', times: 'often' }, 'NaN times'],
  ]
  for (const [path, body, words] of refused) {
    const { status, json } = await send('POST', path, body)
    expect([path, body, status, json.error.message]).toEqual([path, body, 400, expect.stringContaining(words)])
  }
  client.close()
})

test('arguments that make no sense are named', async () => {
  for (const [args, words] of [
    [['--port', 'x'], '"x"'],
    [['--port', '65535'], '"65535"'],
    [['--print-addresses', 'xml'], '"xml"'],
    [['--colour'], '--colour'],
  ] as const) {
    const ended = await run('--ephemeral', ...args).ended
    expect([ended.code, ended.stderr]).toEqual([2, expect.stringContaining(words)])
  }
})

test('an ordinary broker has no such requests', async () => {
  const { startWholeBroker } = await import('../support/start-broker.ts')
  const broker = await startWholeBroker()
  try {
    const answer = await fetch(`http://127.0.0.1:${broker.httpPort}/test/clock`)
    expect(answer.status).toBe(404)
  } finally {
    await broker.stop()
  }
})
