import type { Socket } from 'node:net'
import type { Lent } from './protocol.ts'

/** One flush that the socket has not confirmed. */
interface Flush {
  readonly bytes: number
  readonly owners: readonly Lent[] | undefined
}

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
    this.#flushes.push({ bytes: this.#collectedBytes, owners: this.#owners })
    this.#text = ''
    this.#pieces = undefined
    this.#owners = undefined
    this.#collectedBytes = 0
    if (pieces === undefined) {
      this.#socket.write(text, 'latin1', this.#sent)
      return
    }
    if (text !== '') pieces.push(text)
    if (pieces.length === 1) return this.#write(pieces[0], this.#sent)
    this.#socket.cork()
    for (let index = 0; index < pieces.length - 1; index++) this.#write(pieces[index], undefined)
    this.#write(pieces[pieces.length - 1], this.#sent)
    this.#socket.uncork()
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

  #write(piece: Buffer | string, done: (() => void) | undefined): void {
    if (typeof piece === 'string') this.#socket.write(piece, 'latin1', done)
    else this.#socket.write(piece, done)
  }

  // The socket confirms writes in their order.
  readonly #sent = () => {
    const flush = this.#flushes.shift()
    if (flush === undefined) return
    this.#queuedBytes -= flush.bytes
    if (flush.owners !== undefined) for (const owner of flush.owners) owner.release()
    this.#onSent()
  }
}
