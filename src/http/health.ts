import type { Clock } from '../base/clock.ts'
import type { Metrics, ReadinessCheck } from '../metrics/metrics.ts'
import { READINESS_CHECKS } from '../metrics/metrics.ts'

/** How one check stands. One that is ok and has something to say all the same makes the broker degraded, not unready. */
export interface CheckResult {
  readonly ok: boolean
  readonly detail?: string | undefined
}

export interface NamedCheck extends CheckResult {
  readonly name: ReadinessCheck
}

/** Looks at live state when it is asked; must be cheap, as orchestrators ask every few seconds. */
export type Probe = () => CheckResult

/** What `/healthz` answers. */
export interface HealthReport {
  readonly status: 'ok' | 'degraded'
  /** ISO 8601. */
  readonly time: string
  readonly version: string
  readonly uptimeSeconds: number
  readonly flushPolicy: string
  readonly checks: readonly NamedCheck[]
}

/** Whether the broker is well, and whether it should be sent work. */
export class Health {
  readonly #clock: Clock
  readonly #version: string
  readonly #flushPolicy: string
  readonly #probes: Readonly<Record<ReadinessCheck, Probe>>
  readonly #startedAt: number

  constructor(options: {
    readonly clock: Clock
    readonly metrics: Metrics
    readonly version: string
    readonly flushPolicy: string
    readonly probes: Readonly<Record<ReadinessCheck, Probe>>
  }) {
    this.#clock = options.clock
    this.#version = options.version
    this.#flushPolicy = options.flushPolicy
    this.#probes = options.probes
    this.#startedAt = options.clock.monotonic()
    options.metrics.ready.collect = (emit) => {
      for (const { name, ok } of this.checks()) emit(ok ? 1 : 0, name)
    }
  }

  checks(): NamedCheck[] {
    return READINESS_CHECKS.map((name) => ({ name, ...attempt(this.#probes[name]) }))
  }

  /** Told to stop: from now on nobody should rely on it. */
  get isDraining(): boolean {
    return !this.#probes.draining().ok
  }

  report(): HealthReport {
    const checks = this.checks()
    return {
      status: checks.every((check) => check.ok && check.detail === undefined) ? 'ok' : 'degraded',
      time: new Date(this.#clock.now()).toISOString(),
      version: this.#version,
      uptimeSeconds: Math.round(this.#clock.monotonic() - this.#startedAt) / 1000,
      flushPolicy: this.#flushPolicy,
      checks,
    }
  }
}

/** A check that cannot even be made has failed. */
function attempt(probe: Probe): CheckResult {
  try {
    return probe()
  } catch (error) {
    return { ok: false, detail: error instanceof Error ? error.message : String(error) }
  }
}

/** The checks for human eyes, one a line, as Kubernetes' own components write them. */
export function formatChecks(checks: readonly NamedCheck[]): string {
  return checks
    .map(({ name, ok, detail }) => {
      const state = ok ? `[+]${name} ok` : `[-]${name} failed`
      return detail === undefined ? state : `${state}: ${detail}`
    })
    .join('\n')
}
