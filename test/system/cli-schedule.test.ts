import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli, startCliBroker, type CliBroker } from './cli-harness.ts'

let broker: CliBroker
beforeAll(async () => {
  broker = await startCliBroker()
  await broker.ask('CREATE_TOPIC', { topic: 'reminders', partitions: 1 })
})
afterAll(async () => {
  await broker.remove()
})

const cli = (...args: readonly string[]) => runCli(args, broker.env)

async function listIds(): Promise<string[]> {
  const { stdout } = await cli('schedule', 'list', '--topic', 'reminders', '--output', 'name')
  return stdout.split('\n').slice(0, -1)
}

test('records are sent for later, listed, shown, moved, sent at once and cancelled', async () => {
  const produced = await cli('produce', 'reminders', '--key', 'k', '--value', 'in an hour', '--delay', '1h')
  expect(produced).toMatchObject({ code: 0, stdout: '' })
  expect(produced.stderr).toMatch(/^Due \d{4}-\d\d-\d\d .* here, \d{4}-.*Z\n/)
  await cli('produce', 'reminders', '--value', 'at some time', '--at', String(Math.round(Date.now() / 1000) + 7200))
  const [first, second, ...rest] = await listIds()
  expect(rest).toEqual([])
  const { stdout } = await cli('schedule', 'list', '-j')
  expect(JSON.parse(stdout)).toMatchObject([
    { id: first, topic: 'reminders', valueBytes: 10 },
    { id: second, key: null },
  ])
  const table = await cli('schedule', 'list', '-n', '1')
  expect(table.stdout).toMatch(
    new RegExp(`^ID +DUE +TOPIC +PARTITION +KEY +VALUE\\n${first} .* reminders +0 +k +10\\n$`),
  )
  expect(table.stderr).toBe('1 of 2 that wait\n')
  const shown = JSON.parse((await cli('schedule', 'get', first)).stdout)
  expect(shown).toMatchObject({ id: first, key: 'k', value: 'in an hour', headers: [] })

  const moved = await cli('schedule', 'reschedule', first, '--delay', '3h')
  expect(moved.stdout).toMatch(new RegExp(`^✓ ${first} is due .*Z\\n$`))
  expect(await listIds()).toEqual([second, first])
  expect((await cli('schedule', 'send-now', first)).code).toBe(0)
  const consumed = await cli('consume', 'reminders', '-n', '1', '--from-beginning', '-f', '%v %o\\n')
  expect(consumed.stdout).toBe('in an hour 0\n')
  const late = await cli('schedule', 'cancel', first, '--yes')
  expect(late.code).toBe(3)
  expect(late.stderr).toMatch(/it was delivered already at .+ as offset 0 of topic "reminders", partition 0/)
  expect((await cli('schedule', 'cancel', second)).code).toBe(2)
  expect(await cli('schedule', 'cancel', second, '--yes')).toMatchObject({ code: 0, stdout: `✓ Cancelled ${second}\n` })
  expect((await cli('schedule', 'list')).stderr).toContain('Nothing waits.')
})

test('what contradicts itself or is no time is refused', async () => {
  const refused = async (...args: string[]) => {
    const { code, stderr } = await cli(...args)
    expect(code).toBe(2)
    return stderr
  }
  expect(await refused('produce', 'reminders', '--value', 'v', '--at', 'soon')).toContain('"soon" as a time')
  expect(await refused('produce', 'reminders', '--value', 'v', '--delay', '10')).toContain('"10" as a duration')
  expect(await refused('produce', 'reminders', '--value', 'v', '--at', '10:00', '--delay', '1h')).toContain('exclude')
  expect(await refused('schedule', 'reschedule', '00000000001')).toContain('--at TIME or --delay DURATION')
})
