import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli, startCliBroker, type CliBroker } from './cli-harness.ts'

const SCHEMA = JSON.stringify({
  type: 'object',
  required: ['amount', 'currency'],
  properties: { amount: { type: 'number' } },
})

let broker: CliBroker
beforeAll(async () => {
  broker = await startCliBroker()
  await broker.ask('CREATE_TOPIC', { topic: 'orders', partitions: 1 })
  await broker.ask('SET_SCHEMA', { topic: 'orders', schema: SCHEMA, mode: 'dlq' })
})
afterAll(async () => {
  await broker.remove()
})

const cli = (...args: readonly string[]) => runCli(args, broker.env)

async function send(...values: readonly string[]) {
  const records = values.map((value, at) => ({
    key: Buffer.from(`k${at}`).toString('base64'),
    value: Buffer.from(value).toString('base64'),
  }))
  await broker.ask('PRODUCE', { topic: 'orders', partition: 0, records })
}

test('dead letters are listed, shown, checked, repaired, sent again and discarded', async () => {
  expect((await cli('dlq', 'list')).stdout).toMatch(/^TOPIC +OPEN .*\norders\.dlq +0 +0 +0 +-\n$/)
  await send('{"amt":1,"currency":"EUR"}', '{"amt":2}', '[]', '{"amount":3,"currency":"EUR"}')
  const reasons = JSON.parse((await cli('dlq', 'list', 'orders', '-j')).stdout)
  expect(reasons).toMatchObject({
    topic: 'orders.dlq',
    open: 3,
    reasons: [
      { reason: 'required', pointer: '/amount', count: 2 },
      { reason: 'type', count: 1 },
    ],
  })
  const table = await cli('dlq', 'list', 'orders')
  expect(table.stdout).toMatch(
    /^TOPIC orders\.dlq {3}OPEN 3 {3}REDRIVEN 0 {3}DISCARDED 0\n\nOPEN +REASON +POINTER\n2 +required +\/amount\n/,
  )
  const shown = await cli('dlq', 'show', 'orders', '--where', 'reason=type', '--since', '-1h')
  expect(shown.stdout).toMatch(/^ID .*\n0@2 +\S+ \S+ +type +orders\/0@2 +k2 +2 +it is an array: it must be object\n$/)
  expect(JSON.parse((await cli('dlq', 'show', 'orders.dlq', '0@1')).stdout)).toMatchObject({
    id: '0@1',
    state: 'open',
    key: 'k1',
    value: '{"amt":2}',
    origin: 'orders/0@1',
    redrive: null,
  })

  const check = await cli('dlq', 'check', 'orders', '--where', 'reason=required', '--rename', '/amt=/amount')
  expect(check.code).toBe(7)
  expect(check.stdout).toMatch(
    /^TOPIC orders {3}SENDABLE 1 {3}REJECTED 1 .*\n\nID .*\n0@1 +required +\/currency +it is missing\n$/,
  )
  expect(check.stderr).toContain('1 dead letter of 2 would not be sent')
  const repair = [
    '--where',
    'reason=required',
    '--rename',
    '/amt=/amount',
    '--set',
    '/currency=EUR',
    '--set',
    '/n=1.50',
  ]
  const dry = await cli('dlq', 'redrive', 'orders', ...repair)
  expect(dry).toMatchObject({ code: 0 })
  expect(dry.stderr).toMatch(/All of them can be sent\nNothing was sent: this was a dry run/)
  const done = await cli(
    'dlq',
    'redrive',
    'orders',
    ...repair,
    '--rate',
    '100/s',
    '--note',
    'the old client',
    '--execute',
  )
  expect(done).toMatchObject({ code: 0, stdout: '✓ Redrove 2 dead letters of "orders.dlq"\n' })
  const consumed = await cli('consume', 'orders', '-n', '3', '--from-beginning', '-f', '%k %v\\n')
  expect(consumed.stdout.split('\n')).toEqual([
    'k3 {"amount":3,"currency":"EUR"}',
    'k0 {"amount":1,"currency":"EUR","n":1.5}',
    'k1 {"amount":2,"currency":"EUR","n":1.5}',
    '',
  ])

  const stays = await cli('dlq', 'redrive', 'orders', '--execute')
  expect(stays).toMatchObject({ code: 4, stdout: '✓ Redrove 0 dead letters of "orders.dlq"; 1 stay open\n' })
  expect(stays.stderr).toContain('! 0@2 stays open: it is an array: it must be object\n')
  expect((await cli('dlq', 'discard', 'orders')).stdout).toBe('1 dead letter of "orders" would be discarded\n')
  expect(await cli('dlq', 'discard', 'orders', '0@2', '--execute')).toMatchObject({
    code: 0,
    stdout: '✓ Discarded 1 dead letter of "orders.dlq"\n',
  })
  expect((await cli('dlq', 'show', 'orders', '--state', 'all', '--output', 'csv')).stdout).toMatch(
    /^id,time,state,.*\n0@0,.*,redriven,/,
  )
  const history = JSON.parse((await cli('dlq', 'history', 'orders', '-j')).stdout)
  expect(history).toMatchObject([
    { kind: 'discard', done: 1 },
    { kind: 'redrive', done: 0, rejected: 1 },
    { kind: 'redrive', done: 2, note: 'the old client', rate: 100, filter: { reasons: ['required'] } },
  ])
  expect(history[0].by).toMatch(/brokerctl$/)
})

test('what is no topic, no id and no change is refused', async () => {
  const refused = async (code: number, ...args: string[]) => {
    const outcome = await cli('dlq', ...args)
    expect(outcome.code).toBe(code)
    return outcome.stderr
  }
  expect(await refused(3, 'show', 'order')).toContain('no dead letter topic "order"')
  expect(await refused(2, 'show', 'orders', '17')).toContain('PARTITION@OFFSET')
  expect(await refused(2, 'show', 'orders', '0@99')).toContain('no dead letter 0@99')
  expect(await refused(2, 'check', 'orders', '--where', 'colour=red')).toContain('reason=, pointer=, origin=, group=')
  expect(await refused(2, 'check', 'orders', '--set', 'currency=EUR')).toContain('a JSON Pointer begins with /')
  expect(await refused(2, 'redrive', 'orders', '--rate', 'fast')).toContain('records a second, as in 100/s')
  expect(await refused(2, 'redrive', 'orders', '--to', 'orders.dlq', '--execute')).toContain('round in circles')
  expect(await refused(2, 'cancel', '99')).toContain('no redrive 99')
})
