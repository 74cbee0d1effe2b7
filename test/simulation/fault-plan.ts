import type { SeededRandom } from './seeded-random.ts'
import type { Fault, OperationKind } from './sim-file-system.ts'

/** One fault that will strike, or has. */
interface ArmedFault {
  readonly kinds: readonly OperationKind[]
  /** How many fitting operations still go well. */
  wait: number
  readonly fault: Fault
  /** How often it strikes yet. */
  left: number
}

/** A fault that an operation has met. */
export interface Struck {
  readonly kind: OperationKind
  readonly path: string
  readonly fault: Fault
}

const KINDS: readonly (readonly OperationKind[])[] = [
  ['write'],
  ['sync'],
  ['sync', 'syncDirectory'],
  ['syncDirectory'],
  ['read'],
  ['create'],
  ['open'],
  ['open', 'create'],
  ['rename', 'remove', 'removeDirectory'],
  ['truncate'],
  ['size', 'list'],
  ['makeDirectory'],
  ['write', 'sync', 'create', 'syncDirectory', 'rename', 'truncate'],
]

/** Decides which operations of a process go wrong, and remembers which did. */
export class FaultPlan {
  readonly struck: Struck[] = []
  #armed: ArmedFault[] = []
  #armedAt: { number: number; fault: Fault; isPersistent: boolean } | undefined
  #stopAt = Number.POSITIVE_INFINITY
  #operations = 0

  /** Makes the process die before the `count`-th operation from now. */
  stopAfter(count: number): void {
    this.#stopAt = this.#operations + count
  }

  arm(kinds: readonly OperationKind[], wait: number, fault: Fault, isPersistent: boolean): void {
    // Descriptors come back some time; a disk need not.
    const isPassing = fault.kind === 'error' && fault.code === 'EMFILE'
    this.#armed.push({ kinds, wait, fault, left: isPersistent ? (isPassing ? 10 : Number.POSITIVE_INFINITY) : 1 })
  }

  /** Arms some fault, of those that a disk may have. */
  armAny(random: SeededRandom): void {
    const kinds = random.pick(KINDS)
    const isShort = (kinds.includes('write') || kinds.includes('read')) && random.chance(0.4)
    let code: 'EIO' | 'ENOSPC' | 'EMFILE' = 'EIO'
    if (kinds.includes('write') || kinds.includes('create')) code = random.pick(['EIO', 'ENOSPC'])
    if (kinds.includes('open') && random.chance(0.5)) code = 'EMFILE'
    this.arm(
      kinds,
      random.below(random.pick([1, 4, 20])),
      isShort ? { kind: 'short' } : { kind: 'error', code },
      random.chance(isShort ? 0.5 : 0.25),
    )
  }

  /** Makes the `number`-th operation fail, or all from that one on; those that the fault does not fit are left alone. */
  armAt(number: number, fault: Fault, isPersistent: boolean): void {
    this.#armedAt = { number, fault, isPersistent }
  }

  /** Nothing goes wrong from here on. */
  disarm(): void {
    this.#armed = []
    this.#armedAt = undefined
    this.#stopAt = Number.POSITIVE_INFINITY
  }

  /** For `SimFileSystem.onOperation`. */
  readonly decide = (kind: OperationKind, path: string): Fault | undefined => {
    this.#operations += 1
    if (this.#operations >= this.#stopAt) return { kind: 'stop' }
    const at = this.#armedAt
    if (
      at &&
      (at.isPersistent ? this.#operations >= at.number : this.#operations === at.number) &&
      fits(kind, at.fault)
    ) {
      this.struck.push({ kind, path, fault: at.fault })
      return at.fault
    }
    for (const armed of this.#armed) {
      if (!armed.kinds.includes(kind)) continue
      if (armed.wait > 0) {
        armed.wait -= 1
        continue
      }
      armed.left -= 1
      if (armed.left === 0) this.#armed.splice(this.#armed.indexOf(armed), 1)
      this.struck.push({ kind, path, fault: armed.fault })
      return armed.fault
    }
    return undefined
  }

  /** Whether one of the faults was a disk that is full. */
  get hasFilled(): boolean {
    return this.struck.some(({ fault }) => fault.kind === 'error' && fault.code === 'ENOSPC')
  }

  /** Whether anything worse than a short read or write has happened. */
  get hasStruck(): boolean {
    return this.struck.some(({ fault }) => fault.kind === 'error')
  }
}

/** Whether a real system could answer such an operation so. */
function fits(kind: OperationKind, fault: Fault): boolean {
  if (fault.kind === 'short') return kind === 'read' || kind === 'write'
  if (kind === 'close') return false
  if (fault.kind !== 'error' || fault.code !== 'ENOSPC') return true
  return !['open', 'size', 'read', 'truncate', 'list', 'remove', 'removeDirectory'].includes(kind)
}
