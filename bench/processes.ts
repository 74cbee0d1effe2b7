import { spawn } from 'node:child_process'
import { openSync, closeSync, existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { cpus } from 'node:os'
import { delimiter, join } from 'node:path'

/** How to start a server. */
export interface Command {
  readonly program: string
  readonly arguments: readonly string[]
  readonly environment: Readonly<Record<string, string>>
}

/** A server that was started here, and that is stopped here, by its id. */
export interface ServerProcess {
  readonly pid: number
  /** Milliseconds of the monotonic clock just before the process was asked for. */
  readonly startedAt: number
  /** Why it is over, or undefined while it runs. */
  ended(): string | undefined
  /** Asks it to stop and waits; after ten seconds it is killed. */
  stop(): Promise<void>
  /** kill -9, and waits until it is gone. */
  kill(): Promise<void>
}

/** Starts a server whose output goes to `logPath`. */
export function startProcess(command: Command, logPath: string): ServerProcess {
  const log = openSync(logPath, 'a')
  const startedAt = performance.now()
  const child = spawn(command.program, command.arguments, {
    stdio: ['ignore', log, log],
    env: { ...process.env, ...command.environment },
  })
  closeSync(log)
  let ended: string | undefined
  const over = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      ended = error.message
      resolve()
    })
    child.once('exit', (code, signal) => {
      ended = `it ended with ${signal ?? `exit code ${code}`}: ${readTail(logPath)}`
      resolve()
    })
  })
  const endBy = async (signal: NodeJS.Signals) => {
    if (ended !== undefined) return
    child.kill(signal)
    const timeout = setTimeout(() => child.kill('SIGKILL'), 10_000)
    await over
    clearTimeout(timeout)
  }
  return {
    pid: child.pid ?? 0,
    startedAt,
    ended: () => ended,
    stop: () => endBy('SIGTERM'),
    kill: () => endBy('SIGKILL'),
  }
}

function readTail(path: string): string {
  return readFileSync(path, 'utf8').trim().slice(-600)
}

/** A TCP port of the loopback interface that nobody uses right now. */
export function findFreePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}

/** What a process has in memory (VmRSS) and the most it ever had (VmHWM), in bytes. Linux only. */
export function readMemory(pid: number): { residentBytes: number; peakBytes: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const read = (field: string) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024
  return { residentBytes: read('VmRSS'), peakBytes: read('VmHWM') }
}

/** How many files, sockets and the like a process has open. Linux only. */
export function countOpenFiles(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

/** How many cores of the machine are at work, measured for a second in which the caller does nothing. */
export async function measureBusyCores(): Promise<number> {
  const before = readCpuMs()
  await pause(1000)
  const after = readCpuMs()
  const share = (after.busy - before.busy) / Math.max(1, after.all - before.all)
  return share * cpus().length
}

function readCpuMs(): { busy: number; all: number } {
  const times = cpus().map((cpu) => cpu.times)
  const sum = (list: readonly number[]) => list.reduce((total, value) => total + value, 0)
  const all = sum(times.flatMap((one) => Object.values(one)))
  return { busy: all - sum(times.map((one) => one.idle)), all }
}

/** Where a program is, or undefined when it is not installed. System folders are looked into too. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/bin', '/usr/local/bin']
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path) && statSync(path).isFile())
}

/** A pause, for things that only time can bring: a process that settles, a port that opens. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds)
  })
}
