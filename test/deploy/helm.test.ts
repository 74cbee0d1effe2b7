// The Helm chart: its files agree with each other, and what comes of it is what docs/operations.md says.
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { startWholeBroker } from '../support/start-broker.ts'

const ROOT = join(import.meta.dirname, '../..')
const CHART = join(ROOT, 'deploy/helm/cafelog')
const HELM_MS_MAX = 15_000
const FLAGS = ['podDisruptionBudget', 'networkPolicy', 'serviceMonitor', 'prometheusRule']

const read = (path: string) => readFileSync(join(CHART, path), 'utf8')
const values = parse(read('values.yaml'))
const schema = JSON.parse(read('values.schema.json'))
const templates = readdirSync(join(CHART, 'templates'))

function helm(...args: string[]) {
  return spawnSync('helm', args, { encoding: 'utf8', timeout: HELM_MS_MAX })
}

const isMissing = helm('version').status !== 0
if (isMissing) process.stderr.write('test/deploy/helm.test.ts skips tests: there is no helm (https://helm.sh)\n')
const testWithHelm = test.skipIf(isMissing)

/** What the chart makes of these values, by kind. */
function render(...args: string[]): Map<string, any> {
  const { stdout, stderr } = helm('template', 'shop', CHART, ...args)
  expect(stderr).toBe('')
  const manifests = parseAllDocuments(stdout).map((document) => document.toJS())
  return new Map(manifests.map((manifest) => [manifest.kind, manifest]))
}

test('the schema knows every value, and templates use every value and no other', () => {
  const { global, ...known } = schema.properties
  expect(global).toBeDefined()
  expect(Object.keys(known).toSorted()).toEqual(Object.keys(values).toSorted())
  const text = templates.map((name) => read(`templates/${name}`)).join('')
  const used = new Set([...text.matchAll(/\.Values\.(\w+)/g)].map(([, name]) => name))
  expect([...used].toSorted()).toEqual(Object.keys(values).toSorted())
})

test('each flag is off and has a template of its own', () => {
  for (const flag of FLAGS) {
    expect(values[flag].enabled).toBe(false)
    expect(read(`templates/${flag.toLowerCase()}.yaml`)).toContain(`if .Values.${flag}.enabled`)
  }
})

test('the version of the image is that of the package, and the alerts are those of deploy/prometheus', () => {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  expect(parse(read('Chart.yaml')).appVersion).toBe(version)
  expect(read('alerts.yml')).toBe(readFileSync(join(ROOT, 'deploy/prometheus/alerts.yml'), 'utf8'))
})

test('a broker answers what the probes ask', async () => {
  const paths = [...read('templates/statefulset.yaml').matchAll(/httpGet: \{ path: (\S+), port: http \}/g)]
  expect(paths.map(([, path]) => path)).toEqual(['/livez', '/readyz', '/livez'])
  const broker = await startWholeBroker()
  try {
    for (const [, path] of paths) {
      const answer = await fetch(`http://127.0.0.1:${broker.httpPort}${path}`)
      expect([path, answer.status]).toEqual([path, 200])
    }
  } finally {
    await broker.stop()
  }
})

testWithHelm('helm lint finds nothing', () => {
  const { status, stdout } = helm('lint', '--strict', CHART)
  expect({ status, output: status === 0 ? '' : stdout }).toEqual({ status: 0, output: '' })
})

testWithHelm('the pod is not root, writes only to its volume, and its probes ask what answers', () => {
  const { spec } = render().get('StatefulSet').spec.template
  const [container] = spec.containers
  expect(spec.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000, fsGroup: 1000 })
  expect(container.securityContext).toEqual({
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    capabilities: { drop: ['ALL'] },
  })
  expect(container.image).toMatch(/^cafelog:\d+\.\d+\.\d+$/)
  expect(container.livenessProbe.httpGet).toEqual({ path: '/livez', port: 'http' })
  expect(container.readinessProbe.httpGet).toEqual({ path: '/readyz', port: 'http' })
  expect(container.ports.map((port: any) => port.containerPort)).toEqual([8080, 7070, 9092])
})

testWithHelm('what a flag stands for is there with it, and not without', () => {
  const always = ['ConfigMap', 'Service', 'StatefulSet']
  expect([...render().keys()].toSorted()).toEqual(always)
  const all = render('--set', FLAGS.map((flag) => `${flag}.enabled=true`).join(','))
  const kinds = ['NetworkPolicy', 'PodDisruptionBudget', 'PrometheusRule', 'ServiceMonitor']
  expect([...all.keys()].toSorted()).toEqual([...always, ...kinds].toSorted())
  expect(all.get('PrometheusRule').spec).toEqual(parse(read('alerts.yml')))
})

testWithHelm('every flag goes with every other one, and with values that are not the defaults', () => {
  const others = [
    'image.tag=1.2.3,persistence.storageClass=fast,service.type=LoadBalancer,kafkaAdvertised=kafka.example.com:9092',
    'imagePullSecrets[0].name=key,nodeSelector.disk=ssd,networkPolicy.from[0].podSelector.matchLabels.app=shop',
  ]
  for (let bits = 0; bits < 2 ** FLAGS.length; bits++) {
    const on = FLAGS.filter((_flag, index) => (bits & (1 << index)) !== 0)
    const flags = FLAGS.map((flag) => `${flag}.enabled=${on.includes(flag)}`).join(',')
    const manifests = render('--set', [flags, ...(bits % 2 === 0 ? [] : others)].join(','))
    for (const flag of FLAGS) {
      const kind = flag.slice(0, 1).toUpperCase() + flag.slice(1)
      expect(manifests.has(kind), `${kind} with ${on.join(' ')}`).toBe(on.includes(flag))
    }
    const { spec } = manifests.get('StatefulSet').spec.template
    expect(spec.securityContext.runAsNonRoot).toBe(true)
    expect(spec.containers[0].image).toMatch(/^cafelog:\d+\.\d+\.\d+$/)
  }
  const all = FLAGS.map((flag) => `${flag}.enabled=true`).join(',')
  const { status, stdout } = helm('lint', '--strict', CHART, '--set', [all, ...others].join(','))
  expect({ status, output: status === 0 ? '' : stdout }).toEqual({ status: 0, output: '' })
})

testWithHelm.each(['image.tag=latest', 'persistence.size=ten', 'settings.CAFELOG_TCP_ADDR=:1', 'replicas=3'])(
  'the schema refuses %s',
  (value) => {
    expect(helm('template', 'shop', CHART, '--set', value).status).not.toBe(0)
  },
)
