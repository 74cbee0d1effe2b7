import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * The checkout's own folder, from wherever in it the program runs (`bench/` or `dist/bench/`).
 *
 * @throws if there is no package.json above
 */
export function findProjectRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder)
    if (parent === folder) throw new Error('Cannot find the project: no package.json above the benchmark')
    folder = parent
  }
  return folder
}
