import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli, startCliBroker, type CliBroker, type Outcome } from './cli-harness.ts'

const STRICT =
  '{\n  "type": "object",\n  "required": ["id"],\n  "properties": { "id": { "type": "integer", "maximum": 9007199254740993 } }\n}\n'

let broker: CliBroker
let folder: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'cafelog-schema-'))
  broker = await startCliBroker()
  await broker.ask('CREATE_TOPIC', { topic: 'orders', partitions: 2 })
  await broker.ask('CREATE_TOPIC', { topic: 'empty', partitions: 1 })
  writeFileSync(join(folder, 'strict.json'), STRICT)
  const values = ['{"id":1}', '{"id":"x","items":[{"p":1}]}', 'nonsense', '{"id":2}', '{}']
  for (const partition of [0, 1]) {
    const records = values.map((value) => ({ value: Buffer.from(value).toString('base64') }))
    await broker.ask('PRODUCE', { topic: 'orders', partition, records })
  }
})
afterAll(async () => {
  await broker.remove()
  rmSync(folder, { recursive: true, force: true })
})

const path = (name: string) => join(folder, name)
function cli(args: readonly string[], input?: string): Promise<Outcome> {
  return runCli(args, broker.env, input)
}

test('a schema is tried on what is there', async () => {
  const nothing = await cli(['schema', 'get', 'orders'])
  expect(nothing).toMatchObject({ code: 3, stdout: '' })
  expect(nothing.stderr).toMatch(/^✗ topic "orders" has no schema\n {2}Begin with .*infer --topic orders/)

  const checked = await cli(['schema', 'check', 'orders', path('strict.json'), '-j'])
  expect(checked.code).toBe(7)
  expect(JSON.parse(checked.stdout)).toMatchObject({
    topic: 'orders',
    version: null,
    checked: 10,
    valid: 4,
    invalid: 6,
    complete: true,
    faults: expect.arrayContaining([
      {
        reason: 'required',
        pointer: '/id',
        message: 'it is missing',
        count: 2,
        examples: [
          { partition: 0, offset: 4 },
          { partition: 1, offset: 4 },
        ],
      },
    ]) as unknown,
  })
  expect(checked.stderr).toContain('✗ 6 records of 10 checked in topic "orders" do not fit')
  const table = await cli(['schema', 'check', 'orders', path('strict.json'), '--last', '2'])
  expect(table.stdout).toMatch(/^TOPIC orders {3}CHECKED 2 {3}VALID 0 {3}INVALID 2\n\nCOUNT +REASON +POINTER +EXAMPLE/)
})

const set = (...args: string[]) => cli(['schema', 'set', 'orders', path('strict.json'), ...args])

test('it is set, in a mode, unless it is a dry run or records would not fit', async () => {
  expect(await set('--mode', 'reject', '--check-last', '10')).toMatchObject({ code: 7 })
  expect((await set()).stderr).toContain('--mode reject, --mode dlq, --mode warn')
  const dry = await set('--mode', 'reject', '--dry-run')
  expect(dry.stdout).toBe('This would be version 1 of the schema of topic "orders", mode reject\n')
  expect((await cli(['schema', 'get', 'orders'])).code).toBe(3)
  expect((await set('--mode', 'reject')).stdout).toBe('✓ Set version 1 of the schema of topic "orders", mode reject\n')
  expect((await set('--mode', 'reject', '--output', 'jsonl')).stdout).toBe(
    '{"name":"orders","version":1,"mode":"reject","status":"unchanged"}\n',
  )
})

