/** The frame types of docs/protocol-json.md, written down once more so that a change of the broker's own table shows. */
export const CREATE_TOPIC = 1
export const PRODUCE = 2
export const FETCH = 3
export const COMMIT = 4
export const HEARTBEAT = 5
export const METADATA = 6
export const LIST_OFFSETS = 7
export const FETCH_OFFSETS = 8
export const DELETE_TOPIC = 9
export const ALTER_TOPIC = 10
export const DELETE_RECORDS = 13
export const INIT_PRODUCER_ID = 15
export const PRODUCE_BATCHES = 16
export const FETCH_BATCHES = 17
