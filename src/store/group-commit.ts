import { BrokerError } from '../base/broker-error.ts'
import { assert } from '../base/assert.ts'
import type { StoreChange } from './store.ts'

/** Commits that may wait at the same time; with more, the disk is not keeping up and the next is refused. */
export const COMMITS_WAITING_MAX = 100_000
/**
 * Changes after which a group is full, so that no transaction grows without limit. Handing so many over takes some
 * milliseconds, in which nobody else has a turn; with more, nothing is faster.
 */
const GROUP_CHANGES_MAX = 2_048
/** LMDB takes keys of 1,978 bytes at a page size of 4 KiB. */
const KEY_BYTES_MAX = 1_900

interface WaitingCommit {
  readonly changes: readonly StoreChange[]
  resolve(): void
  reject(error: Error): void
}

/**
 * Lets commits that are waiting at the same time share one transaction and one sync.
 *
 * While one group is being written, the next one gathers; it starts when the former is on stable storage. A commit that
 * finds nothing under way starts at the end of this turn of the event loop, together with the others of the turn. Order is
 * kept: what was given first is applied first, and resolved first.
 *
 * `write` applies all changes of a group or none and resolves when they are durable. When it fails, nobody knows what
 * the disk holds, so that the first failure is final: it latches in `failure`. Only a BrokerError from `write` says
 * that nothing was touched; it refuses that one group and the next one may try.
 */
export class GroupCommit {
  readonly #place: string
  readonly #write: (changes: readonly StoreChange[]) => Promise<void>
  #waiting: WaitingCommit[] = []
  #running: Promise<void> | undefined
  #failure: Error | undefined
  #isClosed = false

  /** `place` names the store in messages. */
  constructor(place: string, write: (changes: readonly StoreChange[]) => Promise<void>) {
    this.#place = place
    this.#write = write
  }

  get failure(): Error | undefined {
    return this.#failure
  }

  /** The contract of `Store.commit`. */
  commit(changes: readonly StoreChange[]): Promise<void> {
    for (const { key } of changes) assertKey(key)
    return new Promise<void>((resolve, reject) => {
      const refusal = this.#findRefusal()
      if (refusal !== undefined) return reject(refusal)
      this.#waiting.push({ changes, resolve, reject })
      this.#running ??= this.#run()
    })
  }

  /** Refuses new commits and resolves when those that were given before are done, one way or the other. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.#running
  }

  async #run() {
    await new Promise((endOfTurn) => setImmediate(endOfTurn))
    while (this.#waiting.length > 0) {
      const group = this.#takeGroup()
      const refusal = this.#failure === undefined ? await this.#writeGroup(group) : this.#findRefusal()
      for (const commit of group) {
        if (refusal === undefined) commit.resolve()
        else commit.reject(refusal)
      }
    }
    this.#running = undefined
  }

  #takeGroup(): WaitingCommit[] {
    let changeCount = 0
    let commitCount = 0
    while (commitCount < this.#waiting.length && changeCount < GROUP_CHANGES_MAX) {
      changeCount += this.#waiting[commitCount].changes.length
      commitCount++
    }
    return this.#waiting.splice(0, commitCount)
  }

  async #writeGroup(group: readonly WaitingCommit[]): Promise<BrokerError | undefined> {
    try {
      const changes = group.length === 1 ? group[0].changes : group.flatMap((commit) => commit.changes)
      if (changes.length > 0) await this.#write(changes)
      return undefined
    } catch (error) {
      if (error instanceof BrokerError) return error
      this.#failure = error instanceof Error ? error : new Error(String(error))
      return new BrokerError(
        'KAFKA_STORAGE_ERROR',
        `Cannot commit to the store ${JSON.stringify(this.#place)}: ${this.#failure.message}; whether it was stored is not known`,
        { cause: this.#failure },
      )
    }
  }

  #findRefusal(): BrokerError | undefined {
    const place = JSON.stringify(this.#place)
    if (this.#failure !== undefined) {
      return new BrokerError(
        'KAFKA_STORAGE_ERROR',
        `Cannot commit to the store ${place}: an earlier commit failed (${this.#failure.message}), start the broker anew`,
        { cause: this.#failure },
      )
    }
    if (this.#isClosed)
      return new BrokerError('KAFKA_STORAGE_ERROR', `Cannot commit to the store ${place}: it is closed`)
    if (this.#waiting.length >= COMMITS_WAITING_MAX) {
      return new BrokerError(
        'KAFKA_STORAGE_ERROR',
        `Cannot commit to the store ${place}: ${COMMITS_WAITING_MAX} commits are waiting for the disk already`,
      )
    }
    return undefined
  }
}

function assertKey(key: string) {
  const keyBytes = Buffer.byteLength(key)
  assert(keyBytes >= 1 && keyBytes <= KEY_BYTES_MAX, `a key has 1 to ${KEY_BYTES_MAX} bytes, not ${keyBytes}`)
}
