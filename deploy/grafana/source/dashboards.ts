// The dashboards of deploy/grafana/dashboards/, as code: `npm run dashboards` writes the files.
import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { groups } from './groups.ts'
import { overview } from './overview.ts'
import { system } from './system.ts'
import { topics } from './topics.ts'

/** All dashboards, as Grafana reads them. Panels are numbered from 1 on, so that links to one stay what they are. */
export function dashboards(): readonly Dashboard[] {
  const all = [overview(), topics(), groups(), system()]
  for (const { panels = [] } of all) {
    for (const [index, panel] of panels.entries()) panel.id = index + 1
  }
  return all
}
