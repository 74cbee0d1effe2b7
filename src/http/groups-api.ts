import { describeMembers, describeOffsets, findGroup, summarizeGroup } from '../broker/group-details.ts'
import type { ApiRoute } from './api-route.ts'

/** Consumer groups: which there are, who is in them, and how far behind they are. */
export const GROUP_ROUTES: readonly ApiRoute[] = [
  {
    method: 'GET',
    path: '/groups',
    action: 'list groups',
    operation: 'list_groups',
    endpoint: 'admin',
    handle: ({ broker }) => ({
      body: { groups: broker.groups.list().map((listing) => summarizeGroup(broker, listing)) },
    }),
  },
  {
    method: 'GET',
    path: '/groups/:group',
    action: 'describe a group',
    operation: 'fetch_offsets',
    endpoint: 'admin',
    handle({ broker, params }) {
      const { group } = params
      const description = findGroup(broker, group)
      const offsets = describeOffsets(broker, group)
      return { body: { group, state: description.state, members: describeMembers(description), offsets } }
    },
  },
]
