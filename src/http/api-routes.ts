import type { ApiRoute } from './api-route.ts'
import { BROKER_ROUTES } from './broker-api.ts'
import { TOPIC_ROUTES } from './topics-api.ts'

/** Everything that can be asked for under /api/v1. */
export const API_ROUTES: readonly ApiRoute[] = [...BROKER_ROUTES, ...TOPIC_ROUTES]
