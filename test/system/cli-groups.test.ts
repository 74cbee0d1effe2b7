// The commands of consumer groups, on a running broker, for groups of every door.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DOOR_MEMBERS } from '../support/door-members.ts'
import { runCli, Run, startCliBroker, type CliBroker } from './cli-harness.ts'

let broker: CliBroker
let directory: string
beforeAll(async () => {
  broker = await startCliBroker()
  directory = mkdtempSync(join(tmpdir(), 'cafelog-groups-'))
})
afterAll(async () => {
  await broker.remove()
  rmSync(directory, { recursive: true, force: true })
})

const cli = (line: string, input?: string) => runCli(line.split(' '), broker.env, input)

/** What a group has committed: `orders/0` → 3. */
async function committed(group: string): Promise<Record<string, number | null>> {
  const { stdout } = await cli(`consumer export ${group}`)
  const { offsets } = JSON.parse(stdout) as { offsets: { topic: string; partition: number; offset: number | null }[] }
  return Object.fromEntries(offsets.map(({ topic, partition, offset }) => [`${topic}/${partition}`, offset]))
}

/** Prints what the command printed into a file, and returns its path. */
async function exportTo(name: string, line: string): Promise<string> {
  const path = join(directory, name)
  writeFileSync(path, (await cli(line)).stdout)
  return path
}

test('consumer list, describe, lag and reset', async () => {
  await cli('topic create read -p 2')
  await cli('produce read --partition 0', 'a\nb\nc\n')
  await cli('consume read --group readers --from-beginning -n 1')
  expect((await cli('consumer list --topic read')).stdout).toMatch(
    /^GROUP +STATE +MEMBERS +TOPICS +PARTITIONS +LAG\nreaders +Empty +0 +read +2 +2\n$/,
  )
  expect((await cli('group ls --state empty --output name')).stdout).toContain('readers\n')
  expect((await cli('consumer lag readers')).stdout).toMatch(
    /TOTAL LAG 2 {3}TIME LAG [\d.hms]+\n\nTOPIC .*\nread +0 +1 +3 +2 +[\d.hms]+\nread +1 +0 +0 +0 +0s\n$/,
  )
  expect(JSON.parse((await cli('consumer lag readers -j')).stdout)).toMatchObject({
    group: 'readers',
    totalLag: 2,
    partitions: [
      { topic: 'read', partition: 0, committedOffset: 1, logEndOffset: 3, lag: 2 },
      { partition: 1, lag: 0 },
    ],
  })
  expect((await cli('consumer describe readers')).stdout).toMatch(
    /COMMITTED-AT\nread +0 +1 +3 +2 +[\d.hms]+ +20\d\d-.*Z\n/,
  )
  expect((await cli('consumer describe readers --members')).stderr).toContain('has no members')

  expect(await cli('consumer lag readers --max 2')).toMatchObject({ code: 0 })
  const exceeded = await cli('consumer lag readers --max 1')
  expect(exceeded).toMatchObject({ code: 1 })
  expect(exceeded.stderr).toContain('more than 1')
  const late = await cli('consumer lag readers --exit-when-zero --timeout 300ms')
  expect(late).toMatchObject({ code: 124 })
  expect(late.stderr).toContain('lag of 2')

  const dry = await cli('consumer reset readers --to start')
  expect(dry.stdout).toMatch(/FROM +TO +LAG-THEN\nread +0 +1 +0 +3\nread +1 +0 +0 +0\n$/)
  expect(dry.stderr).toContain('dry run')
  expect((await cli('consumer lag readers')).stdout).toContain('TOTAL LAG 2')
  const to = async (...place: string[]) => {
    await runCli(
      ['consumer', 'reset', 'readers', '--topic', 'read', '-p', '0', '--execute', '--to', ...place],
      broker.env,
    )
    const { partitions } = JSON.parse((await cli('consumer lag readers -j')).stdout) as {
      partitions: { committedOffset: number }[]
    }
    return partitions[0].committedOffset
  }
  expect(await to('end')).toBe(3)
  expect(await to('-2')).toBe(1)
  expect(await to('+1')).toBe(2)
  expect(await to('0')).toBe(0)
  expect(await to('99')).toBe(3)
  expect(await to('earliest')).toBe(0)
  expect(await to('latest')).toBe(3)
  expect(await to('@-1h')).toBe(0)
  expect(await cli('consumer reset readers')).toMatchObject({ code: 2 })
  expect(await cli('consumer reset readers --to end --topic nothing')).toMatchObject({ code: 3 })
  expect(await cli('consumer reset readers --to end -p 7')).toMatchObject({ code: 3 })

  await cli('consumer reset readers --to end --execute')
  expect(await cli('consumer lag readers --exit-when-zero --timeout 5s')).toMatchObject({ code: 0 })
})

