/** Thrown when checking costs more work than it may. */
export class WorkExceeded extends Error {
  override readonly name = 'WorkExceeded'
}

/**
 * How much work may still be done, in steps: one for each schema applied to a value, each character matched, each key
 * looked at. A step takes some ten nanoseconds. Whoever works charges first, so that no value and no schema, however they
 * were made, keeps the event loop for longer than the budget lasts.
 */
export class WorkBudget {
  left: number

  constructor(steps: number) {
    this.left = steps
  }

  /** @throws WorkExceeded when there is less left than `steps` */
  charge(steps: number): void {
    this.left -= steps
    if (this.left < 0) throw new WorkExceeded('checking takes more work than one record may cost')
  }
}
