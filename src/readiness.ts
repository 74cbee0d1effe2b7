import type { Clock } from './base/clock.ts'
import type { FileSystem } from './base/file-system.ts'
import { formatFlushPolicy } from './broker/topic-config.ts'
import type { Config } from './config/config.ts'
import { Health } from './http/health.ts'
import type { CheckResult } from './http/health.ts'
import { countOffline } from './live-metrics.ts'
import type { SegmentLogEngine } from './log/segment-log-engine.ts'
import type { Metrics } from './metrics/metrics.ts'
import type { Store } from './store/store.ts'
import { VERSION } from './version.ts'

/** What the health checks look at. Things appear here as they are opened. */
export interface BrokerState {
  store: Store | undefined
  engine: SegmentLogEngine | undefined
  isListening: boolean
  isDraining: boolean
}

/** The checks behind `/readyz`, and the metrics that say what is running. */
export function createHealth(parts: {
  readonly clock: Clock
  readonly fileSystem: FileSystem
  readonly metrics: Metrics
  readonly config: Config
  readonly state: BrokerState
}): Health {
  const { clock, fileSystem, metrics, config, state } = parts
  metrics.buildInfo.child(VERSION, process.version).set(1)
  metrics.flushPolicyInfo.child(config.flushPolicy.kind).set(1)
  return new Health({
    clock,
    metrics,
    version: VERSION,
    flushPolicy: formatFlushPolicy(config.flushPolicy),
    probes: {
      recovery: () => (state.engine === undefined ? { ok: false, detail: 'the log is being opened' } : OK),
      storage: () => checkStorage(state),
      disk: () => checkDisk(state, fileSystem, config.dataDirectory),
      listeners: () => (state.isListening ? OK : { ok: false, detail: 'not all ports are open yet' }),
      draining: () => (state.isDraining ? { ok: false, detail: 'the broker is stopping' } : OK),
    },
  })
}

const OK: CheckResult = { ok: true }

/** One bad partition makes the broker degraded: taking all the others away from their clients would help nobody. */
function checkStorage({ store, engine }: BrokerState): CheckResult {
  if (store?.failure !== undefined) return { ok: false, detail: store.failure.message }
  if (engine === undefined) return OK
  const { all, offline } = countOffline(engine)
  if (offline === 0) return OK
  const detail = `${offline} of ${all} partitions are closed for writes until the broker is started anew`
  return { ok: offline < all, detail }
}

function checkDisk({ engine }: BrokerState, fileSystem: FileSystem, directory: string): CheckResult {
  if (engine?.isDiskFull !== true) return OK
  const { freeBytes, totalBytes } = fileSystem.space(directory)
  const share = ((freeBytes / totalBytes) * 100).toFixed(1)
  return { ok: false, detail: `${share}% free (${freeBytes} bytes): produce is refused until there is room` }
}