test('consumer lag shows partitions without a commit, and a group that is not there', async () => {
  await cli('topic create half -p 2')
  await cli('consume half --group halves -p 1 -e')
  expect((await cli('consumer lag halves')).stdout).toMatch(/half +0 +- +0 +- +-\nhalf +1 +0 +0 +0 +0s\n$/)
  const unknown = await cli('consumer lag halvse')
  expect(unknown.code).toBe(3)
  expect(unknown.stderr).toContain('there is no group "halvse", did you mean "halves"?')
  for (const line of ['consumer describe nobody', 'consumer reset nobody --to end'])
    expect(await cli(line), line).toMatchObject({ code: 3 })
})

test('consumer lag --watch goes on until Ctrl-C', async () => {
  await cli('topic create watched')
  await cli('consume watched --group watchers -e')
  const watch = new Run(['consumer', 'lag', 'watchers', '--watch', '--output', 'jsonl'], broker.env)
  await watch.until((run) => run.stdout.toString().split('\n').length > 2)
  watch.interrupt()
  expect((await watch.ended).code).toBe(0)
  const table = new Run(['consumer', 'lag', 'watchers', '--watch'], broker.env)
  await table.until((run) => run.stdout.toString().includes('steady'))
  table.interrupt()
  expect((await table.ended).stdout).toMatch(/TIME LAG 0s steady\n\n.*TIME-LAG +TREND\nwatched +0 +0 +0 +0 +0s +▁▁\n/)
})

const doors = Object.keys(DOOR_MEMBERS)

test.each(doors)('a group of %s is seen, and moved only when its members have gone', async (door) => {
  const name = `door-${doors.indexOf(door)}`
  await cli(`topic create ${name} -p 2`)
  await cli(`produce ${name} --partition 0`, 'a\nb\nc\n')
  const member = await DOOR_MEMBERS[door](broker.ports, { group: name, topic: name, partitions: 2 })
  // It reads, and has not committed anything yet.
  expect((await cli(`consumer list --topic ${name} --state stable --output name`)).stdout).toBe(`${name}\n`)
  expect((await cli(`consumer list --topic ${name} --state rebalancing`)).stdout).toBe('')
  expect((await cli(`consumer describe ${name} --members`)).stdout).toMatch(
    new RegExp(`^MEMBER +CLIENT +HOST +PARTITIONS\\n\\S+ +test +\\S+ +${name}/0 ${name}/1\\n$`),
  )
  expect((await cli(`consumer lag ${name}`)).stdout).toMatch(
    new RegExp(`MEMBER\\n${name} +0 +- +3 +- +- +test\\n${name} +1 +- +0 +- +- +test\\n$`),
  )
  expect((await cli(`consumer peek ${name}`)).stderr).toContain(`${name}/0: nothing committed yet`)

  await member.commit(0, 1)
  expect((await cli(`consumer lag ${name}`)).stdout).toMatch(
    new RegExp(`STATE Stable {3}MEMBERS 1 {3}TOTAL LAG 2 .*\\n\\n.*\\n${name} +0 +1 +3 +2 +[\\d.ms]+ +test\\n`),
  )
  expect((await cli(`consumer peek ${name} -A 1 -q`)).stdout).toBe('b\n')
  expect((await cli(`consumer export ${name} --output csv`)).stdout).toBe(`topic,partition,offset\n${name},0,1\n`)
  for (const line of [
    `consumer reset ${name} --to start`,
    `consumer reset ${name} --to start --execute`,
    `consumer delete ${name} --yes`,
    `consumer offset-delete ${name} --topic ${name} --yes`,
  ]) {
    const refused = await cli(line)
    expect(refused, line).toMatchObject({ stdout: '', code: 6 })
    expect(refused.stderr).toMatch(/✗ cannot (?:reset|delete|delete offsets of) group "door-\d": it has 1 member\n/)
    expect(refused.stderr).toMatch(/\n {2}test on [\d.]+, which reads 2 partitions\n/)
    expect(refused.stderr).toContain(`consumer describe ${name} --members`)
  }
  expect(await committed(name)).toEqual({ [`${name}/0`]: 1, [`${name}/1`]: null })

  await member.leave()
  expect((await cli(`consumer list --topic ${name} --state empty --output name`)).stdout).toBe(`${name}\n`)
  expect(await cli(`consumer reset ${name} --to end --execute`)).toMatchObject({ code: 0 })
  expect(await committed(name)).toEqual({ [`${name}/0`]: 3, [`${name}/1`]: 0 })
  expect(await cli(`consumer delete ${name} --yes`)).toMatchObject({
    stdout: `✓ Deleted group "${name}" with 2 offsets\n`,
    stderr: `Group "${name}": 2 offsets, lag 0\n`,
    code: 0,
  })
  expect(await cli(`consumer describe ${name}`)).toMatchObject({ code: 3 })
})

