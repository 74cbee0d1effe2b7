import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** System calls to watch, and what is to happen to them. */
export interface Tampering {
  /** Only calls for this file or directory; it need not be there yet. */
  readonly path?: string
  readonly calls: string
  /** As strace writes it: `error=EIO:when=3`, `retval=1:when=2`, `delay_enter=200ms:when=1+`, `signal=KILL:when=3`. */
  readonly inject: string
  /** Where the calls are listed, one a line; nowhere when it is not said. */
  readonly log?: string
}

/** Why no system call can be made to fail here, and what would help; undefined when it can. */
export function missingStrace(): string | undefined {
  const { error, status, stderr } = spawnSync('strace', [...prefixOf([]), 'true'], { encoding: 'utf8' })
  if (error !== undefined) return 'needs strace (Debian package strace)'
  if (status !== 0) return `needs the right to trace processes: ${stderr.trim()}`
  return undefined
}

/**
 * What to put before the call of node. With `-D` strace is a grandchild, so that the process that was started is the broker
 * itself. Every thread counts its calls for itself: where the pool makes them and they are counted, it must have one thread
 * only (`ONE_THREAD`).
 */
export function tamper(...tamperings: readonly Tampering[]): readonly string[] {
  return ['strace', ...prefixOf(tamperings)]
}

/** Environment for a pool with one thread. */
export const ONE_THREAD = { UV_THREADPOOL_SIZE: '1' }

/** The calls that were listed, of all threads, in the order in which they began. */
export function readCalls(log: string): string[] {
  return readFileSync(log, 'utf8').split('\n').slice(0, -1)
}

function prefixOf(tamperings: readonly Tampering[]): string[] {
  const calls = tamperings.map((tampering) => tampering.calls)
  const words = ['-D', '-f', '-qq', '-e', 'signal=none', '-e', `trace=${calls.length === 0 ? 'none' : calls.join(',')}`]
  // It lets all other calls run at full speed, and loses signals.
  if (!tamperings.some(({ inject }) => inject.startsWith('signal'))) words.push('--seccomp-bpf')
  for (const { path, inject, calls: tampered } of tamperings) {
    if (path !== undefined) words.push('-P', path)
    words.push('-e', `inject=${tampered}:${inject}`)
  }
  words.push('-o', tamperings.find(({ log }) => log !== undefined)?.log ?? '/dev/null')
  return words
}
