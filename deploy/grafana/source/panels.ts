import * as common from '@grafana/grafana-foundation-sdk/common'
import * as dashboard from '@grafana/grafana-foundation-sdk/dashboard'
import * as stat from '@grafana/grafana-foundation-sdk/stat'
import * as statetimeline from '@grafana/grafana-foundation-sdk/statetimeline'
import * as table from '@grafana/grafana-foundation-sdk/table'
import * as timeseries from '@grafana/grafana-foundation-sdk/timeseries'
import type { Query } from './page.ts'
import { ask, DATA_SOURCE, queryLetter } from './page.ts'

/** How many columns a page of Grafana has. */
const COLUMNS = 24

/** Units, by the names that Grafana knows them by; `si:` shortens and adds what follows. */
export const UNIT = {
  number: 'short',
  recordsPerSecond: 'si:rec/s',
  requestsPerSecond: 'reqps',
  eventsPerSecond: 'ops',
  bytes: 'bytes',
  bytesPerSecond: 'binBps',
  milliseconds: 'ms',
  seconds: 's',
  share: 'percentunit',
} as const
type Unit = (typeof UNIT)[keyof typeof UNIT]

/** From this value on, a tile has this colour. */
type Step = readonly [from: number, color: 'green' | 'yellow' | 'red' | 'blue']

/** What every panel says. */
interface PanelFacts {
  readonly title: string
  /** What it shows and what to think of it, for whoever points at the `i`. */
  readonly description: string
  readonly unit: Unit
  readonly queries: readonly Query[]
}

/** A large number, with the colour of its state and its recent course. */
export function tile(
  facts: PanelFacts & {
    /** The first colour holds from minus infinity on. */
    readonly steps: readonly Step[]
    /** Of so many on a line. */
    readonly perLine: number
    readonly decimals?: number
    /** Words in place of numbers. */
    readonly words?: Readonly<Record<string, string>>
  },
): stat.PanelBuilder {
  const panel = new stat.PanelBuilder()
    .title(facts.title)
    .description(facts.description)
    .datasource(DATA_SOURCE)
    .unit(facts.unit)
    .noValue('–')
    .span(COLUMNS / facts.perLine)
    .height(4)
    .thresholds(thresholds(facts.steps))
    .colorScheme(new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.Thresholds))
    .colorMode(common.BigValueColorMode.Value)
    .graphMode(facts.words === undefined ? common.BigValueGraphMode.Area : common.BigValueGraphMode.None)
    .textMode(facts.queries.length > 1 ? common.BigValueTextMode.ValueAndName : common.BigValueTextMode.Value)
    .reduceOptions(new common.ReduceDataOptionsBuilder().calcs(['lastNotNull']))
    .targets(facts.queries.map((query, index) => ask(query, index, 'time')))
  if (facts.decimals !== undefined) panel.decimals(facts.decimals)
  if (facts.words !== undefined) panel.mappings([toWords(facts.words)])
  return panel
}

/** Lines over time. */
export function graph(
  facts: PanelFacts & {
    /** Of so many on a line; 2 unless given. */
    readonly perLine?: number
    /** Whether the lines are parts of a whole. */
    readonly isStacked?: boolean
    /** Above this it is red. */
    readonly redFrom?: number
    /** The top of the scale, for shares. */
    readonly max?: number
    /** Whether values may be negative. */
    readonly isSigned?: boolean
  },
): timeseries.PanelBuilder {
  const panel = new timeseries.PanelBuilder()
    .title(facts.title)
    .description(facts.description)
    .datasource(DATA_SOURCE)
    .unit(facts.unit)
    .span(COLUMNS / (facts.perLine ?? 2))
    .height(8)
    .lineWidth(1)
    .fillOpacity(facts.isStacked === true ? 40 : 8)
    .showPoints(common.VisibilityMode.Never)
    .colorScheme(new dashboard.FieldColorBuilder().mode(dashboard.FieldColorModeId.PaletteClassicByName))
    .legend(
      new common.VizLegendOptionsBuilder()
        .showLegend(true)
        .displayMode(common.LegendDisplayMode.Table)
        .placement(common.LegendPlacement.Bottom)
        .calcs(['lastNotNull', 'max']),
    )
    .tooltip(
      new common.VizTooltipOptionsBuilder().mode(common.TooltipDisplayMode.Multi).sort(common.SortOrder.Descending),
    )
    .targets(facts.queries.map((query, index) => ask(query, index, 'time')))
  if (facts.isSigned !== true) panel.min(0)
  if (facts.max !== undefined) panel.max(facts.max)
  if (facts.isStacked === true) panel.stacking(new common.StackingConfigBuilder().mode(common.StackingMode.Normal))
  if (facts.redFrom !== undefined) {
    panel
      .thresholds(
        thresholds([
          [0, 'green'],
          [facts.redFrom, 'red'],
        ]),
      )
      .thresholdsStyle(new common.GraphThresholdsStyleConfigBuilder().mode(common.GraphThresholdsStyleMode.Dashed))
  }
  return panel
}