test('an export undoes a reset, and even a deletion', async () => {
  await cli('topic create undone -p 3')
  for (const partition of [0, 1, 2]) await cli(`produce undone --partition ${partition}`, 'a\nb\nc\nd\n')
  await broker.ask('COMMIT', { group: 'undo', topic: 'undone', partition: 0, offset: 1 })
  await broker.ask('COMMIT', { group: 'undo', topic: 'undone', partition: 1, offset: 3 })
  const before = { 'undone/0': 1, 'undone/1': 3, 'undone/2': null }
  const file = await exportTo('undo.json', 'consumer export undo')
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({
    v: 1,
    group: 'undo',
    exportedAt: expect.stringMatching(/^20\d\d-.*Z$/),
    offsets: [
      { topic: 'undone', partition: 0, offset: 1 },
      { topic: 'undone', partition: 1, offset: 3 },
      { topic: 'undone', partition: 2, offset: null },
    ],
  })

  expect((await cli('consumer reset undo --to start')).stderr).toContain('brokerctl consumer export undo > undo.json')
  await cli('consumer reset undo --to start --execute')
  expect(await committed('undo')).toEqual({ 'undone/0': 0, 'undone/1': 0, 'undone/2': 0 })
  const dry = await cli(`consumer reset undo --from-file ${file}`)
  expect(dry.stdout).toMatch(/FROM +TO +LAG-THEN\nundone +0 +0 +1 +3\nundone +1 +0 +3 +1\nundone +2 +0 +- +-\n$/)
  expect(await committed('undo')).toEqual({ 'undone/0': 0, 'undone/1': 0, 'undone/2': 0 })
  expect(await cli(`consumer reset undo --from-file ${file} --execute`)).toMatchObject({
    stderr: '✓ Moved 3 partitions of group "undo"\n',
    code: 0,
  })
  expect(await committed('undo')).toEqual(before)

  expect(await cli('consumer delete undo --yes')).toMatchObject({ code: 0 })
  expect(await cli(`consumer reset undo --to file:${file} --execute`)).toMatchObject({ code: 0 })
  expect(await committed('undo')).toEqual(before)

  // Of a file, only what is asked for; and the lines of Kafka's tool, from stdin.
  await cli('consumer reset undo --to end --execute')
  await cli(`consumer reset undo --from-file ${file} -p 1 --execute`)
  expect(await committed('undo')).toEqual({ 'undone/0': 4, 'undone/1': 3, 'undone/2': 4 })
  await cli('consumer reset undo --from-file - --execute', 'undone,0,2\nundone,2,1\n')
  expect(await committed('undo')).toEqual({ 'undone/0': 2, 'undone/1': 3, 'undone/2': 1 })
})

test('a group begins where another one is', async () => {
  await cli('topic create copied -p 2')
  await cli('produce copied --partition 1', 'a\nb\n')
  await broker.ask('COMMIT', { group: 'original', topic: 'copied', partition: 1, offset: 1 })
  expect(await cli('consumer reset copy --to end')).toMatchObject({ code: 3 })
  expect((await cli('consumer reset copy --to group:original')).stdout).toMatch(/copied +1 +- +1 +1\n$/)
  expect(await cli('consumer reset copy --to group:original --execute')).toMatchObject({ code: 0 })
  expect(await committed('copy')).toEqual({ 'copied/0': null, 'copied/1': 1 })
  const unknown = await cli('consumer reset copy --to group:orignal')
  expect(unknown).toMatchObject({ code: 3 })
  expect(unknown.stderr).toContain('did you mean "original"?')
})

test('a reset that cannot be says what would be right', async () => {
  await cli('topic create refused')
  await cli('produce refused', 'a\n')
  await broker.ask('COMMIT', { group: 'refusing', topic: 'refused', partition: 0, offset: 0 })
  for (const [line, input, code, words] of [
    ['--to start --from-file x', '', 2, 'exclude each other'],
    ['--to group:', '', 2, 'which group?'],
    ['--to soon', '', 2, 'start, end, N'],
    ['--from-file /nowhere/at-all', '', 2, 'there is no such file'],
    ['--from-file -', '{"v":9}', 2, 'version 9'],
    ['--from-file -', 'refused,7,0\n', 3, 'there is no partition 7 in topic "refused"'],
    ['--from-file -', 'refsued,0,0\n', 3, 'did you mean "refused"?'],
    ['--to 5 --execute', '', 0, 'begins at 0 and ends at 1: 1 instead of 5'],
    ['--from-file - --topic other', 'refused,0,0\n', 0, 'Nothing to move'],
  ] as const) {
    const { stderr, code: ended } = await cli(`consumer reset refusing ${line}`, input)
    expect([line, ended, stderr]).toEqual([line, code, expect.stringContaining(words)])
  }
})

