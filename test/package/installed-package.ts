import { execFile, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startLocalRegistry } from './local-registry.ts'

export const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** How a program ended, and what it said. */
export interface Ended {
  readonly code: number | string | null
  readonly stdout: string
  readonly stderr: string
}

/** A project that has installed the package from its tarball, and has nothing else. */
export interface InstalledPackage {
  readonly directory: string
  /** The paths in the tarball, and how many bytes it has packed and unpacked. */
  readonly tarball: { readonly files: readonly string[]; readonly bytes: number; readonly unpackedBytes: number }
  /** Runs a program in the project. */
  run(command: string, ...args: string[]): Promise<Ended>
  /** Writes a file of the project. */
  write(path: string, text: string): void
  remove(): void
}

/** What is needed and is not there; undefined when all is. */
export function missingTools(): string | undefined {
  const missing = ['npm', 'tar'].filter((tool) => spawnSync(tool, ['--version']).status !== 0)
  return missing.length === 0 ? undefined : `${missing.join(' and ')} is not installed`
}

/** Packs the checkout as it is built, and lets npm install the tarball, and `more`, into an empty project. */
export async function installPackage(...more: string[]): Promise<InstalledPackage> {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'cafelog-package-')))
  const run = (command: string, ...args: string[]) => execute(command, args, directory)
  const registry = await startLocalRegistry(realpathSync(join(ROOT, 'node_modules', '..')))
  try {
    const flags = ['--ignore-scripts', '--cache', join(directory, 'npm-cache'), '--registry', registry.url]
    const packing = await execute('npm', ['pack', ROOT, '--json', '--pack-destination', directory, ...flags], ROOT)
    if (packing.code !== 0) throw new Error(`npm pack: ${packing.stderr}`)
    const [packed] = JSON.parse(packing.stdout) as [
      { filename: string; size: number; unpackedSize: number; files: { path: string }[] },
    ]
    writeFileSync(join(directory, 'package.json'), '{ "private": true }\n')
    const installing = await run('npm', 'install', `./${packed.filename}`, ...more, ...flags)
    if (installing.code !== 0) throw new Error(`npm install: ${installing.stderr}`)
    return {
      directory,
      tarball: {
        files: packed.files.map(({ path }) => path),
        bytes: packed.size,
        unpackedBytes: packed.unpackedSize,
      },
      run,
      write(path, text) {
        mkdirSync(join(directory, path, '..'), { recursive: true })
        writeFileSync(join(directory, path), text)
      },
      remove: () => rmSync(directory, { recursive: true, force: true }),
    }
  } catch (error) {
    rmSync(directory, { recursive: true, force: true })
    throw error
  } finally {
    registry.close()
  }
}

/** Runs a program to its end, without the settings that the test itself was started with. */
export function execute(command: string, args: readonly string[], cwd: string): Promise<Ended> {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_|^cafelog_|^vitest|^node_options$|_proxy$/i.test(name)),
  )
  return new Promise((resolve) => {
    execFile(command, args, { cwd, env, timeout: 60_000, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : (error.code ?? error.signal ?? null), stdout, stderr }),
    )
  })
}
