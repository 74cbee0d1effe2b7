import { Command as CommanderCommand, CommanderError, Option } from 'commander'
import { GLOBAL_OPTIONS, type Command, type CommandOption, type GlobalOptions } from './command.ts'
import { ALIASES, GROUPS, isCommandPrefix, loadCommands } from './commands.ts'
import { type CliFailure, toCliFailure, usageFailure, type ExitCode } from './failure.ts'
import { colorsFor, Session, type ProcessLike } from './session.ts'

/** Runs one command line (without node and the program's path) and returns its exit code. */
export async function run(theProcess: ProcessLike, words: readonly string[], version: string): Promise<ExitCode> {
  // A stream that nobody reads any more (`| head`) is the reader's way to say enough.
  for (const stream of [theProcess.stdout, theProcess.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => theProcess.exit(error.code === 'EPIPE' ? 0 : 1))
  }
  if (words.length === 1 && (words[0] === '--version' || words[0] === '-V')) {
    // Scripts ask it often: no command has to be loaded for it.
    theProcess.stdout.write(`${version}\n`)
    return 0
  }
  let exitCode: ExitCode = 0
  let session: Session | undefined
  const prefix = commandPrefix(words)
  const program = buildProgram(await loadCommands(prefix), {
    version,
    writeOut: (text) => theProcess.stdout.write(text),
    async call(command, args, options) {
      session = new Session(theProcess, options, version)
      exitCode = (await command.run(session, args, options)) ?? 0
    },
  })
  try {
    await program.parseAsync(words, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0
    if (error instanceof CommanderError && error.code === 'commander.help') {
      findCommand(program, prefix).outputHelp()
      return 0
    }
    const failure = error instanceof CommanderError ? fromCommander(error, prefix) : toCliFailure(error)
    theProcess.stderr.write(describeFailure(failure, session, theProcess))
    exitCode = failure.exitCode
  } finally {
    session?.close()
  }
  return exitCode
}

/** The words of the command that a line calls, as far as there are commands of that name; aliases resolved. */
export function commandPrefix(words: readonly string[]): string[] {
  const prefix: string[] = []
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? ''
    if (word === '--') break
    if (word.startsWith('-')) {
      if (takesValue(word)) at++
      continue
    }
    const next = [...prefix, ALIASES[word] ?? word]
    if (!isCommandPrefix(next)) break
    prefix.push(ALIASES[word] ?? word)
  }
  return prefix
}

function takesValue(word: string): boolean {
  return GLOBAL_OPTIONS.some(({ flags }) => flags.includes('<') && flags.split(/[ ,]+/).includes(word))
}

interface ProgramOptions {
  readonly version: string
  writeOut(text: string): void
  call(command: Command, args: readonly string[], options: GlobalOptions): Promise<void>
}

/** The commander program that knows these commands. */
export function buildProgram(commands: readonly Command[], options: ProgramOptions): CommanderCommand {
  const program: CommanderCommand = newCommand('brokerctl', options)
    .usage('COMMAND [options]')
    .description("Talks to a CafeLog broker: topics, records, consumer groups, and the broker's files")
    .enablePositionalOptions()
    .addHelpText('after', () => globalOptionsText(program))
  // Of all options only this one makes sense without a command.
  program.version(options.version, '-V, --version', 'print the version')
  addGlobalOptions(program)
  for (const command of commands) {
    const names = command.name.split(' ')
    const parent = names.length === 1 ? program : groupOf(program, names[0], options)
    parent.addCommand(leafCommand(names.at(-1) ?? '', command, options), { hidden: command.isHidden === true })
  }
  return program
}

function globalOptionsText(program: CommanderCommand): string {
  const help = program.createHelp()
  const lines = GLOBAL_OPTIONS.map((option) => {
    const { flags } = option
    return help.formatItem(flags, 26, help.optionDescription(commanderOption(option)), help)
  })
  return [
    '\nOptions of every command:',
    ...lines,
    '\nBegin with:            brokerctl topic create orders --partitions 3',
    'All about a command:   brokerctl help topic create',
  ].join('\n')
}

/** The command that these words call in the program. */
export function findCommand(program: CommanderCommand, words: readonly string[]): CommanderCommand {
  let found = program
  for (const word of words) found = found.commands.find((command) => command.name() === word) ?? found
  return found
}

