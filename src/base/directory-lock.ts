import { randomBytes } from 'node:crypto'
import * as fs from 'node:fs'
import * as net from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Clock } from './clock.ts'

// An exclusive lock on a data directory, without native code, that a killed process cannot leave behind.
//
// Whoever wants the directory listens on a Unix socket of its own, `<directory>/@lock/<random name>`, and only then looks
// at the others there. A socket that nobody listens on refuses connections, at once and for certain, also after kill -9
// or a crash of the machine; its file is removed, which is safe because no name is ever used twice. (With one fixed
// name, two that find it stale would take turns removing each other's fresh socket.) One that is alive answers, a line
// each: `trying` if it has not decided yet, then, as soon as it holds, who it is.
//
//   the other one               what I do
//   ────────────────────────    ──────────────────────────────────────────────────────────────────────────
//   holds                       give up
//   tries, name before mine     give up: it has precedence
//   tries, name after mine      wait for its decision: it gives up if it has seen me, and holds if it has not
//   is dead, or gives up        go on
//
// Of two that both hold, one would have looked when the other was listening already, and no row lets it hold then. Of
// those that start at the same moment, the one with the first name gives up for nobody that only tries: one wins.

const FOLDER = '@lock'
const TRYING = 'trying\n'
/** The system's limit for the path of a socket is 108 bytes on Linux and 104 elsewhere, with the zero at the end. */
const SOCKET_PATH_BYTES_MAX = 103
/** How long to wait for a process that is alive but says nothing: it may have been stopped by SIGSTOP or a debugger. */
const ANSWER_TIMEOUT_MS = 2000
const ANSWER_CHARACTERS_MAX = 4096
/** What `listen` fails with on a file system that has no sockets, such as some that are shared with a virtual machine. */
const NO_SOCKETS = new Set(['ENOTSUP', 'EOPNOTSUPP', 'EPERM', 'EINVAL', 'ENOSYS'])

/** Who holds a directory, as it says itself. */
export interface LockHolder {
  /** As seen from within its container, if it runs in one. */
  readonly pid: number
  readonly host: string
  /** ISO 8601. */
  readonly startedAt: string
}

/** Another process is using the directory. */
export class DirectoryInUseError extends Error {
  override readonly name = 'DirectoryInUseError'
  readonly directory: string
  /** Undefined when it did not say who it is. */
  readonly holder: LockHolder | undefined

  constructor(directory: string, holder: LockHolder | undefined) {
    const who =
      holder === undefined
        ? 'another process, which does not say who it is'
        : `process ${holder.pid} on ${holder.host}, started at ${holder.startedAt}`
    super(`Cannot use the data directory ${JSON.stringify(directory)}: it is in use by ${who}`)
    this.directory = directory
    this.holder = holder
  }
}

/** A directory that is ours until `release`, or until the process ends in whatever way. */
export class DirectoryLock {
  readonly #folder: SocketFolder
  readonly #name: string
  readonly #server: net.Server
  /** The connections of those who ask. */
  readonly #asking = new Set<net.Socket>()
  #isBesideTheFolder = false
  #answer: string | undefined

  private constructor(directory: string) {
    this.#folder = new SocketFolder(directory)
    this.#name = randomBytes(8).toString('hex')
    this.#server = net.createServer((socket) => this.#receive(socket))
  }

