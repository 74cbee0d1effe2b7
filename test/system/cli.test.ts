// The program as a newcomer meets it: the lines of the specification, then every command on a running broker.
import { execFile, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli, Run, startCliBroker, type CliBroker, type Outcome } from './cli-harness.ts'

const CHECKOUT = new URL('../..', import.meta.url).pathname

let broker: CliBroker
beforeAll(async () => {
  broker = await startCliBroker()
})
afterAll(() => broker.remove())

const cli = (line: string, input?: string) => runCli(line.split(' '), broker.env, input)

/** Runs a line of shell in the checkout. */
function shell(line: string, command: readonly [string, ...string[]] = ['sh', '-c']): Promise<Outcome> {
  const [program, ...args] = command
  const env = { PATH: process.env.PATH, ...broker.env }
  return new Promise((resolve) => {
    const child = execFile(program, [...args, line], { cwd: CHECKOUT, env }, (_error, stdout, stderr) =>
      resolve({ stdout, stderr, code: child.exitCode }),
    )
  })
}

test('the four lines of the specification work as written', async () => {
  expect(await shell('./brokerctl topic create user-events --partitions 4')).toEqual({
    stdout: '✓ Created topic "user-events": 4 partitions\n',
    stderr: '',
    code: 0,
  })
  const produced = await shell(
    `echo '{"userId": "123", "action": "login"}' | ./brokerctl produce user-events --key "user123"`,
  )
  expect(produced).toMatchObject({ stdout: '', code: 0 })
  expect(produced.stderr).toMatch(/^1 record, 43 B, .*, 0 errors\n$/)

  const consume = new Run(['consume', 'user-events', '--group', 'analytics', '--from-beginning'], broker.env)
  await consume.until((run) => run.stdout.length > 0)
  consume.interrupt()
  expect(await consume.ended).toEqual({ stdout: '{"userId": "123", "action": "login"}\n', stderr: '', code: 0 })

  expect(await shell('./brokerctl consumer lag analytics')).toEqual({
    stdout: [
      'GROUP analytics   STATE Empty   MEMBERS 0   TOTAL LAG 0   TIME LAG 0s',
      '',
      'TOPIC        PARTITION  COMMITTED  LOG-END  LAG  TIME-LAG',
      'user-events  0          0          0        0    0s',
      'user-events  1          1          1        0    0s',
      'user-events  2          0          0        0    0s',
      'user-events  3          0          0        0    0s',
      '',
    ].join('\n'),
    stderr: '',
    code: 0,
  })
})

test('topic create: idempotent with the same settings, refused with others', async () => {
  expect(await cli('topic create made -p 2 --retention 7d -c segment.bytes=16MB')).toMatchObject({
    stdout: '✓ Created topic "made": 2 partitions, retention.ms 7d, segment.bytes 16MB\n',
    code: 0,
  })
  expect(await cli('topic create made -p 2 --retention 7d')).toMatchObject({
    stdout: 'There already is topic "made": 2 partitions, retention.ms 7d\n',
    code: 0,
  })
  const partitions = await cli('topic create made -p 3')
  expect(partitions).toMatchObject({ stdout: '', code: 6 })
  expect(partitions.stderr).toContain('✗ cannot create topic "made" with 3 partitions: it exists with 2\n')
  expect(partitions.stderr).toContain('code TOPIC_ALREADY_EXISTS (exit 6)')
  expect(await cli('topic create made -p 2 --retention 1d')).toMatchObject({ code: 6 })
  expect(await cli('topic create made -p 3 --if-not-exists')).toMatchObject({ code: 0 })
})

test('topic create: several at once, dry runs, settings that are not right', async () => {
  expect(await cli('topic create one two -j')).toMatchObject({ code: 0 })
  expect(await cli('topic create dry --dry-run')).toMatchObject({
    stdout: 'Would create topic "dry": 1 partition\n',
    code: 0,
  })
  expect(await cli('topic describe dry')).toMatchObject({ code: 3 })
  expect(await cli('topic create a/b')).toMatchObject({ code: 2 })
  expect(await cli('topic create a --partitions 0')).toMatchObject({ code: 2 })
  expect(await cli('topic create a -c retention.ms')).toMatchObject({ code: 2 })
  const unknown = await cli('topic create a -c retention.sm=7d')
  expect(unknown.code).toBe(2)
  expect(unknown.stderr).toMatch(/retention\.sm/)
})

