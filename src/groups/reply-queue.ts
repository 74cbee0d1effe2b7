import type { Refusal, Reply } from './outcome.ts'

interface Batch {
  readonly replies: Reply[]
  outcome: 'unknown' | 'durable' | Refusal
}

/**
 * The answers of one group in order, each held back until everything that happened in the group before it is durable. When
 * something could not be stored, whoever asked is told so, and with it those whose answers came of the same state.
 */
export class ReplyQueue {
  readonly #waiting: Batch[] = []

  get isEmpty(): boolean {
    return this.#waiting.length === 0
  }

  /** For answers that tell of nothing new: gives them at once if nothing is under way. */
  send(replies: readonly Reply[]): void {
    const last = this.#waiting.at(-1)
    if (last === undefined) for (const reply of replies) reply.send()
    else last.replies.push(...replies)
  }

  /** Returns what is to be told when it is known how the storing went; until then these answers and later ones wait. */
  hold(replies: readonly Reply[]): (refusal: Refusal | undefined) => void {
    const batch: Batch = { replies: [...replies], outcome: 'unknown' }
    this.#waiting.push(batch)
    return (refusal) => {
      batch.outcome = refusal ?? 'durable'
      this.#flush()
    }
  }

  #flush() {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const { outcome, replies } = first
      if (outcome === 'unknown') return
      this.#waiting.shift()
      for (const reply of replies) {
        if (outcome === 'durable') reply.send()
        else reply.refuse(outcome)
      }
    }
  }
}
