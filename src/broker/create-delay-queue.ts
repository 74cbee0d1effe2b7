import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import { DelayQueue } from '../delay/delay-queue.ts'
import type { LogEngine } from '../log/log-engine.ts'
import type { Metrics } from '../metrics/metrics.ts'
import type { Store } from '../store/store.ts'
import type { Tracer } from '../tracing/tracer.ts'
import type { Topics } from './topics.ts'

/**
 * The delay queue on the logs there are. The topics tell it when one of them goes, so it is made before them; it has to be
 * opened after they have been loaded.
 */
export function createDelayQueue(
  parts: {
    readonly store: Store
    readonly engine: LogEngine
    readonly clock: Clock
    readonly machineClock?: Clock
    readonly logger: Logger
    readonly metrics: Metrics
    readonly tracer?: Tracer | undefined
  },
  getTopics: () => Topics,
): DelayQueue {
  const { engine, metrics, ...rest } = parts
  const find = (name: string, partition: number) => {
    const topic = getTopics().get(name)
    const log = topic === undefined ? undefined : engine.get(topic.name, partition)
    return topic === undefined || log === undefined ? undefined : { log, config: topic.config }
  }
  const observeDelay = (seconds: number) => metrics.scheduledDeliveryDelaySeconds.observe(seconds)
  return new DelayQueue({ ...rest, targets: { find }, observeDelay })
}
