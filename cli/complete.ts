import { RootCommand, type Complete } from '@bomb.sh/tab'
import { openConnection } from '../client/json-connection.ts'
import { call } from '../client/operations.ts'
import { parseBrokerAddress, type BrokerAddress } from './addresses.ts'
import { GLOBAL_OPTIONS, type Command, type CommandOption, type Completes } from './command.ts'
import { ALIASES, GROUPS, loadCommands } from './commands.ts'
import { commandPrefix } from './program.ts'
import type { Session } from './session.ts'

/** Nobody waits longer for a Tab. */
const BROKER_TIMEOUT_MS = 300

type Names = Readonly<Record<Completes, readonly string[]>>

/** What the completion scripts call, with the words so far: `brokerctl complete -- topic describe ord`. */
export const complete: Command = {
  name: 'complete',
  summary: 'print completions; for the scripts',
  isHidden: true,
  arguments: [{ name: 'WORD', description: 'the words so far', isOptional: true, isVariadic: true }],
  examples: [{ line: "brokerctl complete -- topic describe ''", does: 'what could follow' }],
  async run(session, words) {
    const plain = words.map((word, index) => (index < words.length - 1 ? (ALIASES[word] ?? word) : word))
    const commands = (await loadCommands()).filter((command) => command.isHidden === undefined)
    const called = commandPrefix(plain).join(' ')
    const isNameWanted = commands.some((command) => command.name === called && wantsNames(command))
    const names = isNameWanted ? await readNames(session, words) : { topic: [], group: [] }
    const root = new RootCommand()
    for (const option of GLOBAL_OPTIONS) addOption(root, option, names)
    for (const command of commands) addCommand(root, command, names)
    root.parse([...plain])
  },
}

function wantsNames(command: Command): boolean {
  return [...(command.arguments ?? []), ...(command.options ?? [])].some(({ completes }) => completes !== undefined)
}

function addCommand(root: RootCommand, command: Command, names: Names) {
  const [group = '', leaf] = command.name.split(' ')
  if (leaf !== undefined && !root.commands.has(group)) root.command(group, GROUPS[group])
  const added = root.command(command.name, command.summary)
  for (const { name, completes, isVariadic = false } of command.arguments ?? []) {
    added.argument(name, (offer) => offerNames(offer, names, completes), isVariadic)
  }
  for (const option of [...(command.options ?? []), ...GLOBAL_OPTIONS]) addOption(added, option, names)
}

function addOption(
  command: ReturnType<RootCommand['command']>,
  { flags, description, choices, completes }: CommandOption,
  names: Names,
) {
  const long = /--([a-z-]+)/.exec(flags)?.[1] ?? ''
  const short = flags.startsWith('--') ? undefined : flags.slice(1, 2)
  if (!flags.includes('<')) {
    if (short === undefined) command.option(long, description)
    else command.option(long, description, short)
    return
  }
  const offerValues = (offer: Complete) => {
    for (const choice of choices ?? []) offer(choice, '')
    offerNames(offer, names, completes)
  }
  if (short === undefined) command.option(long, description, offerValues)
  else command.option(long, description, offerValues, short)
}

function offerNames(offer: Complete, names: Names, completes: Completes | undefined) {
  if (completes === undefined) return
  for (const name of names[completes]) offer(name, completes)
}

/** The broker's topics and groups; none when it does not answer in time. */
async function readNames(session: Session, words: readonly string[]): Promise<Names> {
  const signal = AbortSignal.timeout(BROKER_TIMEOUT_MS)
  try {
    const connection = await openConnection({
      ...brokerOf(words, session),
      connectTimeoutMs: BROKER_TIMEOUT_MS,
      signal,
    })
    const [{ topics }, { groups }] = await Promise.all([
      call(connection, 'METADATA', {}),
      call(connection, 'LIST_GROUPS', {}),
    ])
    connection.close()
    return { topic: topics.map(({ name }) => name), group: groups.map(({ group }) => group) }
  } catch {
    return { topic: [], group: [] }
  }
}

/** The broker that the words so far speak of. */
function brokerOf(words: readonly string[], session: Session): BrokerAddress {
  const at = words.findIndex((word) => word === '-b' || word.startsWith('--broker'))
  const flag =
    at < 0 ? undefined : words[at].includes('=') ? words[at].slice(words[at].indexOf('=') + 1) : words[at + 1]
  return parseBrokerAddress(flag, session.env)
}
