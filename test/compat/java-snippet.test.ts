// The Java program in docs/protocol-kafka.md does what it says.
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { BrokerHome } from '../support/broker-process.ts'
import { findMissingJava, JVM_OPTIONS } from './java.ts'

const RUN_MS_MAX = 60_000

const missing = findMissingJava()
if (missing !== undefined) process.stderr.write(`test/compat/java-snippet.test.ts is skipped: ${missing}\n`)

test.skipIf(missing !== undefined)(
  'the program in the document produces and consumes',
  async () => {
    const document = readFileSync(new URL('../../docs/protocol-kafka.md', import.meta.url), 'utf8')
    const [, program] = /^```java\n([^]*?)^```$/m.exec(document) ?? []
    const directory = mkdtempSync(join(tmpdir(), 'cafelog-java-'))
    const home = new BrokerHome()
    try {
      const broker = await home.start()
      const file = join(directory, 'Orders.java')
      writeFileSync(file, program.replaceAll('localhost:9092', `127.0.0.1:${broker.kafkaPort}`))
      const { stdout } = await promisify(execFile)('java', [...JVM_OPTIONS, file], { timeout: RUN_MS_MAX })
      expect(stdout).toBe('stored at offset 0\ntable-4 wants flat white\n')
      await broker.stop()
    } finally {
      await home.remove()
      rmSync(directory, { recursive: true, force: true })
    }
  },
  RUN_MS_MAX,
)
