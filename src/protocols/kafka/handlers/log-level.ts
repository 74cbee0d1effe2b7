import { BrokerError } from '../../../base/broker-error.ts'
import type { LogLevel } from '../../../base/log-level.ts'
import type { RequestContext } from '../context.ts'
import { NODE_ID } from '../context.ts'
import type { KafkaSetting } from './topic-settings.ts'
import { CONFIG_TYPES } from './topic-settings.ts'

/** Kafka has a level for each class; here there is one log, and Kafka's name for all of them stands for it. */
const ROOT_LOGGER = 'root'
/** Kafka's source of a level, whoever has set it. */
const LOGGER_SOURCE = 6
const LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'] as const

/** Lists the loggers of a broker: one. A log that is silent is shown with a level that Kafka does not have. */
export function listLoggers({ broker }: RequestContext, resourceName: string): KafkaSetting[] {
  checkBroker(resourceName)
  if (broker.logLevel === undefined) return []
  const { level } = broker.logLevel
  return [
    {
      name: ROOT_LOGGER,
      value: level === 'silent' ? 'OFF' : level.toUpperCase(),
      readOnly: false,
      configSource: LOGGER_SOURCE,
      isSensitive: false,
      configType: CONFIG_TYPES.string,
      meaning: 'The least important lines that are logged.',
      synonyms: [],
    },
  ]
}

/**
 * Changes the level of the log until the next start; without a value it becomes what it was at the last one.
 *
 * @throws BrokerError INVALID_REQUEST
 */
export function changeLogger(
  { broker, channel }: RequestContext,
  resourceName: string,
  wish: { readonly name: string; readonly value: string | undefined },
  dryRun: boolean,
): void {
  checkBroker(resourceName)
  const { name, value } = wish
  if (name.toLowerCase() !== ROOT_LOGGER)
    throw invalid(`Cannot change the logger ${JSON.stringify(name)}: there is root`)
  const control = broker.getLogLevel()
  const wanted = value === undefined ? control.levelAtStart : LEVELS.find((level) => level === value.toUpperCase())
  if (wanted === undefined) {
    throw invalid(`Cannot set the level of the log to ${JSON.stringify(value)}: it must be ${LEVELS.join(', ')}`)
  }
  if (!dryRun) control.change(wanted.toLowerCase() as LogLevel, `Kafka client ${channel.peer}`)
}

function checkBroker(resourceName: string): void {
  if (resourceName === String(NODE_ID)) return
  throw invalid(`There is no broker ${JSON.stringify(resourceName)}: there is ${NODE_ID}`)
}

function invalid(message: string): BrokerError {
  return new BrokerError('INVALID_REQUEST', message)
}
