import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import type { Command } from './command.ts'
import { usageFailure } from './failure.ts'

const SHELLS = ['bash', 'zsh', 'fish', 'powershell']

/** The script wants a function of the package bash-completion, which is not everywhere. */
const BASH_PRELUDE = `if ! declare -F _get_comp_words_by_ref >/dev/null; then
  _get_comp_words_by_ref() {
    words=("\${COMP_WORDS[@]}")
    cword=$COMP_CWORD
    cur=\${COMP_WORDS[COMP_CWORD]}
    prev=\${COMP_WORDS[COMP_CWORD - 1]}
  }
fi
`

export const completion: Command = {
  name: 'completion',
  summary: 'print the completion script of a shell',
  details: ['It completes commands and options, and the names of topics and groups as the broker has them.'],
  arguments: [{ name: 'SHELL', description: 'bash, zsh, fish or powershell' }],
  examples: [
    { line: 'source <(brokerctl completion bash)', does: 'in this shell; put it into ~/.bashrc for all' },
    { line: 'source <(brokerctl completion zsh)', does: 'in this shell; put it into ~/.zshrc for all' },
    { line: 'brokerctl completion fish > ~/.config/fish/completions/brokerctl.fish', does: 'for every shell' },
  ],
  async run(session, [shell = '']) {
    if (!SHELLS.includes(shell)) throw usageFailure(`Cannot complete in ${JSON.stringify(shell)}: ${SHELLS.join(', ')}`)
    const { script } = await import('@bomb.sh/tab')
    const write = console.log
    let text = ''
    // The library prints; what it prints has to be looked over.
    console.log = (part: string) => (text += `${part}\n`)
    try {
      script(shell, 'brokerctl', callOf(session.env['PATH'] ?? ''))
    } finally {
      console.log = write
    }
    // Read a second time, `readonly` would fail on every line.
    return session.write((shell === 'bash' ? BASH_PRELUDE : '') + text.replaceAll(/^readonly /gm, ''))
  },
}

/** How the script calls this program: by name where the shell finds it, else by its place. */
function callOf(path: string): string {
  const isOnPath = path.split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, 'brokerctl'), constants.X_OK)
      return folder !== ''
    } catch {
      return false
    }
  })
  return isOnPath ? 'brokerctl' : [process.execPath, process.argv[1] ?? ''].map(quote).join(' ')
}

function quote(word: string): string {
  return /^[\w./@:+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
