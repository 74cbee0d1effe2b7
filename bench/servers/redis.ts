import { findProgram } from '../processes.ts'
import { PlainConnection } from '../wire.ts'
import { makeValue, type Contender } from './server.ts'

/** Redis Streams, append-only file synced every second. Snapshots are off: they would only slow it down. */
export function redisStreams(): Contender {
  const program = findProgram('redis-server')
  return {
    name: 'Redis Streams',
    protocol: 'redis',
    missing: program ? undefined : 'not installed: apt-get install --no-install-recommends redis-server',
    command: (directory, port) => ({
      program: program ?? 'redis-server',
      arguments: [
        `--port ${port}`,
        '--bind 127.0.0.1',
        `--dir "${directory}"`,
        '--appendonly yes',
        '--appendfsync everysec',
        '--save ""',
      ],
      environment: {},
    }),
    publishFirst: async (port) => {
      await ask(port, encodeCommand('XADD', 'bench', '*', 'v', makeValue(100)))
    },
    publishRequest: (_records, valueBytes) => ({
      request: encodeCommand('XADD', 'bench', '*', 'v', makeValue(valueBytes)),
      prelude: undefined,
    }),
    countRecords: async (port) => Number((await ask(port, encodeCommand('XLEN', 'bench'))).slice(1)),
  }
}

function encodeCommand(...words: (string | Buffer)[]): Buffer {
  const parts = words.flatMap((word) => [Buffer.from(`$${word.length}\r\n`), Buffer.from(word), Buffer.from('\r\n')])
  return Buffer.concat([Buffer.from(`*${words.length}\r\n`), ...parts])
}

/** The first line of the answer, which must not be an error. */
async function ask(port: number, command: Buffer): Promise<string> {
  const connection = await PlainConnection.open(port)
  try {
    const answer = await connection.exchange(command, (received) => {
      const end = received.indexOf('\r\n')
      return end < 0 ? undefined : end + 2
    })
    const line = answer.toString().trim()
    if (line.startsWith('-')) throw new Error(`Redis refused: ${line}`)
    return line
  } finally {
    connection.close()
  }
}
