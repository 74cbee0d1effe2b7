import type { ChildProcess } from 'node:child_process'
import { execFile, execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** The kinds of file system, with the smallest size that makes sense and what makes one. */
const KINDS = {
  ext4: { mib: 128, command: 'mkfs.ext4', args: ['-q', '-F'], package: 'e2fsprogs' },
  // No version of mkfs.xfs makes a smaller one.
  xfs: { mib: 320, command: 'mkfs.xfs', args: ['-q', '-f'], package: 'xfsprogs' },
} as const
export type FileSystemKind = keyof typeof KINDS

/** Where root finds these tools, whatever its PATH is. */
const environment = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` }

/**
 * A real file system in a file, on a loop device, whose power can be cut: the kernel lets everything fall that has not
 * reached the device, as a machine that loses its power would. (What the device itself keeps in a cache of its own is
 * not covered.) Only root may; `missing` says what there is not.
 */
export class LoopDisk {
  /** Where it is mounted. */
  readonly path: string
  readonly #directory: string
  readonly #image: string
  #isMounted = false
  readonly #guard: Guard

  constructor(kind: FileSystemKind, mib: number = KINDS[kind].mib) {
    this.#directory = mkdtempSync(join(tmpdir(), 'cafelog-disk-'))
    this.#image = join(this.#directory, 'image')
    this.path = join(this.#directory, 'mnt')
    this.#guard = new Guard(this.path, this.#directory)
    mkdirSync(this.path)
    writeFileSync(this.#image, '')
    truncateSync(this.#image, mib * 1024 * 1024)
    run(KINDS[kind].command, ...KINDS[kind].args, this.#image)
  }

  /** Why there can be no such disk here, and what would help; undefined when there can. */
  static missing(kind: FileSystemKind, { toCut }: { readonly toCut: boolean }): string | undefined {
    if (process.getuid?.() !== 0) return 'needs root, to mount a file system of its own'
    if (!existsSync('/dev/loop-control')) return 'needs loop devices (/dev/loop-control)'
    if (!isThere(KINDS[kind].command)) return `needs ${KINDS[kind].command} (Debian package ${KINDS[kind].package})`
    if (toCut && !isThere('xfs_io')) return 'needs xfs_io, which can shut a file system down (Debian package xfsprogs)'
    let disk: LoopDisk | undefined
    try {
      disk = new LoopDisk(kind)
      disk.mount()
      return undefined
    } catch (error) {
      const { stderr } = error as { readonly stderr?: Buffer }
      return `needs the right to mount a ${kind} file system: ${String(stderr ?? error).trim()}`
    } finally {
      disk?.remove()
    }
  }

  mount(options: readonly string[] = []): void {
    run('mount', '-o', ['loop', ...options].join(','), this.#image, this.path)
    this.#isMounted = true
  }

  /** Cuts the power: nothing reaches the disk from now on, and everybody who asks for it is told so. */
  async cut(): Promise<void> {
    await promisify(execFile)('xfs_io', ['-x', '-c', 'shutdown', this.path], { env: environment })
  }

  unmount(): void {
    run('umount', this.path)
    this.#isMounted = false
  }

  /** Unmounts it, even if somebody still uses it, and removes everything. */
  remove(): void {
    this.#guard.dismiss()
    if (this.#isMounted) run('umount', '-l', this.path)
    this.#isMounted = false
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

/** A file system in memory of so many MiB; undefined where we may not mount one. Whoever calls unmounts it. */
export function mountTmpfs(mib: number): { readonly path: string; unmount(): void } | undefined {
  const path = mkdtempSync(join(tmpdir(), 'cafelog-disk-'))
  const removeDirectory = () => rmSync(path, { recursive: true, force: true })
  try {
    run('mount', '-t', 'tmpfs', '-o', `size=${mib}m`, 'cafelog-test', path)
  } catch {
    removeDirectory()
    return undefined
  }
  const guard = new Guard(path, path)
  const unmount = () => {
    guard.dismiss()
    run('umount', '-l', path)
    removeDirectory()
  }
  return { path, unmount }
}

/**
 * Unmounts and removes what is left when this process ends, in whatever way: a test that is broken off must leave no mount
 * behind. It is a shell of its own that waits for the end of its input, which not even kill -9 can keep from it.
 */
class Guard {
  readonly #shell: ChildProcess

  constructor(mountPoint: string, directory: string) {
    const script = 'read -r nothing; umount -l "$1"; rm -rf --one-file-system "$2"'
    this.#shell = spawn('sh', ['-c', script, 'guard', mountPoint, directory], {
      env: environment,
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
    })
    this.#shell.unref()
  }

  dismiss(): void {
    this.#shell.kill('SIGKILL')
    this.#shell.stdin?.destroy()
  }
}

function isThere(command: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${command}`], { env: environment }).status === 0
}

/** Runs a tool; its complaint is in the error. */
function run(command: string, ...args: readonly string[]): void {
  execFileSync(command, args, { env: environment, stdio: ['ignore', 'ignore', 'pipe'] })
}
