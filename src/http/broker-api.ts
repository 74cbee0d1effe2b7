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
]
