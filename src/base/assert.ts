/** Thrown when the broker itself is wrong. It stays on in production and is never reached by bad input. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/**
 * States what must hold. One claim each; the message says what was expected.
 *
 * @throws AssertionError
 */
export function assert(claim: boolean, message: string): asserts claim {
  if (!claim) throw new AssertionError(message)
}