test('it is shown, and taken away; every version stays', async () => {
  const refused = await cli(['produce', 'orders', '--value', '{}'])
  expect(refused.code).toBe(7)
  expect(await set('--mode', 'warn')).toMatchObject({ code: 0 })
  const shown = await cli(['schema', 'get', 'orders'])
  expect(shown.stdout).toBe(STRICT)
  expect(shown.stderr).toMatch(
    /^orders: version 2, mode warn, draft 2020-12, set .*\nchecked since the broker started: 0 fit, 1 did not\n$/,
  )
  const first = await cli(['schema', 'get', 'orders', '--version', '1', '-j'])
  expect(JSON.parse(first.stdout)).toMatchObject({ topic: 'orders', version: 1, mode: 'reject', active: 2 })
  expect(first.stdout, 'numbers as they were written').toContain('9007199254740993')
  expect(await cli(['schema', 'get', 'orders', '--version', '9'])).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('1 to 2 are kept') as unknown,
  })

  expect(await cli(['schema', 'unset', 'orders'])).toMatchObject({ code: 2 })
  expect((await cli(['schema', 'unset', 'orders', '--yes'])).stdout).toBe('✓ Topic "orders" has no schema any more\n')
  expect((await cli(['schema', 'get', 'orders', '--versions', '--output', 'csv'])).stdout).toMatch(
    /^version,mode,draft,size,set\n1,reject,2020-12,\d+,.*\n2,warn,2020-12,\d+,.*\n3,,,,.*\n$/,
  )
  expect((await cli(['schema', 'check', 'orders'])).code).toBe(3)
  expect(await cli(['schema', 'check', 'empty', path('strict.json')])).toMatchObject({
    code: 0,
    stderr: 'There are no records to check\n',
  })
})

test('values are checked without a broker, from a file and from stdin', async () => {
  writeFileSync(path('values.jsonl'), '{"id":1}\n\n{"id":1.5}\n{"id":2}\n[')
  const offline = (args: readonly string[], input?: string) =>
    runCli(['schema', 'validate', ...args, '--schema', path('strict.json')], { CAFELOG_BROKER: '127.0.0.1:1' }, input)
  const found = await offline([path('values.jsonl'), '--output', 'csv'])
  expect(found).toMatchObject({
    code: 7,
    stdout: 'line,reason,pointer,message\n3,type,/id,it is a number: it must be integer\n5,parse,/,it is not JSON\n',
  })
  expect(found.stderr).toContain('✗ 2 values of 4 do not fit')
  expect(await offline([], '{"id":1}\n')).toMatchObject({ code: 0, stdout: '' })
  expect(await offline(['--document'], '{\n"id":1\n}\n')).toMatchObject({ code: 0, stdout: '' })
  expect((await cli(['schema', 'validate'])).stderr).toContain('--schema FILE, or --topic TOPIC')
  expect((await cli(['schema', 'validate', '--topic', 'empty'], '1')).code).toBe(3)
})

test('a schema that cannot be taken is refused with its place, before anything is asked', async () => {
  const refused = async (name: string, text: string) => {
    writeFileSync(path(name), text)
    const { code, stderr } = await cli(['schema', 'set', 'orders', path(name), '--mode', 'warn'])
    expect(code).toBe(2)
    return stderr
  }
  expect(await refused('comma.json', '{\n  "type": "object",\n}')).toContain(
    `✗ cannot take the schema, ${path('comma.json')}:3:1: this is not JSON`,
  )
  expect(await refused('type.json', '{\n  "type": "text"\n}')).toContain(`${path('type.json')}:2:11: type must be`)
  expect(await refused('large.json', `{"title":"${'x'.repeat(70_000)}"}`)).toContain('65536 are the most')
  const gone = await cli(['schema', 'set', 'orders', path('gone.json'), '--mode', 'warn'])
  expect(gone).toMatchObject({ code: 2, stderr: expect.stringContaining('there is no such file') as unknown })
  expect((await cli(['schema', 'set', 'ordes', path('strict.json'), '--mode', 'warn'])).stderr).toContain('orders')
})

