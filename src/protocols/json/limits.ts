import { FRAME_HEADER_BYTES, FRAME_PAYLOAD_BYTES_MAX } from './wire.ts'

/** Records of one PRODUCE: a frame could hold millions of empty ones. */
export const RECORDS_PER_REQUEST_MAX = 100_000

/** Record batches of one PRODUCE_BATCHES: a frame could hold 70,000 small ones, each of which costs some microseconds. */
export const BATCHES_PER_REQUEST_MAX = 1_000

/** What a FETCH answer with one record has besides the texts of key, value and headers is shorter than this. */
const FETCH_ANSWER_OVERHEAD_BYTES_MAX = 256

/**
 * A FETCH answer's payload: with its header it stays within what a client may take for the size of a frame, which is the
 * payload's limit or the whole frame's, depending on who reads the sentence.
 */
export const FETCH_PAYLOAD_BYTES_MAX = FRAME_PAYLOAD_BYTES_MAX - FRAME_HEADER_BYTES

/**
 * Key and value of one record as base64, and its headers as JSON. A record with more would go in through this door and
 * never come out.
 */
export const RECORD_TEXT_BYTES_MAX = FETCH_PAYLOAD_BYTES_MAX - FETCH_ANSWER_OVERHEAD_BYTES_MAX

/**
 * Key and value, together and before they are made base64, of a record without headers that fits for sure: what is left
 * over from dividing each by three is four bytes at most. A record batch of no more bytes than this (7,864,118) holds no
 * record that could not be fetched, unless it is the headers.
 */
export const RECORD_BYTES_SAFE_MAX = Math.floor(RECORD_TEXT_BYTES_MAX / 4) * 3 - 4

/** Bytes of record batches that a FETCH reads when it does not say how many, as the original's clients ask for. */
export const FETCH_BYTES_DEFAULT = 1024 * 1024
/** More than this is not read for one FETCH: as base64 it still fits into a frame. */
export const FETCH_BYTES_MAX = 7 * 1024 * 1024
/** A FETCH waits no longer, whatever it says. */
export const FETCH_WAIT_MS_MAX = 300_000

/** Partitions of one FETCH_BATCHES. */
export const PARTITIONS_PER_REQUEST_MAX = 1_000
/**
 * Bytes of record batches that a FETCH_BATCHES answers with: as base64 they leave 1.3 MB of a frame to what stands beside
 * them, which is enough for a message about each of its partitions.
 */
export const FETCH_BATCHES_BYTES_MAX = 6.5 * 1024 * 1024
