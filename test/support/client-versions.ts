/** The clients whose versions docs/protocol-kafka.md lists, as it names them. */
export const CLIENTS = ['Java 4.3', 'librdkafka 2.15', 'librdkafka 2.0', 'kafkajs 2.2', 'platformatic 1.35'] as const

/** Has every version that there is. */
const ANY = Infinity
/** Never asks for it. */
const NONE = -1

/**
 * The highest version of each API, by its key, that the clients above can send, in that order. From their sources, and
 * what they were seen to send.
 */
const HIGHEST: Readonly<Record<number, readonly number[]>> = {
  0: [ANY, 10, 7, 7, 11],
  1: [ANY, 16, 11, 11, 17],
  2: [ANY, 7, 2, 3, 9],
  3: [ANY, 13, 4, 6, 12],
  8: [ANY, 9, 7, 5, 9],
  9: [ANY, 9, 7, 4, 9],
  10: [ANY, 2, 2, 2, 6],
  11: [ANY, 5, 5, 5, 9],
  12: [ANY, 3, 3, 3, 4],
  13: [ANY, 1, 1, 3, 5],
  14: [ANY, 3, 3, 3, 5],
  15: [ANY, 5, 4, 2, 5],
  16: [ANY, 5, 4, 2, 5],
  17: [ANY, 1, 1, 1, 1],
  18: [ANY, 3, 3, 2, 3],
  19: [ANY, 4, 4, 3, 7],
  20: [ANY, 4, 1, 1, 6],
  21: [ANY, 2, 1, 1, 2],
  22: [ANY, 4, 4, 1, 5],
  23: [ANY, 2, NONE, NONE, NONE],
  24: [3, 0, 0, 1, ANY],
  25: [ANY, 0, 0, 1, 4],
  26: [ANY, 1, 1, 1, 4],
  28: [ANY, 3, 3, 1, 4],
  29: [ANY, 2, 1, 1, 3],
  30: [ANY, 2, 1, 1, 3],
  31: [ANY, 2, 1, 1, 3],
  32: [ANY, 1, 1, 2, 4],
  33: [ANY, 2, 0, 1, 2],
  35: [ANY, NONE, NONE, NONE, 4],
  36: [ANY, 1, 0, 1, 2],
  37: [ANY, 2, 0, 1, 3],
  42: [ANY, 2, 1, 1, 2],
  43: [ANY, 2, NONE, NONE, NONE],
  44: [ANY, 1, NONE, NONE, 1],
  45: [ANY, NONE, NONE, 0, 1],
  46: [ANY, NONE, NONE, 0, 0],
  47: [ANY, 0, 0, NONE, 0],
  48: [ANY, NONE, NONE, NONE, 0],
  49: [ANY, NONE, NONE, NONE, 1],
  50: [ANY, 0, NONE, NONE, 0],
  51: [ANY, 0, NONE, NONE, 0],
  60: [ANY, NONE, NONE, NONE, 1],
  61: [ANY, NONE, NONE, NONE, 0],
  65: [ANY, NONE, NONE, NONE, 0],
  66: [ANY, NONE, NONE, NONE, 2],
  68: [ANY, 1, NONE, NONE, 1],
  69: [ANY, 0, NONE, NONE, 0],
  75: [ANY, NONE, NONE, NONE, NONE],
}

/** What each of the clients takes of an API that is served up to version `last`; a dash where it never asks for it. */
export function versionsOfClients(key: number, last: number): string[] {
  if (HIGHEST[key] === undefined) throw new Error(`Which clients use API ${key} is not known: say so in HIGHEST`)
  return HIGHEST[key].map((highest) => (highest === NONE ? '–' : String(Math.min(highest, last))))
}
