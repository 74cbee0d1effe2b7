import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Where libfaketime may be: Debian's folder has the architecture in its name. */
function findLibrary(): string | undefined {
  const folders = ['/usr/lib', '/usr/lib64', '/usr/local/lib']
  const underLib = existsSync('/usr/lib') ? readdirSync('/usr/lib').filter((name) => name.endsWith('-linux-gnu')) : []
  const all = [...folders, ...underLib.map((name) => join('/usr/lib', name))]
  return all.map((folder) => join(folder, 'faketime/libfaketimeMT.so.1')).find((path) => existsSync(path))
}

/** Why no process here can be given another time, and what would help; undefined when it can. */
export function missingFakeTime(): string | undefined {
  const library = findLibrary()
  if (library === undefined) return 'needs libfaketime (Debian package faketime)'
  const environment = { ...process.env, LD_PRELOAD: library, FAKETIME: '-100d' }
  const { stdout } = spawnSync(process.execPath, ['-p', 'Date.now()'], { env: environment, encoding: 'utf8' })
  const isFaked = Math.abs(Number(stdout) + 100 * 86_400_000 - Date.now()) < 60_000
  return isFaked ? undefined : 'needs a Node.js whose time libfaketime can change: this one does not ask the C library'
}

/** The wall clock of processes, as it can be moved while they run. Time that passes, for timers and waits, stays true. */
export class FakeTime {
  readonly #path: string
  #offsetMs = 0

  constructor(directory: string) {
    this.#path = join(directory, 'wall-clock')
    this.moveTo(0)
  }

  /** What the processes need in their environment. */
  get environment(): Record<string, string> {
    return {
      LD_PRELOAD: findLibrary() ?? '',
      FAKETIME_TIMESTAMP_FILE: this.#path,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      NO_FAKE_STAT: '1',
    }
  }

  /** From now on their wall clock is this far ahead of the true one, whole seconds. */
  moveTo(offsetMs: number): void {
    this.#offsetMs = offsetMs
    // As a whole: a process that finds half a file would take the true time for a moment.
    writeFileSync(`${this.#path}.new`, `${offsetMs < 0 ? '-' : '+'}${Math.abs(offsetMs / 1000)}\n`)
    renameSync(`${this.#path}.new`, this.#path)
  }

  /** What their wall clock says. */
  now(): number {
    return Date.now() + this.#offsetMs
  }
}
