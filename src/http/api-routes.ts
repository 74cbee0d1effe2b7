import type { ApiRoute } from './api-route.ts'
import { BROKER_ROUTES } from './broker-api.ts'
import { DLQ_ROUTES } from './dlq-api.ts'
import { GROUP_ROUTES } from './groups-api.ts'
import { createRecordRoutes } from './records-api.ts'
import { SCHEDULE_ROUTES } from './schedules-api.ts'
import { SCHEMA_ROUTES } from './schemas-api.ts'
import { TOPIC_ROUTES } from './topics-api.ts'

/** Everything that can be asked for under /api/v1. */
export function createApiRoutes(): readonly ApiRoute[] {
  return [
    ...BROKER_ROUTES,
    ...TOPIC_ROUTES,
    ...createRecordRoutes(),
    ...SCHEMA_ROUTES,
    ...GROUP_ROUTES,
    ...SCHEDULE_ROUTES,
    ...DLQ_ROUTES,
  ]
}
