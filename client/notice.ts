/** Tells those who wait that something has changed. Whoever is told looks again. */
export class Notice {
  #waiting: (() => void)[] = []

  /** Resolves at the next `give`. */
  wait(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  give(): void {
    if (this.#waiting.length === 0) return
    for (const resolve of this.#waiting.splice(0)) resolve()
  }
}

/** Resolves when the signal fires; at once when it has. `stop` ends the waiting. */
export function whenAborted(signal: AbortSignal): { readonly promise: Promise<void>; stop(): void } {
  let onAbort = () => {}
  const promise = new Promise<void>((resolve) => {
    onAbort = resolve
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', onAbort, { once: true })
  })
  return { promise, stop: () => signal.removeEventListener('abort', onAbort) }
}
