// What docs/operations.md promises of the files that people deploy with. What needs a tool that is not there is skipped,
// and says what to install.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { parseConfig, SETTINGS } from '../../src/config/config.ts'
import { Metrics } from '../../src/metrics/metrics.ts'

const ROOT = join(import.meta.dirname, '../..')
const TOOL_MS_MAX = 15_000

const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')
const readYaml = (path: string) => parse(read(path), { merge: true })

/** Runs a tool on files of the checkout and expects that it finds nothing. */
function expectClean(command: string, args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd: ROOT, encoding: 'utf8', timeout: TOOL_MS_MAX })
  expect({ status, output: status === 0 ? '' : stdout + stderr }).toEqual({ status: 0, output: '' })
}

/** A test that is skipped, visibly, where the tool does not answer to these words. */
function testWith(tool: string, words: readonly string[], install: string) {
  const isMissing = spawnSync(tool, words, { timeout: TOOL_MS_MAX }).status !== 0
  if (isMissing) process.stderr.write(`test/deploy/files.test.ts skips a test: there is no ${tool} (${install})\n`)
  return test.skipIf(isMissing)
}

/** The instructions of the Dockerfile, each on one line, without comments. */
const instructions = read('Dockerfile')
  .replaceAll(/^#.*\n/gm, '')
  .replaceAll(/\\\n\s*/g, '')
  .split('\n')
  .filter((line) => line !== '')
/** Those of the last stage, which is the image. */
const finalStage = instructions.slice(instructions.findLastIndex((line) => line.startsWith('FROM ')))

/** The words of an instruction in its exec form. */
function execForm(start: string): string[] {
  const line = finalStage.find((each) => each.startsWith(start)) ?? ''
  return JSON.parse(line.slice(line.indexOf('['))) as string[]
}

test('the image has several stages with a pinned base, and is not root', () => {
  const bases = instructions.filter((line) => line.startsWith('FROM '))
  expect(bases.length).toBeGreaterThan(1)
  for (const base of bases) expect(base).toMatch(/^FROM node:\d+-slim\b/)
  expect(finalStage.filter((line) => line.startsWith('USER '))).toEqual(['USER 1000:1000'])
})

test('signals reach the broker, and its health is asked without a shell or curl', () => {
  expect(execForm('ENTRYPOINT')).toEqual(['node', 'dist/bin/cafelog.js'])
  expect(execForm('HEALTHCHECK')).toEqual(['node', 'dist/bin/brokerctl.js', 'health', '--ready'])
  expect(finalStage).toContain('STOPSIGNAL SIGTERM')
})

test('the image has its data and its configuration where everybody looks for them', () => {
  const environment = finalStage.filter((line) => line.startsWith('ENV ')).join(' ')
  expect(environment).toContain('CAFELOG_DATA_DIR=/app/data')
  expect(environment).toContain('CAFELOG_CONFIG_DIR=/app/configs')
  expect(execForm('VOLUME')).toEqual(['/app/data'])
  expect(finalStage).toContain('EXPOSE 7070 8080 9092')
})

test('what the Dockerfile copies gets past .dockerignore, and nothing else does', () => {
  const sources = instructions
    .filter((line) => line.startsWith('COPY ') && !line.includes('--from='))
    .flatMap((line) => line.split(' ').slice(1, -1))
  const allowed = read('.dockerignore').matchAll(/^!(.+)$/gm)
  expect([...new Set(sources)].toSorted()).toEqual([...allowed].map(([, path]) => path).toSorted())
  for (const source of sources) expect(existsSync(join(ROOT, source)), source).toBe(true)
  expect(read('.dockerignore')).toMatch(/^\*$/m)
})

test.each(['compose.yaml', 'compose.dev.yaml'])(
  '%s has broker, Prometheus and Grafana where the README says',
  (file) => {
    const main = readYaml('compose.yaml').services
    const own = readYaml(file).services
    const service = (name: string) => ({ ...(own[name].extends === undefined ? {} : main[name]), ...own[name] })
    const portsOf = (name: string) => service(name).ports.map((port: string) => port.replace(/^\$\{.*\}:/, ''))
    expect(portsOf('broker').toSorted()).toEqual(['7070:7070', '8080:8080', '9092:9092'])
    expect(portsOf('prometheus')).toEqual(['9091:9090'])
    expect(portsOf('grafana')).toEqual(['3000:3000'])
    expect(service('broker').volumes).toEqual(expect.arrayContaining(['./data:/app/data', './configs:/app/configs:ro']))
    expect(service('broker').healthcheck.test).toEqual(['CMD', ...execForm('HEALTHCHECK')])
    for (const name of ['broker', 'prometheus', 'grafana']) expect(service(name).cap_drop).toEqual(['ALL'])
    for (const port of ['broker', 'prometheus', 'grafana'].flatMap((name) => service(name).ports))
      expect(port).toMatch(/^\$\{CAFELOG_BIND:-127\.0\.0\.1\}:/)
  },
)

test('compose.yaml: nothing can be written but data, images are pinned, files that are mounted exist', () => {
  const { services } = readYaml('compose.yaml')
  for (const [name, { image, read_only: isReadOnly }] of Object.entries<any>(services)) {
    expect(isReadOnly, name).toBe(true)
    if (!image.startsWith('cafelog:')) expect(image).toMatch(/:v?\d+\.\d+\.\d+$/)
  }
  const mounts = Object.values<any>(services).flatMap(({ volumes }) => volumes as string[])
  const paths = mounts.filter((mount) => mount.startsWith('./') && !mount.startsWith('./data:'))
  for (const path of paths) expect(existsSync(join(ROOT, path.split(':')[0])), path).toBe(true)
  expect(services.grafana.environment).toMatchObject({
    GF_SECURITY_ADMIN_USER: 'admin',
    GF_SECURITY_ADMIN_PASSWORD: expect.stringContaining(':-admin}'),
  })
})

test('whoever stops the broker waits longer than its drain takes', () => {
  const { shutdownTimeoutMs } = parseConfig({}, 4096)
  const unit = read('deploy/systemd/cafelog.service')
  const seconds = Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])
  expect(seconds * 1000).toBeGreaterThan(shutdownTimeoutMs)
  for (const file of ['compose.yaml', 'compose.dev.yaml'])
    expect(parseInt(readYaml(file).services.broker.stop_grace_period) * 1000).toBeGreaterThan(shutdownTimeoutMs)
})

