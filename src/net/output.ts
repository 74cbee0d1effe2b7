import type { Socket } from 'node:net'
import type { Lent } from './protocol.ts'

/** One flush that the socket has not confirmed. */
interface Flush {
  readonly bytes: number
  readonly owners: readonly Lent[] | undefined
}

/** Written behind a flush that the kernel did not take at once: its callback tells when it has. */
const NOTHING = Buffer.alloc(0)

/**
 * The answers of one connection on their way out: collected during a turn, given to the socket in one write, counted
 * until the kernel has taken them.
 */
export class Output {
  readonly #socket: Socket
  readonly #onSent: () => void
  #text = ''
  #pieces: (Buffer | string)[] | undefined
  #owners: Lent[] | undefined
  #collectedBytes = 0
  #queuedBytes = 0
  #flushes: Flush[] = []

  /** `onSent` is called whenever the kernel has taken a flush. */
  constructor(socket: Socket, onSent: () => void) {
    this.#socket = socket
    this.#onSent = onSent
  }

  /** Bytes that were added and that the kernel has not taken. */
  get queuedBytes(): number {
    return this.#queuedBytes
  }

  /** Whether anything waits for `flush`. */
  get isEmpty(): boolean {
    return this.#collectedBytes === 0
  }

  /** Whether the kernel still has to take something that was flushed. */
  get isSending(): boolean {
    return this.#flushes.length > 0
  }

  addText(text: string): void {
    this.#text += text
    this.#collectedBytes += text.length
    this.#queuedBytes += text.length
  }

  addBytes(bytes: Buffer, owner: Lent | undefined): void {
    this.#pieces ??= []
    if (this.#text !== '') this.#pieces.push(this.#text)
    this.#text = ''
    this.#pieces.push(bytes)
    if (owner !== undefined) {
      this.#owners ??= []
      this.#owners.push(owner)
    }
    this.#collectedBytes += bytes.length
    this.#queuedBytes += bytes.length
  }

  /** Gives everything collected to the socket. */
  flush(): void {
    if (this.isEmpty) return
    const text = this.#text
    const pieces = this.#pieces
    const owners = this.#owners
    const bytes = this.#collectedBytes
    this.#text = ''
    this.#pieces = undefined
    this.#owners = undefined
    this.#collectedBytes = 0
    if (pieces === undefined) {
      this.#socket.write(text, 'latin1')
    } else {
      if (text !== '') pieces.push(text)
      if (pieces.length === 1) this.#write(pieces[0])
      else {
        this.#socket.cork()
        for (const piece of pieces) this.#write(piece)
        this.#socket.uncork()
      }
    }
    // The kernel nearly always takes everything at once, and a callback with each write would cost as much as the write.
    if (this.#socket.writableLength === 0) return this.#confirm(bytes, owners)
    this.#flushes.push({ bytes, owners })
    this.#socket.write(NOTHING, this.#sent)
  }

  /** Gives everything back that was lent: the socket is gone. */
  drop(): void {
    const owners = [...(this.#owners ?? []), ...this.#flushes.flatMap((flush) => flush.owners ?? [])]
    this.#owners = undefined
    this.#flushes = []
    this.#text = ''
    this.#pieces = undefined
    this.#collectedBytes = 0
    this.#queuedBytes = 0
    for (const owner of owners) owner.release()
  }

  #write(piece: Buffer | string): void {
    if (typeof piece === 'string') this.#socket.write(piece, 'latin1')
    else this.#socket.write(piece)
  }

  // The socket confirms writes in their order.
  readonly #sent = () => {
    const flush = this.#flushes.shift()
    if (flush !== undefined) this.#confirm(flush.bytes, flush.owners)
  }

  #confirm(bytes: number, owners: readonly Lent[] | undefined): void {
    this.#queuedBytes -= bytes
    if (owners !== undefined) for (const owner of owners) owner.release()
    this.#onSent()
  }
}
