import { join } from 'node:path'
import { findProgram } from '../processes.ts'
import { PlainConnection } from '../wire.ts'
import { makeValue, type Contender } from './server.ts'

const INBOX = '_INBOX.bench'
const PRELUDE = `CONNECT {"verbose":false,"pedantic":false}\r\nSUB ${INBOX} 1\r\n`

/** NATS JetStream: one file-backed stream, everything else as it comes. */
export function natsJetStream(): Contender {
  const program = findProgram('nats-server')
  return {
    name: 'NATS JetStream',
    protocol: 'nats',
    missing: program ? undefined : 'not installed: apt-get install --no-install-recommends nats-server',
    command: (directory, port) => ({
      program: program ?? 'nats-server',
      arguments: ['-js', '-sd', join(directory, 'data'), '-a', '127.0.0.1', '-p', String(port)],
      environment: {},
    }),
    async publishFirst(port) {
      const create = JSON.stringify({ name: 'bench', subjects: ['bench'], storage: 'file' })
      const connection = await PlainConnection.open(port)
      try {
        await connection.exchange(
          `${PRELUDE}PUB $JS.API.STREAM.CREATE.bench ${INBOX} ${create.length}\r\n${create}\r\n`,
          findMessageEnd,
        )
        await connection.exchange(publishLine(100), findMessageEnd)
      } finally {
        connection.close()
      }
    },
    publishRequest: (_records, valueBytes) => ({ request: publishLine(valueBytes), prelude: Buffer.from(PRELUDE) }),
    async countRecords(port) {
      const connection = await PlainConnection.open(port)
      try {
        const answer = await connection.exchange(
          `${PRELUDE}PUB $JS.API.STREAM.INFO.bench ${INBOX} 0\r\n\r\n`,
          findMessageEnd,
        )
        return Number(/"messages":(\d+)/.exec(answer.toString())?.[1])
      } finally {
        connection.close()
      }
    },
  }
}

function publishLine(valueBytes: number): Buffer {
  return Buffer.concat([
    Buffer.from(`PUB bench ${INBOX} ${valueBytes}\r\n`),
    makeValue(valueBytes),
    Buffer.from('\r\n'),
  ])
}

/** The end of the first MSG in what was received, past the lines before it. */
function findMessageEnd(received: Buffer): number | undefined {
  const start = received.indexOf('MSG ')
  const lineEnd = received.indexOf('\r\n', start)
  if (start < 0 || lineEnd < 0) return undefined
  const line = received.toString('latin1', start, lineEnd)
  const end = lineEnd + 2 + Number(line.slice(line.lastIndexOf(' ') + 1)) + 2
  if (received.length < end) return undefined
  const payload = received.toString('latin1', lineEnd + 2, end - 2)
  if (payload.includes('"error"')) throw new Error(`JetStream refused: ${payload}`)
  return end
}