test('every setting in the files that people deploy with is one', () => {
  const known = new Set<string>(Object.values(SETTINGS).map(({ variable }) => variable))
  // Compose's own: the address of the published ports.
  known.add('CAFELOG_BIND')
  for (const file of ['Dockerfile', 'compose.yaml', 'compose.dev.yaml', 'deploy/systemd/cafelog.service'])
    for (const [name] of read(file).matchAll(/\bCAFELOG_[A-Z_]+/g)) expect(known, `${file}: ${name}`).toContain(name)
})

const ALERT_TESTS = ['deploy/prometheus/alerts.test.yml', 'deploy/prometheus/alerts-of-days.test.yml']
const alerts: any[] = readYaml('deploy/prometheus/alerts.yml').groups.flatMap((group: any) => group.rules)

test('alerts ask for metrics that there are, and each has a severity, a page and a test', () => {
  const names = new Set(new Metrics().families.map(({ name }) => name))
  const tested = new Set<string>(
    ALERT_TESTS.flatMap((file) => readYaml(file).tests)
      .flatMap((each: any) => each.alert_rule_test)
      .filter((one: any) => one.exp_alerts.length > 0)
      .map((one: any) => one.alertname),
  )
  for (const { alert, expr, labels, annotations } of alerts) {
    for (const [name] of expr.matchAll(/\bcafelog_[a-z_]+/g))
      expect(names, alert).toContain(name.replace(/_(?:bucket|count|sum)$/, ''))
    expect(['critical', 'warning', 'info']).toContain(labels.severity)
    expect(annotations.summary, alert).toMatch(/\{\{/)
    expect(read(annotations.runbook_url), alert).toContain(alert)
    expect(tested, alert).toContain(alert)
  }
})

test('HighConsumerLag is as it has always been', () => {
  expect(alerts.find(({ alert }) => alert === 'HighConsumerLag')).toMatchObject({
    expr: 'cafelog_consumer_lag > 10000',
    for: '5m',
    labels: { severity: 'warning' },
    annotations: { summary: expect.stringContaining('$labels.topic') },
  })
})

test('Prometheus scrapes the broker under the name that alerts ask for', () => {
  const { scrape_configs: jobs } = readYaml('deploy/prometheus.yml')
  expect(jobs[0]).toMatchObject({ job_name: 'cafelog', static_configs: [{ targets: ['broker:8080'] }] })
})

const testWithPromtool = testWith('promtool', ['--version'], 'apt-get install prometheus')
testWithPromtool('promtool: the rules are valid, and each fires when it should', () => {
  expectClean('promtool', ['check', 'rules', 'deploy/prometheus/alerts.yml'])
  expectClean('promtool', ['test', 'rules', ...ALERT_TESTS])
})

const compose = spawnSync('docker', ['compose', 'version']).status === 0 ? ['docker', 'compose'] : ['docker-compose']
const testWithCompose = testWith(compose[0], [...compose.slice(1), 'version'], 'apt-get install docker-compose')
testWithCompose.each(['compose.yaml', 'compose.dev.yaml'])('Compose: %s is valid', (file) => {
  expectClean(compose[0], [...compose.slice(1), '-f', file, 'config', '-q'])
})

const testWithSystemd = testWith('systemd-analyze', ['--version'], 'apt-get install systemd')
testWithSystemd('systemd-analyze: the unit is valid', () => {
  expectClean('systemd-analyze', ['verify', 'deploy/systemd/cafelog.service'])
})
