import { BrokerError } from '../base/broker-error.ts'

/** What became of a schedule. */
export type Outcome =
  | {
      readonly kind: 'delivered'
      readonly atMs: number
      readonly topic: string
      readonly partition: number
      readonly offset: number
    }
  | { readonly kind: 'cancelled'; readonly atMs: number }

/** A schedule that is just being appended to its partition. */
export interface UnderWay {
  readonly kind: 'delivering'
}

/** A schedule that somebody asks for is not waiting: it is on its way, it has gone, or there never was one. */
export class ScheduleGone extends BrokerError {
  /** Undefined when nothing is known of it. */
  readonly outcome: Outcome | UnderWay | undefined

  constructor(message: string, outcome?: Outcome | UnderWay) {
    super('RESOURCE_NOT_FOUND', message)
    this.outcome = outcome
  }
}

/** Remembers what became of the last schedules, so that whoever comes too late is told. */
export class Outcomes {
  readonly #outcomes = new Map<string, Outcome>()
  /** The ids in the order in which they were noted, in a ring: to look for the oldest in the map takes long. */
  readonly #ids: string[] = []
  #next = 0
  readonly #max: number

  constructor(max = 10_000) {
    this.#max = max
  }

  note(id: string, outcome: Outcome): void {
    if (!this.#outcomes.has(id)) {
      if (this.#ids.length === this.#max) this.#outcomes.delete(this.#ids[this.#next])
      this.#ids[this.#next] = id
      this.#next = (this.#next + 1) % this.#max
    }
    this.#outcomes.set(id, outcome)
  }

  get(id: string): Outcome | undefined {
    return this.#outcomes.get(id)
  }

  /** The refusal for a schedule that is not in the store. `action` is what was wanted: "cancel". */
  refuse(action: string, id: string): ScheduleGone {
    const outcome = this.#outcomes.get(id)
    const shown = JSON.stringify(id.slice(0, 40))
    if (outcome === undefined) {
      return new ScheduleGone(
        `Cannot ${action} schedule ${shown}: there is none that waits, it was delivered or cancelled long ago, or never was`,
      )
    }
    const at = new Date(outcome.atMs).toISOString()
    const how =
      outcome.kind === 'cancelled'
        ? ''
        : ` as offset ${outcome.offset} of topic "${outcome.topic}", partition ${outcome.partition}`
    return new ScheduleGone(
      `Cannot ${action} schedule ${shown}: it was ${outcome.kind} already at ${at}${how}`,
      outcome,
    )
  }
}
