// The image in a real Docker engine, and Compose on top of it. Building takes minutes, so this runs only when it is asked for:
//
//   npm run build && CAFELOG_TEST_DOCKER=1 npx vitest run test/deploy/docker.test.ts
//
// Images that cannot be pulled have to be there under their official names; what is not there is skipped.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const ROOT = join(import.meta.dirname, '../..')
const BUILD_MS_MAX = 900_000
const HEALTHY_MS_MAX = 60_000
const OUTPUT_BYTES_MAX = 256 * 1024 * 1024
const NAME = `cafelog-test-${process.pid}`
const IMAGE = `${NAME}:image`
const HARDENED = [
  '--read-only',
  '--cap-drop',
  'ALL',
  '--security-opt',
  'no-new-privileges:true',
  '--stop-timeout',
  '20',
]

function run(command: string, args: readonly string[], options: { input?: string | Buffer; timeout?: number } = {}) {
  const limits = { maxBuffer: OUTPUT_BYTES_MAX, timeout: HEALTHY_MS_MAX, ...options }
  return spawnSync(command, args, { cwd: ROOT, ...limits })
}

const isAskedFor = process.env['CAFELOG_TEST_DOCKER'] === '1'
const hasEngine = isAskedFor && run('docker', ['info']).status === 0
if (!hasEngine) {
  const missing = isAskedFor ? 'there is no Docker engine (apt-get install docker.io)' : 'CAFELOG_TEST_DOCKER is not 1'
  process.stderr.write(`test/deploy/docker.test.ts skips its tests: ${missing}\n`)
}

/** What a docker command printed. @throws what it said when it failed */
function docker(args: readonly string[], options: { input?: string | Buffer; timeout?: number } = {}): Buffer {
  const { status, stdout, stderr } = run('docker', args, options)
  if (status !== 0) throw new Error(`docker ${args.join(' ')}: ${stderr.toString()}`)
  return stdout
}
const say = (args: readonly string[], options: { input?: string | Buffer; timeout?: number } = {}) =>
  docker(args, options).toString().trim()

/** Waits until the image's own health check says so; returns for how long. */
async function healthy(container: string): Promise<number> {
  const began = performance.now()
  for (;;) {
    const state = say(['inspect', '-f', '{{.State.Health.Status}}', container])
    const elapsedMs = performance.now() - began
    if (state === 'healthy') return Math.round(elapsedMs)
    if (elapsedMs > HEALTHY_MS_MAX) throw new Error(`${container} is ${state}: ${say(['logs', container])}`)
    await sleep(100)
  }
}

/** Lines of the broker's log, those of earlier starts too. */
function logOf(container: string): any[] {
  const { stdout, stderr } = run('docker', ['logs', container])
  const lines = `${stdout.toString()}\n${stderr.toString()}`.split('\n').filter((line) => line.startsWith('{'))
  return lines.map((line) => JSON.parse(line))
}
const starts = (container: string) => logOf(container).filter(({ event }) => event === 'ready')

const produce = (container: string, value: string) =>
  docker(['exec', '-i', container, './brokerctl', 'produce', 'user-events', '--key', 'k'], { input: value })
const consume = (container: string) =>
  say(['exec', container, './brokerctl', 'consume', 'user-events', '--from-beginning', '--exit']).split('\n')

