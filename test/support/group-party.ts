/** What the machines of both kinds of groups have in common: events and times go in, replies and rows come out. */
interface GroupMachine<Event> {
  readonly deadline: number | undefined
  handle(event: Event, now: number): MachineStep
}

interface MachineStep {
  readonly replies: readonly { send(): void }[]
  readonly rows: readonly { readonly memberId: string | undefined; readonly row: object | undefined }[]
  readonly deadline: number | undefined
}

/** A group alone, with a clock that is turned by hand and a store that keeps rows as JSON. */
export abstract class GroupParty<Event> {
  abstract group: GroupMachine<Event | { kind: 'time' }>
  now = 1_000
  readonly rows = new Map<string | undefined, string>()

  run(event: Event | { kind: 'time' }): void {
    const { replies, rows, deadline } = this.group.handle(event, this.now)
    if (deadline !== undefined && deadline < this.now) throw new Error('the deadline is over')
    for (const { memberId, row } of rows) {
      if (row === undefined) this.rows.delete(memberId)
      else this.rows.set(memberId, JSON.stringify(row))
    }
    for (const reply of replies) reply.send()
  }

  /** Lets time pass, and the group wake up whenever it wants to. */
  pass(milliseconds: number): void {
    const end = this.now + milliseconds
    for (let at = this.group.deadline; at !== undefined && at <= end; at = this.group.deadline) {
      this.now = Math.max(this.now, at)
      this.run({ kind: 'time' })
    }
    this.now = end
  }

  /** What was stored of the members. */
  protected storedMembers<Row>(): (readonly [string, Row])[] {
    return [...this.rows].flatMap(([memberId, text]) =>
      memberId === undefined ? [] : [[memberId, JSON.parse(text) as Row] as const],
    )
  }
}