/** Bars that say in what state something was when. */
export function states(
  facts: Omit<PanelFacts, 'unit'> & {
    /** The word and the colour for each value. */
    readonly words: Readonly<Record<string, readonly [word: string, color: string]>>
  },
): statetimeline.PanelBuilder {
  return new statetimeline.PanelBuilder()
    .title(facts.title)
    .description(facts.description)
    .datasource(DATA_SOURCE)
    .unit(UNIT.number)
    .span(COLUMNS)
    .height(8)
    .mergeValues(true)
    .showValue(common.VisibilityMode.Auto)
    .legend(new common.VizLegendOptionsBuilder().showLegend(true).displayMode(common.LegendDisplayMode.List))
    .mappings([toWords(facts.words)])
    .targets(facts.queries.map((query, index) => ask(query, index, 'time')))
}

/** Rows of the present moment: a column for each query, and one for each label. */
export function rows(
  facts: Omit<PanelFacts, 'unit' | 'queries'> & {
    /** Title, unit and expression of each column of values. */
    readonly columns: readonly (readonly [title: string, unit: Unit, expression: string])[]
    /** The labels that tell rows apart, and their titles. */
    readonly labels: Readonly<Record<string, string>>
    /** The column by which they are sorted, largest first. */
    readonly sortedBy: string
    readonly perLine?: number
  },
): table.PanelBuilder {
  const { columns, labels } = facts
  // A single query's values are called `Value`, those of several `Value #A`, `Value #B`.
  const valueNames = columns.map((_, index) => (columns.length === 1 ? 'Value' : `Value #${queryLetter(index)}`))
  const names = { ...labels, ...Object.fromEntries(columns.map(([title], index) => [valueNames[index], title])) }
  const panel = new table.PanelBuilder()
    .title(facts.title)
    .description(facts.description)
    .datasource(DATA_SOURCE)
    .span(COLUMNS / (facts.perLine ?? 1))
    .height(8)
    .filterable(true)
    .sortBy([new common.TableSortByFieldStateBuilder().displayName(facts.sortedBy).desc(true)])
    .withTransformation({ id: 'merge', options: {} })
    .withTransformation({
      id: 'organize',
      options: {
        excludeByName: { Time: true },
        indexByName: Object.fromEntries(Object.keys(names).map((name, index) => [name, index])),
        renameByName: names,
      },
    })
    .targets(columns.map(([, , expression], index) => ask([expression], index, 'moment')))
  for (const [title, unit] of columns) panel.overrideByName(title, [{ id: 'unit', value: unit }])
  return panel
}

function thresholds(steps: readonly Step[]): dashboard.ThresholdsConfigBuilder {
  return new dashboard.ThresholdsConfigBuilder()
    .mode(dashboard.ThresholdsMode.Absolute)
    .steps(steps.map(([value, color], index) => ({ value: index === 0 ? null : value, color })))
}

function toWords(
  words: Readonly<Record<string, string | readonly [word: string, color: string]>>,
): dashboard.ValueMapping {
  const options = Object.entries(words).map(([value, word], index) => {
    const [text, color] = typeof word === 'string' ? [word] : word
    return [value, { text, index, ...(color === undefined ? {} : { color }) }] as const
  })
  return { type: dashboard.MappingType.ValueToText, options: Object.fromEntries(options) }
}
