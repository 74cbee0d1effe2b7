import type { Command } from './command.ts'
import { printRows } from './output.ts'

export const version: Command = {
  name: 'version',
  summary: 'print the version',
  examples: [{ line: 'brokerctl version', does: 'of brokerctl and of Node.js' }],
  async run(session) {
    const row = { brokerctl: session.version, node: process.versions.node }
    if (session.output === 'table' || session.output === 'wide') {
      return session.write(`brokerctl ${row.brokerctl}  Node.js ${row.node}\n`)
    }
    const columns = [
      { title: 'brokerctl', value: (from: typeof row) => from.brokerctl },
      { title: 'node', value: (from: typeof row) => from.node },
    ]
    return printRows(session, [row], { columns, name: (from) => from.brokerctl, document: row })
  },
}
