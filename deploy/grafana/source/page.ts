import type * as common from '@grafana/grafana-foundation-sdk/common'
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard'
import * as prometheus from '@grafana/grafana-foundation-sdk/prometheus'

/** Whichever Prometheus is chosen at the top of the page. */
export const DATA_SOURCE: common.DataSourceRef = { type: 'prometheus', uid: '${datasource}' }

/** All dashboards have it: by this tag they link to each other. */
const TAG = 'cafelog'

/** A choice at the top of a page: its name in queries, and the metric whose label of that name has the values. */
export interface Choice {
  readonly name: 'instance' | 'topic' | 'group'
  readonly label: string
  readonly metric: string
}

const INSTANCE: Choice = { name: 'instance', label: 'Broker', metric: 'cafelog_build_info' }

/**
 * An empty page as all of ours are: half an hour, anew every ten seconds, the Prometheus and the broker to be chosen, a
 * mark where the broker was started, and links to the others.
 */
export function page(
  uid: string,
  title: string,
  description: string,
  choices: readonly Choice[] = [],
): dashboard.DashboardBuilder {
  return new dashboard.DashboardBuilder(title)
    .uid(uid)
    .description(description)
    .tags([TAG])
    .time({ from: 'now-30m', to: 'now' })
    .refresh('10s')
    .timezone('browser')
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .link(
      new dashboard.DashboardLinkBuilder('CafeLog')
        .type(dashboard.DashboardLinkType.Dashboards)
        .tags([TAG])
        .keepTime(true)
        .includeVars(true),
    )
    .annotation(
      new dashboard.AnnotationQueryBuilder()
        .name('Starts')
        .datasource(DATA_SOURCE)
        .enable(true)
        .iconColor('blue')
        .expr('changes(process_start_time_seconds{job="cafelog",instance=~"$instance"}[1m]) > 0')
        .titleFormat('{{instance}} was started'),
    )
    .annotation(
      new dashboard.AnnotationQueryBuilder()
        .name('Alerts')
        .datasource(DATA_SOURCE)
        .enable(true)
        .iconColor('red')
        .expr('max by (alertname) (ALERTS{alertname=~"CafeLog.*|HighConsumerLag",alertstate="firing"})')
        .titleFormat('{{alertname}}'),
    )
    .variables([
      new dashboard.DatasourceVariableBuilder('datasource').label('Prometheus').type('prometheus'),
      ...[INSTANCE, ...choices].map(choose),
    ])
}

function choose({ name, label, metric }: Choice): dashboard.QueryVariableBuilder {
  return new dashboard.QueryVariableBuilder(name)
    .label(label)
    .datasource(DATA_SOURCE)
    .query({ qryType: 1, query: `label_values(${metric}, ${name})`, refId: `choices of ${name}` })
    .definition(`label_values(${metric}, ${name})`)
    .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
    .sort(dashboard.VariableSort.AlphabeticalAsc)
    .multi(true)
    .includeAll(true)
    .allValue('.*')
    .current({ selected: true, text: ['All'], value: ['$__all'] })
}

/** What Grafana calls the queries of a panel. */
export function queryLetter(index: number): string {
  return 'ABCDEFGH'[index]
}

/** A question to Prometheus, and what its lines are called: `{{label}}` is replaced. */
export type Query = readonly [expression: string, legend?: string]

/** One moment, for tables and tiles; or a line over time, for graphs. */
export function ask([expression, legend]: Query, index: number, of: 'moment' | 'time'): prometheus.DataqueryBuilder {
  const query = new prometheus.DataqueryBuilder()
    .datasource(DATA_SOURCE)
    .refId(queryLetter(index))
    .editorMode(prometheus.QueryEditorMode.Code)
    .expr(expression)
    .legendFormat(legend ?? '__auto')
  if (of === 'time') return query.range().format(prometheus.PromQueryFormat.TimeSeries)
  return query.instant().format(prometheus.PromQueryFormat.Table)
}
