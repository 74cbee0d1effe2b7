import { spawn, spawnSync } from 'node:child_process'
import { cpSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { formatBanner } from '../../src/banner.ts'
import { parseConfig, SETTINGS } from '../../src/config/config.ts'
import type { StartReport } from '../../src/main.ts'
import { type BrokerProcess, BrokerHome } from '../support/broker-process.ts'

// README.md is held to the program: what it shows in a block of `text` is what comes of the block before it. Blocks
// marked with `run` are run, in their order, in a folder that looks like the checkout, as on a terminal.

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const RUN_MS_MAX = 15_000
const CTRL_C = '\u0003'

const readme = readFileSync(join(ROOT, 'README.md'), 'utf8')
const readmeEs = readFileSync(join(ROOT, 'README.es.md'), 'utf8')

/** A fenced block: the words behind its fence, and what stands in it. */
interface Block {
  readonly info: string
  readonly text: string
}

function blocksOf(page: string): Block[] {
  return [...page.matchAll(/^( *)```(.+)\n([^]*?)^ *```$/gm)].map(([, indent, info, text]) => ({
    info,
    text: text.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  }))
}

/** The blocks marked with `run` in this language, each with the output that is shown below it. */
function runnable(language: string): { readonly info: string; readonly command: string; readonly output: string }[] {
  const blocks = blocksOf(readme)
  return blocks.flatMap(({ info, text }, index) => {
    if (!info.startsWith(`${language} run`)) return []
    expect(blocks[index + 1].info).toBe('text')
    return [{ info, command: text.trim(), output: withoutTimes(blocks[index + 1].text) }]
  })
}

function withoutTimes(output: string): string {
  return output
    .replaceAll(/\d\d:\d\d:\d\d\.\d{3}/g, 'TIME')
    .replaceAll(/\b\d{13}\b/g, 'MILLISECONDS')
    .trim()
}

let home: BrokerHome
let broker: BrokerProcess
beforeAll(async () => {
  home = new BrokerHome()
  cpSync(join(ROOT, 'configs'), home.configDirectory, { recursive: true })
  symlinkSync(join(ROOT, 'brokerctl'), join(home.path, 'brokerctl'))
  broker = await home.start()
})
afterAll(() => home.remove())

test('the commands for a fresh clone come first', () => {
  const [start, tests] = blocksOf(readme)
  expect(start).toEqual({ info: 'sh', text: 'npm ci && npm start\n' })
  expect(tests).toEqual({ info: 'sh', text: 'npm ci && npm test\n' })
})

test('the banner is the one that a new broker prints', () => {
  const shown = blocksOf(readme).find(({ info }) => info === 'text')?.text ?? ''
  const ready = broker.log.find(({ event }) => event === 'ready')
  const addresses = {
    json: { host: '::', port: 7070 },
    kafka: { host: '::', port: 9092 },
    http: { host: '::', port: 8080 },
  }
  const banner = formatBanner(
    { addresses, report: ready as unknown as StartReport },
    {
      config: parseConfig({}, 4096),
      readyMs: Number(/ready in (\d+) ms/.exec(shown)?.[1]),
      brokerctl: './brokerctl',
      isColored: false,
    },
  )
  expect(shown.trimEnd()).toBe(banner.replace(/^\n/, '').trimEnd())
})

test('the commands do what is shown below them', async ({ skip }) => {
  const { stdout } = spawnSync('script', ['--version'])
  if (!String(stdout).includes('util-linux')) skip('needs script, of util-linux, for a terminal')
  const commands = runnable('sh')
  expect(commands).toHaveLength(4)
  for (const { info, command, output } of commands) {
    const isEndless = info.endsWith('until Ctrl-C')
    const isOver = (shown: string) => isEndless && shown.startsWith(output)
    // A shell that waits for the command takes Ctrl-C for itself too, and dash then ends with a status of its own.
    const { shown, code } = await runOnTerminal(isEndless ? `exec ${command}` : command, isOver)
    expect({ command, output: shown.replace(/\s*\^C$/, ''), code }).toEqual({ command, output, code: 0 })
  }
})

test('the client in Python does what is shown below it', ({ skip }) => {
  if (spawnSync('python3', ['--version']).status !== 0) skip('there is no python3')
  const [{ command, output }] = runnable('python')
  expect(command.split('\n').filter((line) => line !== '')).toHaveLength(9)
  const source = command.replace('"localhost", 7070', `"127.0.0.1", ${broker.port}`)
  const { stdout, stderr } = spawnSync('python3', ['-c', source], { encoding: 'utf8', timeout: RUN_MS_MAX })
  expect([withoutTimes(stdout), stderr]).toEqual([output, ''])
})

test('the settings have the defaults of the program', () => {
  const rows = [...readme.matchAll(/^\| `(CAFELOG_[A-Z_]+)` +\| `([^`]+)` +\|/gm)].map(([, ...cells]) => cells)
  expect(rows.length).toBeGreaterThan(3)
  const defaults = new Map(Object.values(SETTINGS).map((setting) => [setting.variable, setting.default]))
  for (const [variable, byDefault] of rows) expect([variable, byDefault]).toEqual([variable, defaults.get(variable)])
})

test('README.es.md has the same parts, the same code and the same links', () => {
  const headings = (page: string) => [...page.matchAll(/^(#+) /gm)].map(([, marks]) => marks)
  const rows = (page: string) => [...page.matchAll(/^\| `(CAFELOG_[A-Z_]+)` +\| `([^`]+)`/gm)].map(([all]) => all)
  const links = (page: string) => [...page.matchAll(/\]\((docs[^)]+)\)/g)].map(([, link]) => link)
  expect(blocksOf(readmeEs)).toEqual(blocksOf(readme))
  expect(headings(readmeEs)).toEqual(headings(readme))
  expect(rows(readmeEs)).toEqual(rows(readme))
  expect(links(readmeEs)).toEqual(links(readme))
})

/** Runs commands on a terminal of their own; types Ctrl-C once `isOver` says so of what was shown. */
async function runOnTerminal(commands: string, isOver: (shown: string) => boolean) {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('CAFELOG_'))
  const child = spawn('script', ['-qefc', commands, '/dev/null'], {
    cwd: home.path,
    env: {
      ...Object.fromEntries(inherited),
      CAFELOG_BROKER: `127.0.0.1:${broker.port}`,
      CAFELOG_HTTP: `http://127.0.0.1:${broker.httpPort}`,
      NO_COLOR: '1',
    },
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: RUN_MS_MAX,
  })
  let text = ''
  let isInterrupted = false
  const shown = () => withoutTimes(text.replaceAll('\r', ''))
  child.stdout.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
    if (isInterrupted || !isOver(shown())) return
    isInterrupted = true
    child.stdin.write(CTRL_C)
  })
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { shown: shown(), code }
}
