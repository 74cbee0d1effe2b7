// The programs in docs/protocol-kafka.md do what they say, each on a broker of its own; and so does README.md's kcat.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BrokerHome } from '../support/broker-process.ts'
import { agentNamed } from './agents.ts'

const RUN_MS_MAX = 40_000
const INSTALLED = fileURLToPath(new URL('.installed/', import.meta.url))
const PAGE = readFileSync(new URL('../../docs/protocol-kafka.md', import.meta.url), 'utf8')

/** The fence of the block, whose client must be there, how it is run as a file, and what it prints. */
const SNIPPETS = [
  { language: 'sh', agent: 'kcat', file: 'orders.sh', program: 'bash', output: 'table-4 wants flat white\n' },
  {
    language: 'python',
    agent: 'confluent-python',
    file: 'orders.py',
    program: `${INSTALLED}python/venv/bin/python`,
    output: 'stored at offset 0\ntable-4 wants flat white\n',
  },
  {
    language: 'js',
    agent: 'kafkajs',
    file: 'orders.mjs',
    program: process.execPath,
    output: 'stored at offset 0\ntable-4 wants flat white\n',
  },
] as const

let directory: string
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'cafelog-snippets-'))
  symlinkSync(`${INSTALLED}node/node_modules`, join(directory, 'node_modules'))
})
afterAll(() => rmSync(directory, { recursive: true }))

for (const { agent } of SNIPPETS) {
  const { missing } = agentNamed(agent)
  if (missing !== undefined) test(agent, ({ skip }) => skip(missing))
}

test.each(SNIPPETS.filter(({ agent }) => agentNamed(agent).missing === undefined))(
  'the program for $agent produces and consumes',
  async ({ language, file, program, output }) => {
    const home = new BrokerHome()
    try {
      const broker = await home.start()
      const [, source] = new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'm').exec(PAGE) ?? []
      writeFileSync(join(directory, file), source.replaceAll('localhost:9092', `127.0.0.1:${broker.kafkaPort}`))
      const { stdout } = await promisify(execFile)(program, [file], { cwd: directory, timeout: RUN_MS_MAX })
      expect(stdout).toBe(output)
    } finally {
      await home.remove()
    }
  },
  RUN_MS_MAX,
)

test(
  'the command for kcat in README.md shows what was sent there',
  async ({ skip }) => {
    const { missing } = agentNamed('kcat')
    if (missing !== undefined) skip(missing)
    const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
    const [, command, output] = /^```sh kafka\n([^]*?)^```\n\n```text\n([^]*?)^```$/m.exec(readme) ?? []
    const home = new BrokerHome()
    try {
      const broker = await home.start()
      const json = await broker.connect()
      await json.ask(1, { topic: 'user-events', partitions: 4 })
      for (const [partition, text] of ['hello', '{"userId": "123", "action": "login"}'].entries()) {
        await json.ask(2, {
          topic: 'user-events',
          partition,
          records: [{ value: Buffer.from(text).toString('base64') }],
        })
      }
      json.close()
      const line = command.replace('localhost:9092', `127.0.0.1:${broker.kafkaPort}`)
      const { stdout } = await promisify(execFile)('bash', ['-c', line], { timeout: RUN_MS_MAX })
      // Which partition comes first is kcat's choice.
      expect(stdout.split('\n').toSorted()).toEqual(output.split('\n').toSorted())
    } finally {
      await home.remove()
    }
  },
  RUN_MS_MAX,
)
