import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { runCli } from './cli-harness.ts'

interface Tree {
  globalOptions: { long: string }[]
  exitCodes: Record<string, string>
  commands: {
    name: string
    summary: string
    usage: string
    options: { long: string; short?: string; description: string }[]
    examples: { line: string; does: string }[]
    exitCodes: number[]
  }[]
}

async function readTree(): Promise<Tree> {
  return JSON.parse((await runCli(['help', '--json'], {})).stdout) as Tree
}

test('docs/cli.md is what the program says about itself', async () => {
  const page = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8')
  const { stdout } = await runCli(['help', '--markdown'], {})
  expect(page, 'make it anew: ./brokerctl help --markdown > docs/cli.md').toBe(stdout)
})

test('help --json describes every command with its examples and exit codes', async () => {
  const tree = await readTree()
  expect(tree.commands.map(({ name }) => name)).toEqual(
    expect.arrayContaining(
      ['create', 'list', 'describe', 'alter', 'delete', 'offsets']
        .map((word) => `topic ${word}`)
        .concat(
          ['list', 'describe', 'lag', 'peek', 'reset', 'export', 'delete', 'offset-delete'].map(
            (word) => `consumer ${word}`,
          ),
        )
        .concat(['produce', 'consume', 'log dump', 'log verify', 'health', 'version', 'completion', 'help']),
    ),
  )
  expect(Object.keys(tree.exitCodes).map(Number)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 124, 130])
  for (const command of tree.commands) {
    expect(command.examples.length, command.name).toBeGreaterThan(0)
    for (const code of command.exitCodes) expect(tree.exitCodes).toHaveProperty(String(code))
    for (const { description } of command.options) expect(description).not.toBe('')
  }
})

test('no option means two things in one command', async () => {
  const tree = await readTree()
  for (const { name, options } of tree.commands) {
    const flags = [...tree.globalOptions, ...options].flatMap((option) => [
      option.long,
      ...('short' in option ? [option.short] : []),
    ])
    expect(new Set(flags).size, name).toBe(flags.length)
  }
})

test('every command shows its help, by --help and by help', async () => {
  const { commands } = await readTree()
  const lines = await Promise.all(
    commands.map(async ({ name }) => [
      (await runCli([...name.split(' '), '--help'], {})).stdout,
      (await runCli(['help', ...name.split(' ')], {})).stdout,
    ]),
  )
  for (const [index, [byOption, byCommand]] of lines.entries()) {
    expect(byOption).toBe(byCommand)
    expect(byOption).toContain(`Usage: brokerctl ${commands[index].name.split(' ')[0]}`)
    expect(byOption).toContain('Examples:')
  }
}, 60_000)

test('without a command, or with half of one, there is help', async () => {
  for (const [args, words] of [
    [[], ['topic', 'consume', 'Options of every command', '--broker']],
    [['--help'], ['topic', 'consume']],
    [['help'], ['topic', 'consume']],
    [['topic'], ['create', 'describe']],
    [['group'], ['lag', 'reset']],
    [
      ['topic', '--help'],
      ['create', 'describe'],
    ],
  ] as const) {
    const { stdout, stderr, code } = await runCli(args, {})
    expect({ stderr, code }).toEqual({ stderr: '', code: 0 })
    for (const word of words) expect(stdout).toContain(word)
  }
  expect(await runCli(['help', 'nothing'], {})).toMatchObject({ code: 2 })
})
