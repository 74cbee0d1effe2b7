// scripts/benchmark/load-test.sh: load on a running broker at a fixed rate, and how long the answers took.
import { HELP, parseLoadCommand } from './load/options.ts'
import { runLoadTest } from './load/run.ts'

// Whoever closes the pipe early (`| head`) has seen enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))

const command = parseLoadCommand(process.argv.slice(2), process.env)
if (command.kind === 'help') {
  process.stdout.write(HELP)
} else if (command.kind === 'refused') {
  process.stderr.write(
    `✗ ${command.message}\n  All options:  ./scripts/benchmark/load-test.sh --help\n  code USAGE (exit 2)\n`,
  )
  process.exitCode = 2
} else {
  const interrupt = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (interrupt.signal.aborted) process.exit(130)
      interrupt.abort()
    })
  }
  process.exitCode = await runLoadTest(command.options, {
    writeOut: (text) => process.stdout.write(text),
    writeError: (text) => process.stderr.write(text),
    isTerminal: process.stderr.isTTY,
    signal: interrupt.signal,
  })
  // The pacer's thread and a second Ctrl-C's handler have nothing left to wait for.
  process.stdout.write('', () => process.exit())
}
