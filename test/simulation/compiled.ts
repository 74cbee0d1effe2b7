import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const ROOT = new URL('../..', import.meta.url).pathname

/** The simulation and the part of the broker that it runs, compiled into a directory of its own. */
export interface CompiledSimulation {
  readonly directory: string
  /** The program, for `node`. */
  readonly main: string
  remove(): void
}

/**
 * Compiles the simulation from the sources as they are. It runs in processes of its own: an engine that was killed in
 * the middle of something leaves promises behind that nobody waits for, and a test runner would take them amiss.
 */
export function compileSimulation(): CompiledSimulation {
  const directory = mkdtempSync(join(tmpdir(), 'cafelog-simulation-'))
  const config = {
    extends: join(ROOT, 'tsconfig.build.json'),
    compilerOptions: {
      rootDir: ROOT,
      outDir: directory,
      incremental: false,
      declaration: false,
      sourceMap: false,
      tsBuildInfoFile: null,
      types: ['node'],
      typeRoots: [join(ROOT, 'node_modules/@types')],
    },
    include: [join(ROOT, 'test/simulation/main.ts')],
  }
  writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify(config))
  writeFileSync(join(directory, 'package.json'), JSON.stringify({ type: 'module' }))
  symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'))
  const main = join(directory, 'test/simulation/main.js')
  const remove = () => rmSync(directory, { recursive: true, force: true })
  try {
    execFileSync(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', directory], { stdio: 'pipe' })
  } catch (error) {
    const { stdout } = error as { stdout?: Buffer }
    remove()
    throw new Error(`The simulation does not compile:\n${String(stdout)}`, { cause: error })
  }
  if (!existsSync(main)) throw new Error(`The compiler did not write ${main}`)
  return { directory, main, remove }
}
