// The dashboards of Grafana are written by deploy/grafana/source: `npm run dashboards` writes the files anew; as a test,
// this file compares, and looks at them as somebody does who has to use them. That their queries return what they should
// is for prometheus.test.ts.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { format, resolveConfig } from 'prettier'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { dashboards } from '../../deploy/grafana/source/dashboards.ts'
import { UNIT } from '../../deploy/grafana/source/panels.ts'
import { Exposition } from '../../src/metrics/exposition.ts'
import { Metrics } from '../../src/metrics/metrics.ts'

const ROOT = join(import.meta.dirname, '../..')
const FOLDER = join(ROOT, 'deploy/grafana/dashboards')
const COLUMNS = 24

/** What Grafana gets. */
const pages: any[] = dashboards().map((dashboard) => JSON.parse(JSON.stringify(dashboard)))
const panelsOf = (page: any): any[] => page.panels.filter(({ type }: any) => type !== 'row')
const queriesOf = (page: any): string[] =>
  panelsOf(page).flatMap(({ targets }) => targets.map(({ expr }: any) => expr as string))

test.each(pages.map((page) => [page.uid, page]))('%s: the file is what the source makes', async (uid, page) => {
  const path = join(FOLDER, `${uid}.json`)
  const text = await format(JSON.stringify(page), { ...(await resolveConfig(path)), filepath: path })
  await expect(text, `${path} is out of date: npm run dashboards`).toMatchFileSnapshot(path)
})

test('there are four, and no file that nobody writes', () => {
  expect(pages.map(({ uid }) => uid)).toEqual([
    'cafelog-overview',
    'cafelog-topics',
    'cafelog-groups',
    'cafelog-system',
  ])
  expect(pages.map(({ title }) => title.replace('CafeLog / ', ''))).toEqual([
    'Broker Overview',
    'Topic Details',
    'Consumer Groups',
    'System Health',
  ])
  expect(readdirSync(FOLDER).toSorted()).toEqual(pages.map(({ uid }) => `${uid}.json`).toSorted())
})

test('every panel says what it is, in what unit, and asks the chosen Prometheus', () => {
  for (const page of pages) {
    const titles = panelsOf(page).map(({ title, type }) => `${title} (${type})`)
    expect(new Set(titles).size, page.uid).toBe(titles.length)
    for (const panel of panelsOf(page)) {
      const where = `${page.uid}: ${panel.title}`
      expect(panel.title, where).toMatch(/^[A-Z]/)
      expect(panel.description, where).toMatch(/^[A-Za-z/].+\.$/s)
      expect(panel.datasource, where).toEqual({ type: 'prometheus', uid: '${datasource}' })
      const units = [
        panel.fieldConfig.defaults.unit,
        ...panel.fieldConfig.overrides.map(({ properties }: any) => properties[0].value),
      ].filter((unit) => unit !== undefined)
      expect(units.length, where).toBeGreaterThan(0)
      for (const unit of units) expect(Object.values(UNIT), where).toContain(unit)
      for (const target of panel.targets) expect(target.datasource, where).toEqual(panel.datasource)
      const letters = panel.targets.map(({ refId }: any) => refId)
      expect(new Set(letters).size, where).toBe(letters.length)
      if (panel.type === 'stat') {
        const { steps } = panel.fieldConfig.defaults.thresholds
        expect(steps[0].value, where).toBeNull()
        const values = steps.slice(1).map(({ value }: any) => value)
        expect(values, where).toEqual(values.toSorted((a: number, b: number) => a - b))
      }
      if (panel.type === 'timeseries') {
        expect(panel.options.legend.showLegend, where).toBe(true)
        for (const { legendFormat } of panel.targets) expect(legendFormat, where).not.toBe('__auto')
      }
    }
  }
})

test('no panel lies on another one or beyond the edge, and lines are full', () => {
  for (const page of pages) {
    const cells = new Map<string, string>()
    for (const { title, gridPos } of page.panels) {
      expect(gridPos.x + gridPos.w, `${page.uid}: ${title}`).toBeLessThanOrEqual(COLUMNS)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(cells.get(`${x} ${y}`), `${page.uid}: ${title}`).toBeUndefined()
          cells.set(`${x} ${y}`, title)
        }
    }
    const height = Math.max(...page.panels.map(({ gridPos }: any) => gridPos.y + gridPos.h))
    expect(cells.size, `${page.uid} has holes`).toBe(COLUMNS * height)
    const ids = page.panels.map(({ id }: any) => id)
    expect(new Set(ids).size).toBe(ids.length)
  }
})

test('what queries leave open can be chosen on the page', () => {
  const builtIn = new Set(['__rate_interval', '__all'])
  for (const page of pages) {
    const choices = new Set<string>(page.templating.list.map(({ name }: any) => name))
    expect([...choices].slice(0, 2)).toEqual(['datasource', 'instance'])
    for (const [, name] of JSON.stringify(page).matchAll(/\$\{?([a-z_]+)/g))
      expect(builtIn.has(name) || choices.has(name), `${page.uid}: $${name}`).toBe(true)
    for (const name of choices)
      expect(JSON.stringify(page.panels), `${page.uid}: ${name}`).toMatch(
        `$${name === 'datasource' ? '{datasource}' : name}`,
      )
  }
})

test('queries ask for metrics and labels that there are', async () => {
  const metrics = new Metrics()
  const scrape = String(await (await Exposition.start(metrics)).write())
  const runtime = new Set([...scrape.matchAll(/^# TYPE ((?:process|nodejs)\w+)/gm)].map(([, name]) => name))
  const labels = new Map(metrics.families.map(({ name, labelNames }) => [name, labelNames]))
  const expressions = pages.flatMap((page) => [
    ...queriesOf(page),
    ...page.templating.list.flatMap(({ query }: any) => query.query ?? []),
  ])
  for (const expression of expressions) {
    for (const [, name, selectors = ''] of expression.matchAll(
      /\b((?:cafelog|process|nodejs)_[a-z0-9_]+)(?:\{([^}]*)\})?/g,
    )) {
      const family = name.replace(/_(?:bucket|count|sum)$/, '')
      expect(labels.has(family) || runtime.has(family), `${name} in ${expression}`).toBe(true)
      for (const [, label] of selectors.matchAll(/(\w+)=~?"/g))
        expect(['job', 'instance', ...(labels.get(family) ?? [])], `${name} in ${expression}`).toContain(label)
    }
  }
})

test('Compose gives Grafana these files and the data source that they choose', () => {
  const { services } = parse(readFileSync(join(ROOT, 'compose.yaml'), 'utf8'), { merge: true })
  const read = (path: string) => parse(readFileSync(join(ROOT, 'deploy/grafana/provisioning', path), 'utf8'))
  const [{ options }] = read('dashboards/cafelog.yaml').providers
  expect(services.grafana.volumes).toContain(`./deploy/grafana/dashboards:${options.path}:ro`)
  expect(services.grafana.volumes).toContain('./deploy/grafana/provisioning:/etc/grafana/provisioning:ro')
  const [source] = read('datasources/prometheus.yaml').datasources
  expect(source).toMatchObject({ type: 'prometheus', isDefault: true })
})