test('peek shows records around the committed offset, and moves nothing', async () => {
  await cli('topic create peeked -p 2')
  await cli('produce peeked --partition 0', 'a\nb\nc\nd\n')
  await cli('produce peeked --partition 1', 'x\n')
  await broker.ask('COMMIT', { group: 'peeking', topic: 'peeked', partition: 0, offset: 2 })
  await broker.ask('COMMIT', { group: 'peeking', topic: 'peeked', partition: 1, offset: 1 })
  expect(await cli('consumer peek peeking')).toEqual({
    stdout: 'c\nd\n',
    stderr: 'peeked/0: next is 2 of 4, lag 2\npeeked/1: next is 1 of 1, lag 0\n',
    code: 0,
  })
  expect((await cli('consumer peek peeking -B 1 -A 1 -f %p:%o=%v;')).stdout).toBe('0:1=b;0:2=c;1:0=x;')
  expect((await cli('consumer peek peeking -p 0 -A 1 -j')).stdout).toMatch(
    /^{"v":1,"topic":"peeked",.*"offset":"2".*}\n$/,
  )
  expect((await cli('consumer peek peeking -p 1 -B 9 -A 0 -q')).stdout).toBe('x\n')
  expect(await committed('peeking')).toEqual({ 'peeked/0': 2, 'peeked/1': 1 })

  await broker.ask('DELETE_RECORDS', { topic: 'peeked', partition: 0, beforeOffset: 3 })
  expect(await cli('consumer peek peeking -p 0 -B 2')).toEqual({
    stdout: 'd\n',
    stderr: 'peeked/0: next is 3 of 4, lag 1, 1 record expired unread\n',
    code: 0,
  })
  expect(await cli('consumer peek peeking -p 5')).toMatchObject({ code: 2 })
  expect(await cli('consumer peek nobody')).toMatchObject({ code: 3 })
})

test('deleting says what would be lost, wants a yes, and can be for topics alone', async () => {
  await cli('topic create lost-a lost-b -p 2')
  await cli('produce lost-a --partition 0', 'a\nb\n')
  for (const topic of ['lost-a', 'lost-b']) {
    await broker.ask('COMMIT', { group: 'losing', topic, partition: 0, offset: 1 * Number(topic === 'lost-a') })
    await broker.ask('COMMIT', { group: 'losing-too', topic, partition: 1, offset: 0 })
  }
  const refused = await cli('consumer delete losing losing-too')
  expect(refused).toMatchObject({ stdout: '', code: 2 })
  expect(refused.stderr).toMatch(
    /^Group "losing": 2 offsets, lag 1\nGroup "losing-too": 2 offsets, lag 0\n✗ nobody here/,
  )
  expect(await cli('consumer offset-delete losing')).toMatchObject({ code: 2 })
  expect(await cli('consumer offset-delete losing --topic lost-b --yes')).toMatchObject({
    stdout: '✓ Deleted 1 offset of group "losing" in topic "lost-b"\n',
    code: 0,
  })
  expect(await committed('losing')).toEqual({ 'lost-a/0': 1, 'lost-a/1': null })
  expect((await cli('consumer delete losing --topic lost-b --yes')).stderr).toBe(
    'Group "losing": 0 offsets in topic "lost-b"\n',
  )
  const deleted = await cli('consumer delete losing losing-too --yes -j')
  expect(JSON.parse(deleted.stdout)).toEqual([
    { name: 'losing', status: 'deleted', offsets: 1 },
    { name: 'losing-too', status: 'deleted', offsets: 2 },
  ])
  expect((await cli('consumer list')).stdout).not.toContain('losing')
  expect(await cli('consumer delete losing --yes')).toMatchObject({ code: 3 })
})

test('lag of a topic that nobody reads, or that is not there, is not taken for none', async () => {
  await cli('topic create idle')
  await broker.ask('COMMIT', { group: 'idlers', topic: 'idle', partition: 0, offset: 0 })
  await cli('topic create elsewhere')
  expect((await cli('consumer lag idlers --topic elsewhere')).stdout).toMatch(/\nelsewhere +0 +- +0 +- +-\n$/)
  expect(await cli('consumer lag idlers --topic elsewehre')).toMatchObject({ code: 3 })
  expect(await cli('consumer list --state sleeping')).toMatchObject({ code: 2 })
})
