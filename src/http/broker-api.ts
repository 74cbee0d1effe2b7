import { LOG_LEVELS } from '../base/log-level.ts'
import type { LogLevelControl } from '../base/log-level.ts'
import type { ApiRoute } from './api-route.ts'

/** What is running. */
export const BROKER_ROUTES: readonly ApiRoute[] = [
  {
    method: 'GET',
    path: '/',
    action: 'describe the broker',
    operation: 'broker_info',
    endpoint: 'admin',
    handle({ broker }) {
      const { version, clusterId, startedAtMs, flushPolicy } = broker.identity
      const topics = broker.topics.list().length
      return { body: { version, clusterId, startedAt: startedAtMs, flushPolicy, topics } }
    },
  },
  {
    method: 'GET',
    path: '/log-level',
    action: 'show the level of the log',
    operation: 'log_level',
    endpoint: 'admin',
    handle: ({ broker }) => ({ body: describeLevel(broker.getLogLevel()) }),
  },
  {
    method: 'PUT',
    path: '/log-level',
    action: 'change the level of the log',
    operation: 'log_level',
    endpoint: 'admin',
    handle({ broker, body }) {
      const fields = body(['level'])
      const level =
        fields.optionalChoice('level', LOG_LEVELS) ?? fields.missing('level', `it is ${LOG_LEVELS.join(', ')}`)
      const control = broker.getLogLevel()
      control.change(level, 'HTTP')
      return { body: describeLevel(control) }
    },
  },
]

function describeLevel({ level, levelAtStart }: LogLevelControl): object {
  return { level, levelAtStart }
}
