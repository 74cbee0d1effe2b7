import { GLOBAL_OPTIONS, type Command, type CommandOption } from './command.ts'
import { ALIASES, loadCommands } from './commands.ts'
import { EXIT_CODES, type ExitCode } from './failure.ts'

/** Exit codes that every command can end with. */
const COMMON_EXIT_CODES: readonly ExitCode[] = [0, 1, 2, 5, 124, 130]

interface OptionTree {
  readonly short?: string
  readonly long: string
  /** The name of its value; absent for a switch. */
  readonly value?: string
  readonly description: string
  readonly choices?: readonly string[]
  readonly isRepeatable?: true
}

interface CommandTree {
  readonly name: string
  readonly aliases: readonly string[]
  readonly summary: string
  readonly details: readonly string[]
  readonly usage: string
  readonly arguments: readonly {
    readonly name: string
    readonly description: string
    readonly isOptional: boolean
    readonly isVariadic: boolean
  }[]
  readonly options: readonly OptionTree[]
  readonly examples: Command['examples']
  readonly exitCodes: readonly number[]
}

/** All of brokerctl as data: what `help --json` prints, and docs/cli.md is made of. */
export interface Tree {
  readonly name: 'brokerctl'
  readonly version: string
  readonly globalOptions: readonly OptionTree[]
  readonly exitCodes: Readonly<Record<string, string>>
  readonly commands: readonly CommandTree[]
}

export async function describeTree(version: string): Promise<Tree> {
  const commands = (await loadCommands()).filter((command) => command.isHidden === undefined)
  return {
    name: 'brokerctl',
    version,
    globalOptions: GLOBAL_OPTIONS.map(describeOption),
    exitCodes: EXIT_CODES,
    commands: commands.map(describeCommand),
  }
}

function describeCommand(command: Command): CommandTree {
  return {
    name: command.name,
    aliases: aliasesOf(command.name),
    summary: command.summary,
    details: command.details ?? [],
    usage: usageOf(command),
    arguments: (command.arguments ?? []).map(({ name, description, isOptional = false, isVariadic = false }) => ({
      name,
      description,
      isOptional,
      isVariadic,
    })),
    options: (command.options ?? []).map(describeOption),
    examples: command.examples,
    exitCodes: [...new Set<number>([...COMMON_EXIT_CODES, ...(command.exitCodes ?? [])])].toSorted((a, b) => a - b),
  }
}

function describeOption({ flags, description, choices, isRepeatable }: CommandOption): OptionTree {
  const value = /<(.+)>/.exec(flags)?.[1]
  return {
    ...(flags.startsWith('--') ? {} : { short: flags.slice(0, 2) }),
    long: /--[a-z-]+/.exec(flags)?.[0] ?? '',
    ...(value === undefined ? {} : { value }),
    description,
    ...(choices ? { choices } : {}),
    ...(isRepeatable ? { isRepeatable } : {}),
  }
}

function usageOf(command: Command): string {
  const words = (command.arguments ?? []).map(({ name, isOptional, isVariadic }) => {
    const word = isVariadic ? `${name}...` : name
    return isOptional ? `[${word}]` : word
  })
  return ['brokerctl', command.name, ...words, '[options]'].join(' ')
}

/** `consumer list` → `consumer ls`, `group list`, `group ls`. */
function aliasesOf(name: string): string[] {
  const spellings = name
    .split(' ')
    .map((word) => [word, ...Object.keys(ALIASES).filter((alias) => ALIASES[alias] === word)])
  const all = spellings.reduce<string[]>(
    (lines, words) => (lines.length === 0 ? words : lines.flatMap((line) => words.map((word) => `${line} ${word}`))),
    [],
  )
  return all.filter((spelling) => spelling !== name)
}

/** The reference in Markdown: docs/cli.md. */
export function toMarkdown(tree: Tree): string {
  const lines = [
    '# brokerctl',
    '',
    'The command line of CafeLog. This page is made by `./brokerctl help --markdown > docs/cli.md`; a test compares the two.',
    '',
    '## In every command',
    '',
    ...tree.globalOptions.map(optionLine),
    '',
    'Settings are looked for in this order: flag, environment, default. Data goes to stdout, everything else to stderr. Where stdout is not a terminal there are no colours, numbers are plain, and nothing is asked.',
    '',
    '## Exit codes',
    '',
    ...Object.entries(tree.exitCodes).map(([code, meaning]) => `- \`${code}\`: ${meaning}`),
  ]
  for (const command of tree.commands) lines.push('', ...commandLines(command))
  return `${lines.join('\n')}\n`
}

function commandLines(command: CommandTree): string[] {
  const lines = [`## ${command.name}`, '', `${capital(command.summary)}.`, '', '```', command.usage, '```']
  for (const paragraph of command.details) lines.push('', paragraph.replaceAll(/(?<=^|[ (])(%[^\n]*)$/g, '`$1`'))
  if (command.aliases.length > 0)
    lines.push('', `The same: ${command.aliases.map((alias) => `\`${alias}\``).join(', ')}.`)
  const items = [
    ...command.arguments.map(({ name, description }) => `- \`${name}\`: ${description}`),
    ...command.options.map(optionLine),
  ]
  if (items.length > 0) lines.push('', ...items)
  lines.push('', '```sh', ...command.examples.flatMap(({ line, does }) => [`# ${does}`, line]), '```')
  const particular = command.exitCodes.filter((code) => !(COMMON_EXIT_CODES as readonly number[]).includes(code))
  if (particular.length > 0)
    lines.push('', `Exit codes of its own: ${particular.map((code) => `\`${code}\``).join(', ')}.`)
  return lines
}

function optionLine({ short, long, value, description, choices }: OptionTree): string {
  const names = [short, long].filter((name) => name !== undefined).join(', ')
  const values = choices ? `: ${choices.join(', ')}` : ''
  return `- \`${names}${value === undefined ? '' : ` ${value}`}\`: ${description}${values}`
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1)
}
