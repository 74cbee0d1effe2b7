/**
 * The port between sockets and the protocols spoken over them. A protocol says how frames begin and what to do with a
 * whole one; everything about connections (order of bytes, limits, timeouts, back-pressure) stays in this room.
 */
export interface Protocol {
  /** The value of the `protocol` label in metrics, and the name in log lines. */
  readonly name: string
  /** Bytes at the beginning of a frame that say how long it is. */
  readonly frameHeaderBytes: number
  /** A frame with more bytes after the header is refused, and the connection closed. */
  readonly payloadBytesMax: number
  /** The number of bytes that follow the header at `at`. Infinity when the header makes no sense. */
  getPayloadBytes(buffer: Buffer, at: number): number
  /**
   * Called before frames are handed over in a new turn of the event loop: whatever was to be kept "until the end of the
   * turn" in an earlier one is free.
   */
  turnBegan(): void
  /** A client has connected. With a `refusal` it may only be told that, in the protocol's own words. */
  open(channel: Channel, refusal: string | undefined): Session
}

/** What a protocol knows about one of its connections. */
export interface Session {
  /** Requests that were taken and whose answers have not been handed to the channel. */
  readonly inFlight: number
  /**
   * One whole frame, header and all, in `buffer` from `start` to `end`; the bytes stay as they are until the current turn
   * of the event loop has come to its end, microtasks that were queued during the call included. Returns
   * false to get the same frame again, once `Channel.unblock` was called or answers have gone out; until then the
   * connection is not read.
   */
  takeFrame(buffer: Buffer, start: number, end: number): boolean
  /** A frame that is longer than allowed begins at `at`; only its header is there. The connection ends after the answers. */
  refuseFrame(buffer: Buffer, at: number): void
  /** No further frame will come. What only waits for more data is answered now with what there is. */
  wrapUp(): void
  /** The connection is gone; nothing can be sent any more, and whatever waits on its behalf must go too. */
  closed(): void
}

/** Something lent that must be given back. */
export interface Lent {
  release(): void
}

/** One connection, as its session sees it. All that is sent during a turn goes out in one write at its end. */
export interface Channel {
  /** Address and port of the client. */
  readonly peer: string
  /** The address and port that the client has connected to. */
  readonly local: { readonly host: string; readonly port: number }
  /** Answer bytes that wait for the client, reserved ones included. */
  readonly outputBytes: number
  /**
   * How many of the wanted bytes an answer may have that is started now: all of them, fewer when the answers of all
   * connections together take too much memory, or 0 when it must wait until some of those before it have gone out.
   */
  grantOutput(wantedBytes: number): number
  /** Sends characters of one byte each. */
  sendText(text: string): void
  /** Sends bytes, which must not change until `owner` is told that they are no longer needed. */
  sendBytes(bytes: Buffer, owner: Lent | undefined): void
  /** Announces an answer of about so many bytes, or takes that back with a negative number. */
  reserveOutput(bytes: number): void
  /** Something that a refused frame may have waited for has happened. Cheap; call it freely. */
  unblock(): void
  /** Takes no more frames, and closes once everything in flight is answered and sent. */
  end(): void
}
