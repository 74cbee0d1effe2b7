import { BrokerError } from './base/broker-error.ts'
import type { Clock } from './base/clock.ts'
import { suggestNearest } from './base/nearest.ts'
import { DURATION_WANTED, parseDuration } from './base/units.ts'
import type { ErrorNameFor, RequestName } from './fault-names.ts'
import type { Fault, RefusableProtocol } from './net/faults.ts'
import { FaultyProtocol } from './net/faults.ts'

/** How many requests something happens to. */
export interface FaultOptions {
  /** 1 unless given. */
  readonly times?: number
}

const TIMES_MAX = 1_000_000

/**
 * Lets requests go wrong on purpose: the next ones of a name, whoever sends them. A name is that of a Kafka API (`Produce`,
 * `Fetch`, `JoinGroup`) or of an operation of the JSON protocol (`PRODUCE`, `FETCH`), and concerns that door. Faults of one name
 * happen in the order in which they were asked for.
 */
export class Faults {
  readonly #clock: Clock
  readonly #planned = new Map<string, { readonly fault: Fault; left: number }[]>()
  readonly #doors: { readonly protocol: RefusableProtocol; readonly faulty: FaultyProtocol }[] = []

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Puts a door's protocol under this plan: the result is to be served in its place. */
  guard(protocol: RefusableProtocol): FaultyProtocol {
    const faulty = new FaultyProtocol(
      protocol,
      (name) => this.#take(name),
      (delayMs, callback) => this.#clock.setTimer(delayMs, callback),
    )
    this.#doors.push({ protocol, faulty })
    return faulty
  }

  /**
   * Answers the next requests of this name with an error instead of doing them: `failNext('Produce', 'NOT_LEADER_OR_FOLLOWER')`.
   *
   * @throws BrokerError INVALID_REQUEST for a name or error that the door does not know
   */
  failNext<Name extends RequestName>(requestName: Name, errorName: ErrorNameFor<Name>, options?: FaultOptions): void {
    const { errorNames } = this.#doorOf(requestName)
    if (!errorNames.includes(errorName)) throw unknown('error', errorName, errorNames)
    this.#plan(requestName, { kind: 'fail', errorName }, options)
  }

  /**
   * Begins the next requests of this name later, by `'2s'` or milliseconds of the broker's clock. What the same client sends
   * after them waits too.
   *
   * @throws BrokerError INVALID_REQUEST
   */
  delayNext(requestName: RequestName, duration: string | number, options?: FaultOptions): void {
    const delayMs = typeof duration === 'number' ? duration : parseDuration(duration)
    if (delayMs === undefined || !(delayMs >= 0)) {
      const message = `Cannot delay ${requestName} by ${JSON.stringify(duration)}: ${DURATION_WANTED} is needed`
      throw new BrokerError('INVALID_REQUEST', message)
    }
    this.#plan(requestName, { kind: 'delay', delayMs }, options)
  }

  /**
   * Closes the connection instead of answering the next requests of this name: before they had any effect, or `after` they had
   * all of it, which the client cannot tell apart.
   *
   * @throws BrokerError INVALID_REQUEST
   */
  dropNext(
    requestName: RequestName,
    { when = 'before', ...options }: FaultOptions & { readonly when?: 'before' | 'after' } = {},
  ): void {
    if (when !== 'before' && when !== 'after') throw unknown('moment', String(when), ['before', 'after'])
    this.#plan(requestName, { kind: 'drop', when }, options)
  }

  /**
   * The same as data: `{"request":"Produce","fail":"NOT_LEADER_OR_FOLLOWER","times":3}`, `{"request":"Fetch","delay":"2s"}`,
   * `{"request":"PRODUCE","drop":"after"}`.
   *
   * @throws BrokerError INVALID_REQUEST
   */
  add(plan: Readonly<Record<string, unknown>>): void {
    const { request, fail, delay, drop, times } = plan
    const options = times === undefined ? {} : { times: Number(times) }
    if (typeof request !== 'string' || [fail, delay, drop].filter((each) => each !== undefined).length !== 1) {
      const message = `Cannot plan ${JSON.stringify(plan)}: {"request":"Produce"} and one of "fail", "delay" and "drop" are needed`
      throw new BrokerError('INVALID_REQUEST', message)
    }
    if (fail !== undefined) this.failNext(request as RequestName, fail as ErrorNameFor<RequestName>, options)
    else if (delay !== undefined) this.delayNext(request as RequestName, delay as string, options)
    else this.dropNext(request as RequestName, { when: drop as 'before', ...options })
  }

  /** Closes all connections, once what is in flight is answered. */
  dropConnections(): void {
    for (const { faulty } of this.#doors) faulty.endConnections()
  }

  /** Forgets what has not happened yet. */
  clear(): void {
    this.#planned.clear()
  }

  #plan(requestName: string, fault: Fault, { times = 1 }: FaultOptions = {}): void {
    this.#doorOf(requestName)
    if (!Number.isInteger(times) || times < 1 || times > TIMES_MAX) {
      const message = `Cannot let ${requestName} go wrong ${times} times: a whole number from 1 to ${TIMES_MAX} is needed`
      throw new BrokerError('INVALID_REQUEST', message)
    }
    const planned = this.#planned.get(requestName) ?? []
    this.#planned.set(requestName, [...planned, { fault, left: times }])
  }

  #take(requestName: string): Fault | undefined {
    const planned = this.#planned.get(requestName)
    const first = planned?.[0]
    if (first === undefined) return undefined
    if (--first.left === 0) planned?.shift()
    return first.fault
  }

  #doorOf(requestName: string): RefusableProtocol {
    const door = this.#doors.find(({ protocol }) => protocol.requestNames.includes(requestName))
    if (door !== undefined) return door.protocol
    // Who writes in capitals means the JSON protocol.
    const isCapitals = (name: string) => name === name.toUpperCase()
    const names = this.#doors.flatMap(({ protocol }) => protocol.requestNames)
    const likely = names.filter((name) => isCapitals(name) === isCapitals(requestName))
    throw unknown('request', requestName, likely)
  }
}

function unknown(what: string, name: string, known: readonly string[]): BrokerError {
  const nearest = suggestNearest(name, known)
  const hint = nearest === undefined ? `${known.join(', ')} are known` : `did you mean ${nearest}?`
  return new BrokerError('INVALID_REQUEST', `There is no ${what} ${JSON.stringify(name)}: ${hint}`)
}
