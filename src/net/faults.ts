import type { Timer } from '../base/clock.ts'
import type { Channel, Lent, Protocol, Session } from './protocol.ts'

/** A protocol whose requests have names, and that can refuse one of them without doing it. */
export interface RefusableProtocol extends Protocol {
  /** Of every request that it knows. */
  readonly requestNames: readonly string[]
  /** Of every error that it can answer with. */
  readonly errorNames: readonly string[]
  /** The name of the request in a frame; undefined when there is no such request. */
  getRequestName(buffer: Buffer, start: number, end: number): string | undefined
  /** The answer that refuses all of the request in a frame; undefined when it cannot be read. */
  makeRefusal(buffer: Buffer, start: number, end: number, errorName: string): Buffer | undefined
}

/** What is to go wrong with a request. */
export type Fault =
  | { readonly kind: 'fail'; readonly errorName: string }
  | { readonly kind: 'delay'; readonly delayMs: number }
  /** `when` says whether the request still has its effect. */
  | { readonly kind: 'drop'; readonly when: 'before' | 'after' }

/** Says what is to go wrong with the next request of this name, and forgets it: that was it. */
export type TakeFault = (requestName: string) => Fault | undefined

/** Sets a timer, in milliseconds. */
export type SetTimer = (delayMs: number, callback: () => void) => Timer

/** A protocol around another one, in which requests go wrong on purpose. For tests of clients, and never in a program that serves. */
export class FaultyProtocol implements Protocol {
  readonly #inner: RefusableProtocol
  readonly #takeFault: TakeFault
  readonly #setTimer: SetTimer
  readonly #channels = new Set<Channel>()

  constructor(inner: RefusableProtocol, takeFault: TakeFault, setTimer: SetTimer) {
    this.#inner = inner
    this.#takeFault = takeFault
    this.#setTimer = setTimer
  }

  get name(): string {
    return this.#inner.name
  }
  get frameHeaderBytes(): number {
    return this.#inner.frameHeaderBytes
  }
  get payloadBytesMax(): number {
    return this.#inner.payloadBytesMax
  }

  getPayloadBytes(buffer: Buffer, at: number): number {
    return this.#inner.getPayloadBytes(buffer, at)
  }

  turnBegan(): void {
    this.#inner.turnBegan()
  }

  open(channel: Channel, refusal: string | undefined): Session {
    this.#channels.add(channel)
    const closed = () => this.#channels.delete(channel)
    return new FaultySession(this.#inner, channel, refusal, {
      takeFault: this.#takeFault,
      setTimer: this.#setTimer,
      closed,
    })
  }

  /** Closes every connection, once what is in flight is answered. */
  endConnections(): void {
    for (const channel of this.#channels) channel.end()
  }
}

class FaultySession implements Session {
  readonly #protocol: RefusableProtocol
  readonly #channel: MutableChannel
  readonly #inner: Session
  readonly #surroundings: { takeFault: TakeFault; setTimer: SetTimer; closed: () => void }
  /** Of the request that is held back. */
  #fault: Fault | undefined
  #timer: Timer | undefined
  #isDelayOver = false

  constructor(
    protocol: RefusableProtocol,
    channel: Channel,
    refusal: string | undefined,
    surroundings: { takeFault: TakeFault; setTimer: SetTimer; closed: () => void },
  ) {
    this.#protocol = protocol
    this.#channel = new MutableChannel(channel)
    this.#inner = protocol.open(this.#channel, refusal)
    this.#surroundings = surroundings
  }

  get inFlight(): number {
    return this.#inner.inFlight
  }

  takeFrame(buffer: Buffer, start: number, end: number): boolean {
    const name = this.#protocol.getRequestName(buffer, start, end)
    this.#fault ??= name === undefined ? undefined : this.#surroundings.takeFault(name)
    const fault = this.#fault
    if (fault === undefined) return this.#inner.takeFrame(buffer, start, end)
    if (fault.kind === 'delay') return this.#takeLate(fault.delayMs, buffer, start, end)
    // Whatever was asked before is answered before.
    if (this.#inner.inFlight > 0) return false
    this.#fault = undefined
    if (fault.kind === 'fail') {
      const refusal = this.#protocol.makeRefusal(buffer, start, end, fault.errorName)
      if (refusal === undefined) return this.#inner.takeFrame(buffer, start, end)
      this.#channel.sendBytes(refusal, undefined)
      return true
    }
    if (fault.when === 'after') {
      this.#channel.isMuted = true
      this.#inner.takeFrame(buffer, start, end)
    }
    this.#channel.end()
    return true
  }

  refuseFrame(buffer: Buffer, at: number): void {
    this.#inner.refuseFrame(buffer, at)
  }

  wrapUp(): void {
    this.#inner.wrapUp()
  }

  closed(): void {
    this.#timer?.cancel()
    this.#surroundings.closed()
    this.#inner.closed()
  }

  #takeLate(delayMs: number, buffer: Buffer, start: number, end: number): boolean {
    this.#timer ??= this.#surroundings.setTimer(delayMs, () => {
      this.#isDelayOver = true
      this.#channel.unblock()
    })
    if (!this.#isDelayOver || !this.#inner.takeFrame(buffer, start, end)) return false
    this.#fault = undefined
    this.#timer = undefined
    this.#isDelayOver = false
    return true
  }
}

/** A connection that can be made to swallow its answers. */
class MutableChannel implements Channel {
  isMuted = false
  readonly #inner: Channel

  constructor(inner: Channel) {
    this.#inner = inner
  }

  get peer(): string {
    return this.#inner.peer
  }
  get local(): { readonly host: string; readonly port: number } {
    return this.#inner.local
  }
  get outputBytes(): number {
    return this.#inner.outputBytes
  }

  grantOutput(wantedBytes: number): number {
    return this.#inner.grantOutput(wantedBytes)
  }

  sendText(text: string): void {
    // Something has to be sent for the connection to notice that all is answered.
    this.#inner.sendText(this.isMuted ? '' : text)
  }

  sendBytes(bytes: Buffer, owner: Lent | undefined): void {
    if (!this.isMuted) return this.#inner.sendBytes(bytes, owner)
    owner?.release()
    this.sendText('')
  }

  reserveOutput(bytes: number): void {
    this.#inner.reserveOutput(bytes)
  }

  unblock(): void {
    this.#inner.unblock()
  }

  end(): void {
    this.#inner.end()
  }
}