function newCommand(name: string, options: ProgramOptions): CommanderCommand {
  const command = new CommanderCommand(name)
    .exitOverride()
    .helpCommand(false)
    .helpOption('-h, --help', 'show this help')
    .configureHelp({
      subcommandTerm: (subcommand) => `${subcommand.name()} ${subcommand.usage().replace('[options]', '').trim()}`,
    })
    .configureOutput({ writeOut: (text) => options.writeOut(text), writeErr: () => undefined })
  for (const alias of aliasesOf(name)) command.alias(alias)
  return command
}

/** They work before and after the words of a command; only the help of brokerctl itself lists them. */
function addGlobalOptions(command: CommanderCommand) {
  for (const option of GLOBAL_OPTIONS) command.addOption(commanderOption(option).hideHelp())
}

function aliasesOf(name: string): string[] {
  return Object.keys(ALIASES).filter((alias) => ALIASES[alias] === name)
}

function groupOf(program: CommanderCommand, name: string, options: ProgramOptions): CommanderCommand {
  const known = program.commands.find((command) => command.name() === name)
  if (known) return known
  const group = newCommand(name, options).summary(GROUPS[name]).description(capitalize(GROUPS[name]))
  addGlobalOptions(group)
  program.addCommand(group)
  return group
}

function leafCommand(name: string, command: Command, options: ProgramOptions): CommanderCommand {
  const leaf = newCommand(name, options)
    .summary(command.summary)
    .description([`${capitalize(command.summary)}.`, ...(command.details ?? [])].join('\n\n'))
    .addHelpText('after', examplesText(command))
  for (const argument of command.arguments ?? []) {
    const text = `${argument.name}${argument.isVariadic ? '...' : ''}`
    leaf.argument(argument.isOptional ? `[${text}]` : `<${text}>`, argument.description)
  }
  for (const option of command.options ?? []) leaf.addOption(commanderOption(option))
  addGlobalOptions(leaf)
  leaf.action(async () => options.call(command, leaf.args, givenOptions(leaf)))
  return leaf
}

function commanderOption(option: CommandOption): Option {
  const result = new Option(option.flags, option.description)
  if (option.choices) result.choices(option.choices)
  const { parse } = option
  if (option.isRepeatable) {
    result.argParser((text, previous: unknown) => [
      ...((previous as unknown[] | undefined) ?? []),
      parse ? parse(text) : text,
    ])
  } else if (parse) {
    result.argParser(parse)
  }
  return result
}

function examplesText(command: Command): string {
  const examples = command.examples.map(({ line, does }) => `  ${line}\n      ${does}`)
  return `\nExamples:\n${examples.join('\n')}\n\nOptions of every command (-b, --output, -j, -q, -v, --timeout …):  brokerctl help`
}

function capitalize(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1)
}

/** What was said on the command line, before or after the command's words; the nearer one wins. */
function givenOptions(leaf: CommanderCommand): GlobalOptions {
  const given: Record<string, unknown> = {}
  for (let command: CommanderCommand | null = leaf; command; command = command.parent) {
    const values: Record<string, unknown> = command.opts()
    for (const [name, value] of Object.entries(values)) {
      if (command.getOptionValueSource(name) !== 'default' && !(name in given)) given[name] = value
    }
  }
  return given
}

function fromCommander(error: CommanderError, prefix: readonly string[]): CliFailure {
  const message = error.message.replace(/^error: /, '').replace(/\n\((.*)\)$/s, ' ($1)')
  const called = ['brokerctl', ...prefix].join(' ')
  return usageFailure(message, `What it takes:  ${called} --help`)
}

function describeFailure(failure: CliFailure, session: Session | undefined, theProcess: ProcessLike): string {
  const { red } = session?.noteColors ?? colorsFor(theProcess.stderr, undefined, theProcess.env)
  // Ours begin with a capital, commander's do not.
  const message = failure.message.replace(/^[A-Z](?=[a-z ])/, (letter) => letter.toLowerCase())
  const lines = [`${red('✗')} ${message}`]
  for (const line of failure.help) lines.push(`  ${line}`)
  lines.push(`  code ${failure.code} (exit ${failure.exitCode})`)
  if (session?.isVerbose === true) {
    const cause = failure.cause instanceof Error ? failure.cause : failure
    lines.push(...(cause.stack ?? '').split('\n').map((line) => `  ${line}`))
  }
  return `${lines.join('\n')}\n`
}
