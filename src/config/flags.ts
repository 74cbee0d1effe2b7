/** A word of the command line of the broker. */
export interface Flag {
  readonly flag: string
  readonly default: string
  readonly range: string
  readonly meaning: string
}

/** Everything that may stand behind `cafelog`. All else is set by the environment. */
export const FLAGS: readonly Flag[] = [
  { flag: '--help', default: '', range: '', meaning: 'Prints the variables and ends; also -h' },
  { flag: '--version', default: '', range: '', meaning: 'Prints the version and ends; also -v' },
  {
    flag: '--ephemeral',
    default: '',
    range: '',
    meaning: 'A broker for one test, in memory, with a clock and faults that can be set over HTTP',
  },
  {
    flag: '--port',
    default: '0',
    range: '0 for any free ports, or 1 to 65533',
    meaning: 'With --ephemeral: the port of the JSON door; Kafka and HTTP have the two after it',
  },
  {
    flag: '--print-addresses',
    default: 'text',
    range: 'json or text',
    meaning: 'With --ephemeral: how the addresses are printed',
  },
]