test('two schemas are compared, without a broker or with one, and a change that breaks is an exit code', async () => {
  writeFileSync(path('old.json'), '{"required":["a"],"properties":{"a":{"type":"integer"}}}')
  writeFileSync(path('new.json'), '{"required":["a","b"],"properties":{"a":{"type":"number"}}}')
  const offline = (...args: string[]) => runCli(['schema', 'diff', ...args], { CAFELOG_BROKER: '127.0.0.1:1' })
  const diff = await offline(path('old.json'), path('new.json'), '--output', 'csv')
  expect(diff).toMatchObject({
    code: 0,
    stdout:
      'valid_may_fail,invalid_may_pass,pointer,change\n' +
      'yes,no,/required,"""b"" must be there now"\n' +
      'no,yes,/properties/a/type,it may be number now\n',
    stderr: 'Valid records may fail by 1 change of 2\n',
  })
  expect(await offline(path('old.json'), path('new.json'), '--check')).toMatchObject({ code: 7 })
  expect(await offline(path('old.json'), path('old.json'), '--check')).toMatchObject({ code: 0, stdout: '' })
  expect((await offline(path('old.json'))).stderr).toContain('OLD NEW, or FILE --topic TOPIC')

  for (const name of ['old.json', 'new.json']) {
    expect(await cli(['schema', 'set', 'empty', path(name), '--mode', 'warn'])).toMatchObject({ code: 0 })
  }
  const versions = await cli(['schema', 'diff', '--topic', 'empty', '-j'])
  expect(JSON.parse(versions.stdout)).toEqual([
    { pointer: '/required', message: '"b" must be there now', mayInvalidate: true, mayAdmit: false },
    { pointer: '/properties/a/type', message: 'it may be number now', mayInvalidate: false, mayAdmit: true },
  ])
  const back = await cli(['schema', 'diff', path('old.json'), '--topic', 'empty', '--output', 'name'])
  expect(back.stdout).toBe('/required\n/properties/a/type\n')
})

test('a schema is inferred from a topic or from lines, and what it came from fits', async () => {
  const lines = Array.from({ length: 9 }, (_, at) => JSON.stringify({ id: at, kind: at % 2 ? 'x' : 'y' })).join('\n')
  const inferred = await cli(['schema', 'infer', '--strict'], `${lines}\nnonsense\n`)
  expect(inferred.stderr).toBe('! Passed over 1 value that cannot be taken for JSON\nfrom 9 values\n')
  expect(JSON.parse(inferred.stdout)).toMatchObject({
    type: 'object',
    required: ['id', 'kind'],
    properties: { id: { type: 'integer' }, kind: { enum: ['x', 'y'] } },
    additionalProperties: false,
  })
  writeFileSync(path('inferred.json'), inferred.stdout)
  expect(await cli(['schema', 'validate', '--schema', path('inferred.json')], lines)).toMatchObject({ code: 0 })

  const fromTopic = await cli(['schema', 'infer', '--topic', 'orders', '--last', '5'])
  expect(JSON.parse(fromTopic.stdout)).toMatchObject({ properties: { id: { type: ['integer', 'string'] } } })
  expect((await cli(['schema', 'infer'], '')).code).toBe(3)
})

test('what topics.yml declares is set again when it is read; brokerctl says so', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cafelog-schema-'))
  mkdirSync(join(directory, 'configs'))
  const declared = join(directory, 'configs', 'declared.json')
  writeFileSync(declared, '{"type":"object"}')
  writeFileSync(
    join(directory, 'configs', 'topics.yml'),
    'topics:\n  - name: events\n    schema: { file: declared.json, mode: reject }\n',
  )
  let second = await startCliBroker(directory)
  const run = (...args: string[]) => runCli(args, second.env)
  const set = await run('schema', 'set', 'events', path('strict.json'), '--mode', 'warn')
  expect(set.stdout).toContain('Set version 2')
  expect(set.stderr).toBe(
    `! topics.yml declares ${declared} for this topic: it is set again at the next start or SIGHUP\n`,
  )
  expect((await run('schema', 'get', 'events')).stdout).toBe(STRICT)
  await second.stop()
  second = await startCliBroker(directory)
  const after = await run('schema', 'get', 'events')
  expect(after.stdout).toBe('{"type":"object"}\n')
  expect(after.stderr).toContain('version 3, mode reject')
  expect(after.stderr).toContain(`topics.yml declares it: ${declared}`)
  await second.remove()
})