test('topic list in every form', async () => {
  await cli('topic create list-a list-b -p 2')
  await cli('produce list-b --partition 1', 'x\ny\n')
  expect((await cli('topic list list-*')).stdout).toMatch(
    /^TOPIC +PARTITIONS +RECORDS +SIZE\nlist-a +2 +0 +0\nlist-b +2 +2 +\d+\n$/,
  )
  expect((await cli('topic ls list-* --sort records --output name')).stdout).toBe('list-b\nlist-a\n')
  expect((await cli('topic list list-* --no-headers')).stdout).toMatch(/^list-a/)
  expect((await cli('topic list list-? --output csv')).stdout).toMatch(
    /^topic,partitions,records,size,id\nlist-a,2,0,0,.+\n/,
  )
  expect((await cli('topic list list-a --output wide')).stdout).toMatch(/ID\nlist-a .+\S\n$/)
  expect(JSON.parse((await cli('topic list list-b -j')).stdout)).toMatchObject([
    { name: 'list-b', partitions: 2, records: 2 },
  ])
  expect(
    (await cli('topic list list-* --output jsonl')).stdout
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { name: string }).name),
  ).toEqual(['list-a', 'list-b'])
  expect((await cli('topic list list-a --output yaml')).stdout).toContain('- name: list-a\n')
  expect(await cli('topic list nothing*')).toMatchObject({ stdout: '', code: 0 })
  expect((await cli('topic list nothing*')).stderr).toContain('fits "nothing*"')
  expect((await cli('topic list nothing* -q')).stderr).toBe('')
  expect((await cli('topic list nothing* -j')).stdout).toBe('[]\n')
})

test('topic describe and topic offsets', async () => {
  await cli('topic create described -p 2 --retention 7d')
  await cli('produce described --partition 0', 'a\nb\n')
  const { stdout, code } = await cli('topic info described')
  expect(code).toBe(0)
  expect(stdout).toMatch(/^TOPIC described {3}PARTITIONS 2 {3}RECORDS 2 {3}SIZE \d+\n/)
  expect(stdout).toMatch(/\nretention\.ms +604800000 +topic\n/)
  expect(stdout).toMatch(/\n0 +0 +2 +2 +\d+ +1\n1 +0 +0 +0 +0 +\d\n$/)
  expect((await cli('topic describe described --config')).stdout).not.toContain('HIGH-WATERMARK')
  expect((await cli('topic describe described --partitions')).stdout).not.toContain('retention.ms')
  expect(JSON.parse((await cli('topic describe described -j')).stdout)).toMatchObject([
    {
      name: 'described',
      config: { 'retention.ms': { value: '604800000', source: 'topic' } },
      partitions: [{ highWatermark: 2 }, { highWatermark: 0 }],
    },
  ])
  expect((await cli('topic offsets described')).stdout).toMatch(
    /\ndescribed +0 +0 +2 +2 +\d+\ndescribed +1 +0 +0 +0 +0\n$/,
  )
  expect((await cli('topic offsets described --at @-1h')).stdout).toMatch(
    /\ndescribed +0 +0 +2 +2 +\d+ +0\ndescribed +1 +0 +0 +0 +0 +-\n$/,
  )
  expect(await cli('topic offsets described --at soon')).toMatchObject({ code: 2 })
})

test('topic alter prints old and new, and a dry run changes nothing', async () => {
  await cli('topic create altered -p 2')
  const dry = await cli('topic alter altered --set retention.ms=1h --partitions 3 --dry-run')
  expect(dry.stdout).toMatch(/SETTING +OLD +NEW\n/)
  expect(dry.stdout).toMatch(/retention\.ms +\S+ +\S+\n/)
  expect(dry.stdout).toMatch(/partitions +2 +3\n/)
  expect(dry.stderr).toContain('Nothing was changed')
  expect((await cli('topic list altered')).stdout).toMatch(/altered +2 /)
  const done = await cli('topic alter altered --set retention.ms=1h --partitions 3')
  expect(done.code).toBe(0)
  expect(done.stderr).toContain('another partition')
  expect((await cli('topic describe altered --config')).stdout).toMatch(/retention\.ms +3600000 +topic/)
  expect((await cli('topic alter altered --set retention.ms=1h')).stderr).toContain('these settings already')
  expect(await cli('topic alter altered --unset retention.ms')).toMatchObject({ code: 0 })
  expect(await cli('topic alter altered --partitions 1')).toMatchObject({ code: 2 })
  expect(await cli('topic alter altered')).toMatchObject({ code: 2 })
})

test('topic delete says what would be lost, and wants a yes', async () => {
  await cli('topic create doomed')
  await cli('produce doomed --value x')
  const refused = await cli('topic delete doomed')
  expect(refused.code).toBe(2)
  expect(refused.stderr).toMatch(/^Topic "doomed": 1 record, \d+ B\n✗ nobody here can answer/)
  expect(await cli('topic rm doomed --yes')).toMatchObject({ stdout: '✓ Deleted topic "doomed"\n', code: 0 })
  expect(await cli('topic rm doomed --yes')).toMatchObject({ code: 3 })
})