  /**
   * Takes the lock. The directory must exist.
   *
   * @throws DirectoryInUseError if another process has it, or wants it at the same moment and comes first
   */
  static async take(directory: string, clock: Clock): Promise<DirectoryLock> {
    fs.mkdirSync(join(directory, FOLDER), { recursive: true, mode: 0o750 })
    const lock = new DirectoryLock(directory)
    try {
      await lock.#enter(directory, clock)
      for (const other of lock.#folder.names()) {
        if (other !== lock.#name) await lock.#meet(other, directory, clock)
      }
    } catch (error) {
      await lock.release()
      throw error
    }
    lock.#hold({ pid: process.pid, host: hostname(), startedAt: new Date(clock.now()).toISOString() })
    return lock
  }

  /** Whether others can see that we have it; not if somebody has tidied up the directory behind our back. */
  isHeld(): boolean {
    return this.#isBesideTheFolder || this.#folder.names().includes(this.#name)
  }

  /** Lets others have the directory. */
  async release(): Promise<void> {
    for (const socket of this.#asking) socket.destroy()
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve())
    })
    this.#folder.close()
  }

  async #enter(directory: string, clock: Clock): Promise<void> {
    try {
      await this.#listen(this.#folder.pathOf(this.#name))
    } catch (error) {
      if (process.platform !== 'linux' || !NO_SOCKETS.has(codeOf(error) ?? '')) throw error
      await this.#enterBesideTheFolder(directory, clock)
    }
  }

  // Linux also has sockets with a name and no file. There is one for each directory, so the first to listen has it and
  // nothing is ever left over; but only processes of the same network namespace see it, hence the folder where possible.
  async #enterBesideTheFolder(directory: string, clock: Clock): Promise<void> {
    const path = this.#folder.abstractPath()
    try {
      await this.#listen(path)
    } catch (error) {
      if (codeOf(error) !== 'EADDRINUSE') throw error
      throw new DirectoryInUseError(directory, holderIn(await ask(path, clock, 'decision')))
    }
    this.#isBesideTheFolder = true
  }

  async #meet(other: string, directory: string, clock: Clock): Promise<void> {
    const answer = await ask(this.#folder.pathOf(other), clock, other < this.#name ? 'state' : 'decision')
    if (answer === 'dead') this.#folder.remove(other)
    else if (answer !== 'gone') throw new DirectoryInUseError(directory, holderIn(answer))
  }

  #listen(path: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      // Everybody may ask: otherwise an ordinary user could not tell a dead socket that root has left from a live one.
      const hasFile = !path.startsWith('\0')
      this.#server.listen({ path, readableAll: hasFile, writableAll: hasFile }, () => {
        this.#server.off('error', reject)
        // One that cannot be accepted, for lack of file descriptors say, is connected all the same and sees us alive.
        this.#server.on('error', () => {})
        this.#server.unref()
        resolve()
      })
    })
  }

  #receive(socket: net.Socket): void {
    socket.on('error', () => {})
    socket.unref()
    this.#asking.add(socket)
    socket.once('close', () => this.#asking.delete(socket))
    if (this.#answer === undefined) socket.write(TRYING)
    else socket.end(this.#answer)
  }

  #hold(holder: LockHolder): void {
    this.#answer = `${JSON.stringify(holder)}\n`
    for (const socket of this.#asking) socket.end(this.#answer)
  }
}

/**
 * Who holds the directory, or undefined if nobody does. Changes nothing. For tools that want a stopped broker's files.
 *
 * @throws DirectoryInUseError if somebody does but does not say who
 */
export async function findLockHolder(directory: string, clock: Clock): Promise<LockHolder | undefined> {
  if (!fs.existsSync(join(directory, FOLDER))) return undefined
  const folder = new SocketFolder(directory)
  try {
    const paths = folder.names().map((name) => folder.pathOf(name))
    if (process.platform === 'linux') paths.push(folder.abstractPath())
    for (const path of paths) {
      const answer = await ask(path, clock, 'decision')
      if (answer === 'silent') throw new DirectoryInUseError(directory, undefined)
      const holder = holderIn(answer)
      if (holder !== undefined) return holder
    }
    return undefined
  } finally {
    folder.close()
  }
}

/** The sockets of all who hold or want one directory. */
class SocketFolder {
  readonly #path: string
  /** A path that is too long for a socket is reached through the open folder, where the system has /proc. */
  readonly #descriptor: number | undefined

  constructor(directory: string) {
    this.#path = join(directory, FOLDER)
    if (Buffer.byteLength(join(this.#path, '0123456789abcdef')) <= SOCKET_PATH_BYTES_MAX) return
    if (!fs.existsSync('/proc/self/fd')) {
      throw new Error(`Cannot lock the data directory ${JSON.stringify(directory)}: its path is too long for a socket`)
    }
    this.#descriptor = fs.openSync(this.#path, fs.constants.O_RDONLY)
  }

  pathOf(name: string): string {
    return join(this.#descriptor === undefined ? this.#path : `/proc/self/fd/${this.#descriptor}`, name)
  }
  abstractPath(): string {
    const { dev, ino } = fs.statSync(this.#path, { bigint: true })
    return `\0cafelog-lock:${dev}:${ino}`
  }
  names(): string[] {
    return fs.readdirSync(this.#path).filter((name) => /^[0-9a-f]{16}$/.test(name))
  }
  remove(name: string): void {
    try {
      fs.unlinkSync(join(this.#path, name))
    } catch {
      // It is dead either way; left where it is, it costs the next one a connection.
    }
  }
  close(): void {
    if (this.#descriptor !== undefined) fs.closeSync(this.#descriptor)
  }
}

/** `dead`: nobody listens. `gone`: it was alive and has given up. `silent`: it is alive and says nothing. */
type Answer = LockHolder | 'trying' | 'dead' | 'gone' | 'silent'

const ANSWER_OF_ERROR: Record<string, Answer | undefined> = {
  ECONNREFUSED: 'dead',
  ENOENT: 'dead',
  // It stopped listening before, or while, it talked to us.
  ECONNRESET: 'gone',
  EPIPE: 'gone',
}

/** Asks whoever listens at `path`; with `decision`, `trying` is not an answer. */
function ask(path: string, clock: Clock, question: 'state' | 'decision'): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = net.connect({ path })
    let text = ''
    const timer = clock.setTimer(ANSWER_TIMEOUT_MS, () => finish('silent'))
    function finish(answer: Answer) {
      timer.cancel()
      resolve(answer)
      socket.destroy()
    }
    socket.setEncoding('utf8')
    socket.on('data', (piece: string) => {
      text += piece
      if (text.length > ANSWER_CHARACTERS_MAX) finish('silent')
      else if (text === TRYING && question === 'state') finish('trying')
    })
    socket.on('end', () => finish(parseHolder(text) ?? 'gone'))
    socket.on('error', (error) => finish(ANSWER_OF_ERROR[codeOf(error) ?? ''] ?? 'silent'))
  })
}

function parseHolder(text: string): LockHolder | undefined {
  const line = text.startsWith(TRYING) ? text.slice(TRYING.length) : text
  if (!line.endsWith('\n')) return undefined
  try {
    const { pid, host, startedAt } = JSON.parse(line) as Record<string, unknown>
    if (typeof pid === 'number' && typeof host === 'string' && typeof startedAt === 'string') {
      return { pid, host, startedAt }
    }
  } catch {
    // Not one of ours.
  }
  return undefined
}

function holderIn(answer: Answer): LockHolder | undefined {
  return typeof answer === 'object' ? answer : undefined
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}
