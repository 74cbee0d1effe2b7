import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'

import { rolldown } from 'rolldown'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/**
 * Starts a TypeScript source file of this repository as a process of its own, without a build: for tests that kill it.
 * `prefix` is put before the call of node, such as `['bash', '-c', 'ulimit -f 100; exec "$@"', '--']`.
 */
export async function startSource(
  file: string,
  args: readonly string[],
  prefix: readonly string[] = [],
): Promise<ChildProcess> {
  const bundle = await rolldown({
    input: `${ROOT}/${file}`,
    platform: 'node',
    external: [/^node:/, 'lmdb', '@node-rs/crc32'],
    logLevel: 'silent',
  })
  const { output } = await bundle.generate({ format: 'esm', codeSplitting: false })
  await bundle.close()
  const [command, ...words] = [...prefix, process.execPath, '--input-type=module', '-', ...args]
  const child = spawn(command, words, { cwd: ROOT, stdio: ['pipe', 'pipe', 'pipe'] })
  child.stdin.end(output[0].code)
  return child
}