describe.skipIf(!hasEngine)('in Docker', () => {
  beforeAll(() => {
    // The host's network, because an engine's own may have no way out.
    docker(['build', '--network', 'host', '-t', IMAGE, '.'], { timeout: BUILD_MS_MAX })
  }, BUILD_MS_MAX)
  afterAll(() => {
    for (const container of [NAME, `${NAME}-restored`]) run('docker', ['rm', '-f', container])
    for (const volume of [NAME, `${NAME}-restored`]) run('docker', ['volume', 'rm', '-f', volume])
    run('docker', ['rmi', IMAGE])
  })

  test('the broker runs without rights and keeps its data over stop, kill and a restored snapshot', async () => {
    const start = (name: string) =>
      docker(['run', '-d', '--name', name, ...HARDENED, '-p', '127.0.0.1:0:8080', '-v', `${name}:/app/data`, IMAGE])
    start(NAME)
    const healthyMs = await healthy(NAME)
    expect(say(['exec', NAME, 'id', '-u'])).toBe('1000')
    expect(run('docker', ['exec', NAME, 'touch', '/app/file']).stderr.toString()).toContain('Read-only file system')
    expect(say(['exec', NAME, 'sh', '-c', 'grep CapEff /proc/1/status'])).toMatch(/^CapEff:\s+0+$/)

    const base = `http://${say(['port', NAME, '8080']).split('\n')[0]}`
    for (const path of ['/livez', '/readyz', '/healthz']) expect((await fetch(base + path)).status, path).toBe(200)
    produce(NAME, '{"n":1}')
    const metrics = await (await fetch(`${base}/metrics`)).text()
    expect(metrics).toMatch(/^cafelog_messages_total\{topic="user-events",partition="\d",direction="in"\} 1$/m)

    const stopping = performance.now()
    docker(['stop', NAME])
    const stopMs = Math.round(performance.now() - stopping)
    expect(say(['inspect', '-f', '{{.State.ExitCode}}', NAME])).toBe('0')
    expect(logOf(NAME).at(-1)).toMatchObject({ event: 'stopped' })
    expect(stopMs).toBeLessThan(15_000)

    docker(['start', NAME])
    await healthy(NAME)
    expect(starts(NAME).at(-1)).toMatchObject({ wasClean: true, recordCount: 1 })
    produce(NAME, '{"n":2}')
    docker(['kill', NAME])
    docker(['start', NAME])
    await healthy(NAME)
    expect(starts(NAME).at(-1)).toMatchObject({ wasClean: false, recordCount: 2 })
    expect(consume(NAME)).toEqual(['{"n":1}', '{"n":2}'])

    const snapshot = docker(['exec', NAME, './brokerctl', 'snapshot', '-'])
    const other = `${NAME}-restored`
    const restore = ['run', '--rm', '-i', ...HARDENED, '-v', `${other}:/app/data`, '--entrypoint', './brokerctl', IMAGE]
    docker([...restore, 'restore', '-', '--data', '/app/data'], { input: snapshot })
    start(other)
    await healthy(other)
    expect(consume(other)).toEqual(['{"n":1}', '{"n":2}'])

    const bytes = Number(say(['image', 'inspect', '-f', '{{.Size}}', IMAGE]))
    const [{ readyMs }] = starts(NAME)
    console.info(
      `docker: image of ${Math.round(bytes / 1e6)} MB, ready after ${readyMs} ms, healthy after ${healthyMs} ms, stopped in ${stopMs} ms`,
    )
  }, 300_000)

  const compose = run('docker', ['compose', 'version']).status === 0 ? ['docker', 'compose'] : ['docker-compose']
  const hasCompose = run(compose[0], [...compose.slice(1), 'version']).status === 0
  if (hasEngine && !hasCompose)
    process.stderr.write(
      'test/deploy/docker.test.ts skips a test: there is no docker-compose (apt-get install docker-compose)\n',
    )
  test.skipIf(!hasCompose)(
    'compose.yaml brings up the broker, and whatever else there is an image of',
    async () => {
      const project = mkdtempSync(join(tmpdir(), 'cafelog-compose-'))
      for (const path of ['compose.yaml', 'configs', 'deploy'])
        cpSync(join(ROOT, path), join(project, path), { recursive: true })
      const hadTag = run('docker', ['image', 'inspect', 'cafelog:latest']).status === 0
      if (!hadTag) docker(['tag', IMAGE, 'cafelog:latest'])
      const call = (...args: string[]) => {
        const file = ['-p', NAME, '-f', join(project, 'compose.yaml'), '--project-directory', project]
        const { status, stdout, stderr } = run(compose[0], [...compose.slice(1), ...file, ...args], {
          timeout: 180_000,
        })
        if (status !== 0) throw new Error(`compose ${args.join(' ')}: ${stderr.toString()}`)
        return stdout.toString().trim()
      }
      try {
        call('config', '-q')
        const images = { prometheus: 'prom/prometheus:v3.5.0', grafana: 'grafana/grafana:12.1.1' }
        const others = Object.entries(images).filter(
          ([, image]) => run('docker', ['image', 'inspect', image]).status === 0,
        )
        call('up', '-d', '--no-build', 'broker', ...others.map(([name]) => name))
        await healthy(call('ps', '-q', 'broker'))
        const metrics = await (await fetch('http://127.0.0.1:8080/metrics')).text()
        expect(metrics).toContain('cafelog_messages')
        expect(
          run('docker', ['exec', call('ps', '-q', 'broker'), './brokerctl', 'topic', 'list']).stdout.toString(),
        ).toContain('order-processing')
        const names = others.map(([name]) => name)
        if (names.includes('prometheus')) await expectScraped()
        if (names.includes('grafana')) await expectDashboards()
        console.info(`compose: broker healthy, and ${names.join(' and ') || 'no image of Prometheus or Grafana'}`)
      } finally {
        call('down', '-v')
        if (!hadTag) docker(['rmi', 'cafelog:latest'])
        rmSync(project, { recursive: true, force: true })
      }
    },
    300_000,
  )
})

/** Asks until the answer is as it should be. */
async function eventually(url: string, fits: (answer: any) => boolean, headers: Record<string, string> = {}) {
  const end = Date.now() + HEALTHY_MS_MAX
  let last: unknown
  while (Date.now() < end) {
    try {
      last = await (await fetch(url, { headers })).json()
      if (fits(last)) return
    } catch (error) {
      last = error
    }
    await sleep(250)
  }
  throw new Error(`${url} says ${last instanceof Error ? last.message : JSON.stringify(last)}`)
}

async function expectScraped(): Promise<void> {
  const query = encodeURIComponent('up{job="cafelog"}')
  await eventually(`http://127.0.0.1:9091/api/v1/query?query=${query}`, ({ data }) => data.result[0]?.value[1] === '1')
  await eventually('http://127.0.0.1:9091/api/v1/rules', ({ data }) => data.groups.length > 0)
}

async function expectDashboards(): Promise<void> {
  const authorization = `Basic ${Buffer.from('admin:admin').toString('base64')}`
  const url = 'http://127.0.0.1:3000/api/dashboards/uid/cafelog-overview'
  await eventually(url, ({ dashboard }) => dashboard?.uid === 'cafelog-overview', { authorization })
}
