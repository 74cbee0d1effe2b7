import { loadCommands } from './commands.ts'
import type { Command } from './command.ts'
import { usageFailure } from './failure.ts'
import { buildProgram, commandPrefix, findCommand } from './program.ts'
import { describeTree, toMarkdown } from './tree.ts'

interface Options {
  readonly markdown?: boolean
}

export const help: Command<Options> = {
  name: 'help',
  summary: 'show help for a command, or for all of them as data',
  arguments: [{ name: 'COMMAND', description: 'the words of a command', isOptional: true, isVariadic: true }],
  options: [{ flags: '--markdown', description: 'all of it as one page' }],
  examples: [
    { line: 'brokerctl help consume', does: 'everything about one command' },
    { line: 'brokerctl help --json', does: 'the whole tree: names, options, examples, exit codes' },
  ],
  async run(session, words, options) {
    if (options.markdown === true) return session.write(toMarkdown(await describeTree(session.version)))
    if (session.output === 'json')
      return session.write(`${JSON.stringify(await describeTree(session.version), null, 2)}\n`)
    const prefix = commandPrefix(words)
    if (prefix.length < words.length)
      throw usageFailure(`There is no command "${words.join(' ')}"`, 'All commands:  brokerctl help')
    let text = ''
    const program = buildProgram(await loadCommands(prefix), {
      version: session.version,
      writeOut: (part) => (text += part),
      call: () => Promise.resolve(),
    })
    findCommand(program, prefix).outputHelp()
    return session.write(text)
  },
}