test('a topic that is not there: the nearest name, and how to make it', async () => {
  await cli('topic create nearest')
  for (const line of [
    'topic describe naerest',
    'produce naerest --value x',
    'consume naerest',
    'topic delete naerest -y',
    'topic alter naerest --unset retention.ms',
  ]) {
    expect(await cli(line), line).toEqual({
      stdout: '',
      stderr:
        '✗ there is no topic "naerest", did you mean "nearest"?\n  Create it:  brokerctl topic create naerest --partitions 4\n' +
        '  What is there:  brokerctl topic list\n  code UNKNOWN_TOPIC_OR_PARTITION (exit 3)\n',
      code: 3,
    })
  }
  expect(await cli('topic describe ../x')).toMatchObject({ code: expect.toBeOneOf([2, 3]) })
})

test('health, and waiting for it', async () => {
  const { stdout, code } = await cli('health')
  expect(code).toBe(0)
  expect(stdout).toMatch(/^ok /)
  expect(JSON.parse((await cli('health --ready -j')).stdout)).toMatchObject({ checks: expect.any(Array) })
  expect(await cli('health --live')).toMatchObject({ code: 0 })
  expect(await cli('health --ready --wait 5s')).toMatchObject({ code: 0 })
  expect(await cli('health --ready --live')).toMatchObject({ code: 2 })
})

test('version', async () => {
  expect(await cli('version')).toMatchObject({
    stdout: expect.stringMatching(/^brokerctl \d+\.\d+\.\d+ {2}Node\.js \d+/),
    code: 0,
  })
  expect((await cli('--version')).stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  expect(JSON.parse((await cli('version -j')).stdout)).toHaveProperty('brokerctl')
})

test('completion offers commands, options, and the names that the broker has', async () => {
  await cli('topic create completed')
  await cli('consume completed --group completers -e')
  const complete = async (...words: string[]) =>
    (await runCli(['complete', '--', ...words], broker.env)).stdout.split('\n').map((line) => line.split('\t')[0])
  expect(await complete('')).toEqual(expect.arrayContaining(['topic', 'produce', 'consume', 'consumer', 'health']))
  expect(await complete('topic', 'd')).toEqual(['describe', 'delete', ':4', ''])
  expect(await complete('topic', 'describe', 'compl')).toEqual(['completed', ':4', ''])
  expect(await complete('consume', 'completed', '--group', 'compl')).toEqual(['completers', ':4', ''])
  expect(await complete('group', 'lag', 'compl')).toEqual(['completers', ':4', ''])
  expect(await complete('topic', 'list', '--output', 'j')).toEqual(['json', 'jsonl', ':4', ''])
  expect(await complete('consume', '--fr')).toEqual(['--from-beginning', ':4', ''])
  expect(await complete('-b', '127.0.0.1:1', 'topic', 'describe', '')).toEqual([':4', ''])
  for (const shell of ['bash', 'zsh', 'fish', 'powershell']) {
    const { stdout, code } = await cli(`completion ${shell}`)
    expect(code).toBe(0)
    expect(stdout).toContain('brokerctl')
  }
  expect(await cli('completion tcsh')).toMatchObject({ code: 2 })
})

test('the bash completion runs in bash, also when it is read twice', async () => {
  await cli('topic create in-bash')
  const script = `
    source <(./brokerctl completion bash); source <(./brokerctl completion bash)
    compopt() { :; }
    COMP_WORDS=(./brokerctl topic describe in-b); COMP_CWORD=3
    __brokerctl_complete; echo "\${COMPREPLY[@]}"`
  expect(await shell(script, ['bash', '--norc', '-c'])).toMatchObject({ stdout: 'in-bash\n', stderr: '' })
})

test('settings before and after the words of a command', async () => {
  await cli('topic create global')
  const { CAFELOG_BROKER: address } = broker.env
  for (const args of [
    ['-b', address, 'topic', 'list', 'global', '--output', 'name'],
    ['topic', '--output', 'name', 'list', 'global', `--broker=${address}`],
    ['--output', 'csv', 'topic', 'list', 'global', '-b', address, '--output', 'name'],
  ]) {
    expect(await runCli(args, {}), args.join(' ')).toMatchObject({ stdout: 'global\n', code: 0 })
  }
  expect(await runCli(['topic', 'list', 'global', '--output', 'name'], { CAFELOG_TCP_ADDR: address })).toMatchObject({
    stdout: 'global\n',
  })
})

test('colours only where somebody wants them', async () => {
  await cli('topic create colourful')
  expect((await cli('topic list colourful')).stdout).not.toContain('\u001b')
  expect((await cli('topic list colourful --color always')).stdout).toContain('\u001b[1m')
})

test('the launcher in the checkout is executable, and says how to build when nothing is built', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cafelog-launcher-'))
  cpSync(`${CHECKOUT}brokerctl`, `${directory}/brokerctl`)
  cpSync(`${CHECKOUT}package.json`, `${directory}/package.json`)
  const { status, stderr } = spawnSync(`${directory}/brokerctl`, ['version'], { encoding: 'utf8' })
  rmSync(directory, { recursive: true })
  expect(status).toBe(1)
  expect(stderr).toContain('npm run build')
})
