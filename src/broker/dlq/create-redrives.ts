import type { Clock } from '../../base/clock.ts'
import type { Logger } from '../../base/logger.ts'
import type { LogEngine } from '../../log/log-engine.ts'
import type { Store } from '../../store/store.ts'
import type { Tracer } from '../../tracing/tracer.ts'
import { BatchIntake } from '../batch-intake.ts'
import type { TopicSchemas } from '../topic-schemas.ts'
import type { Topics } from '../topics.ts'
import { Redrives } from './redrives.ts'

/** Redrives on the logs there are; to be opened after the topics have been loaded. */
export function createRedrives(
  parts: {
    readonly store: Store
    readonly engine: LogEngine
    readonly clock: Clock
    readonly logger: Logger
    readonly schemas: TopicSchemas
    readonly unpackedBytesMax?: number
    readonly tracer?: Tracer | undefined
  },
  getTopics: () => Topics,
): Redrives {
  const { store, engine, clock, logger, schemas, tracer } = parts
  const intake = new BatchIntake(clock, parts.unpackedBytesMax)
  const findLog = (name: string, partition: number) => {
    const topic = getTopics().get(name)
    return topic === undefined ? undefined : engine.get(topic.name, partition)
  }
  return new Redrives({ store, clock, logger, intake, schemas, findLog, tracer }, getTopics)
}
