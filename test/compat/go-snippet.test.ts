// The program for Go in docs/protocol-kafka.md does what it says.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { BrokerHome } from '../support/broker-process.ts'
import { agentNamed } from './agents.ts'

const RUN_MS_MAX = 180_000
/** Where the library is that the program imports. */
const MODULE = fileURLToPath(new URL('clients/go/', import.meta.url))

test(
  'the program for Go produces and consumes',
  async ({ skip }) => {
    const { missing } = agentNamed('franz-go')
    if (missing !== undefined) skip(missing)
    const directory = mkdtempSync(join(tmpdir(), 'cafelog-snippet-'))
    const home = new BrokerHome()
    try {
      const broker = await home.start()
      const page = readFileSync(new URL('../../docs/protocol-kafka.md', import.meta.url), 'utf8')
      const [, source] = /^```go\n([^]*?)^```$/m.exec(page) ?? []
      const file = join(directory, 'orders.go')
      writeFileSync(file, source.replaceAll('localhost:9092', `127.0.0.1:${broker.kafkaPort}`))
      const { stdout } = await promisify(execFile)('go', ['run', file], { cwd: MODULE, timeout: RUN_MS_MAX })
      expect(stdout).toBe('stored at offset 0\ntable-4 wants flat white\n')
    } finally {
      await home.remove()
      rmSync(directory, { recursive: true })
    }
  },
  RUN_MS_MAX,
)
