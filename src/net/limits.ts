/**
 * Bytes that one read takes from a socket at most. One buffer of this size serves all connections: it stays in the
 * processor's second-level cache, which a megabyte would not once something else runs beside it.
 */
export const READ_BUFFER_BYTES = 256 * 1024

/**
 * Requests of one connection that are taken and not yet answered; beyond it the connection is not read. Enough for
 * every client that keeps a window, and it bounds how many long polls one client can park.
 */
export const REQUESTS_IN_FLIGHT_MAX = 1024

/**
 * Answer bytes of one connection that wait for their client. Above the soft limit no request is started until some have
 * gone out, so that only a client that does not read what it asked for gets near the hard one; it is disconnected there.
 * The hard one has room for the largest record batch that a topic can be set to take (100 MiB): what was stored must come
 * out again.
 */
export const OUTPUT_BYTES_SOFT_MAX = 8 * 1024 * 1024
export const OUTPUT_BYTES_HARD_MAX = 128 * 1024 * 1024

/**
 * Answer bytes of all connections together. Above it a connection that has answers waiting starts no further read from
 * the log; one that has none still may, so that nobody starves, but only one of so few bytes.
 */
export const OUTPUT_BYTES_TOTAL_MAX = 64 * 1024 * 1024
export const OUTPUT_BYTES_SCARCE = 96 * 1024

/** What the kernel did not take from a flush; beyond it the connection is not read until the client has caught up. */
export const UNSENT_BYTES_MAX = 64 * 1024

/**
 * Bytes of unfinished frames of all connections together. Above it the connection whose frame has been unfinished for
 * longest is dropped.
 */
export const UNFINISHED_BYTES_TOTAL_MAX = 256 * 1024 * 1024

/** A frame must be complete this long after its first byte: 10 MiB at 350 kB/s. */
export const FRAME_TIMEOUT_MS = 30_000

/** A connection on which nothing is asked and nothing waited for. Kafka's `connections.max.idle.ms`. */
export const IDLE_TIMEOUT_MS = 600_000

/** A client must take something of what waits for it in this time. */
export const OUTPUT_STALL_TIMEOUT_MS = 120_000

/**
 * How long a connection that was closed by the broker is still read, and what comes thrown away: closing a socket with
 * unread bytes resets it, and the client would lose the last answer.
 */
export const LINGER_TIMEOUT_MS = 5_000
/** The same when the broker stops: its clients have been answered, and most close at once. */
export const LINGER_TIMEOUT_DRAINING_MS = 300

/** How often connections are looked at for the timeouts above. */
export const SWEEP_INTERVAL_MS = 1_000
export const SWEEP_INTERVAL_DRAINING_MS = 100

/**
 * Connections over the limit that are kept for a moment to be told so; more are closed without a word. Each takes a file
 * descriptor, of which a small process has few: there they are a share of the connections that it serves.
 */
export const REFUSALS_AT_ONCE_MAX = 100
export const REFUSALS_AT_ONCE_LEAST = 4
export const REFUSALS_SHARE = 1 / 8
/** How long such a connection may take to send the request that is answered with the refusal. */
export const REFUSAL_TIMEOUT_MS = 2_000

/** After so long without a byte the kernel asks whether the other end still exists. */
export const TCP_KEEP_ALIVE_MS = 60_000
