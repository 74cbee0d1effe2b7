import type { ChildProcess } from 'node:child_process'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** One series of an answer, with its values over time; a question about a moment has one. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>
  readonly values: readonly { readonly atMs: number; readonly value: number }[]
}

/** A rule as Prometheus sees it. */
export interface RuleState {
  readonly name: string
  readonly state: 'inactive' | 'pending' | 'firing'
  readonly health: string
  readonly lastError?: string
  readonly alerts: readonly {
    readonly state: string
    readonly labels: Readonly<Record<string, string>>
    readonly annotations: Readonly<Record<string, string>>
  }[]
}

/** A real Prometheus, as a process of its own on a free port, which asks its targets every second. */
export class Prometheus {
  readonly #directory: string
  readonly #child: ChildProcess
  readonly #url: string
  readonly #kill = () => this.#child.kill('SIGKILL')

  private constructor(directory: string, child: ChildProcess, port: number) {
    this.#directory = directory
    this.#child = child
    this.#url = `http://127.0.0.1:${port}`
    process.once('exit', this.#kill)
  }

  /** Whether there is one to start. */
  static isThere(): boolean {
    return spawnSync('prometheus', ['--version']).status === 0
  }

  /** Starts one that scrapes these ports as the job `cafelog` and holds to these rules; resolves when it is ready. */
  static async start(options: { readonly ports: readonly number[]; readonly rules: string }): Promise<Prometheus> {
    const directory = mkdtempSync(join(tmpdir(), 'cafelog-prometheus-'))
    writeFileSync(join(directory, 'alerts.yml'), options.rules)
    const targets = options.ports.map((port) => `"127.0.0.1:${port}"`).join(', ')
    writeFileSync(
      join(directory, 'prometheus.yml'),
      `global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }
rule_files: [alerts.yml]
scrape_configs:
  - job_name: cafelog
    static_configs: [{ targets: [${targets}] }]
`,
    )
    const port = await findFreePort()
    const child = spawn(
      'prometheus',
      [
        `--config.file=${join(directory, 'prometheus.yml')}`,
        `--storage.tsdb.path=${join(directory, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
        '--log.level=error',
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    )
    let complaint = ''
    child.stderr?.on('data', (chunk: Buffer) => (complaint += String(chunk)))
    const prometheus = new Prometheus(directory, child, port)
    while (!(await prometheus.#isReady())) {
      if (child.exitCode === null) continue
      await prometheus.stop()
      throw new Error(`Prometheus ended before it was ready: ${complaint}`)
    }
    return prometheus
  }

  /** What an expression gives at a moment, by default now. */
  async query(expression: string, atMs = Date.now()): Promise<Series[]> {
    const { result } = await this.#ask('query', { query: expression, time: String(atMs / 1000) })
    // A number alone has no labels.
    if (!Array.isArray(result[0]?.value) && typeof result[1] === 'string')
      return [{ labels: {}, values: [{ atMs: result[0] * 1000, value: Number(result[1]) }] }]
    return result.map(({ metric, value }: any) => toSeries(metric, [value]))
  }

  /** What an expression gives each second. */
  async queryRange(expression: string, fromMs: number, toMs: number): Promise<Series[]> {
    const range = { query: expression, start: String(fromMs / 1000), end: String(toMs / 1000), step: '1' }
    const { result } = await this.#ask('query_range', range)
    return result.map(({ metric, values }: any) => toSeries(metric, values))
  }

  /** The values of a label, as a page of Grafana asks for them. */
  async labelValues(label: string, metric: string): Promise<string[]> {
    return this.#ask(`label/${label}/values`, { 'match[]': metric })
  }

  async rules(): Promise<RuleState[]> {
    const { groups } = await this.#ask('rules', { type: 'alert' })
    return groups.flatMap(({ rules }: any) => rules)
  }

  /** Waits until this target was scraped at a later moment than this one. */
  async scrapedSince(atMs: number, port: number): Promise<void> {
    for (;;) {
      const [series] = await this.query(`timestamp(up{instance="127.0.0.1:${port}"})`)
      if (series !== undefined && series.values[0].value * 1000 > atMs) return
      await pause()
    }
  }

  /** Waits until this alert has fired with these labels, and returns what it says. */
  async fired(name: string, labels: Readonly<Record<string, string>>, timeoutMs: number): Promise<string> {
    const deadline = Date.now() + timeoutMs
    for (;;) {
      const rule = (await this.rules()).find((each) => each.name === name)
      const alert = rule?.alerts.find(
        (each) => each.state === 'firing' && Object.entries(labels).every(([key, value]) => each.labels[key] === value),
      )
      if (alert !== undefined) return alert.annotations['summary']
      if (Date.now() > deadline) throw new Error(`${name} does not fire: ${JSON.stringify(rule)}`)
      await pause()
    }
  }

  async stop(): Promise<void> {
    process.off('exit', this.#kill)
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, 'exit')
      this.#child.kill('SIGTERM')
      await exited
    }
    rmSync(this.#directory, { recursive: true, force: true })
  }

  async #isReady(): Promise<boolean> {
    await pause()
    const answer = await fetch(`${this.#url}/-/ready`).catch(() => undefined)
    return answer?.ok === true
  }

  async #ask(path: string, parameters: Readonly<Record<string, string>>): Promise<any> {
    const answer = await fetch(`${this.#url}/api/v1/${path}?${String(new URLSearchParams(parameters))}`)
    const { status, data, error } = (await answer.json()) as any
    if (status !== 'success') throw new Error(`Prometheus says ${error} to ${JSON.stringify(parameters)}`)
    return data
  }
}

function toSeries(labels: Record<string, string>, values: readonly [seconds: number, value: string][]): Series {
  return { labels, values: values.map(([seconds, value]) => ({ atMs: seconds * 1000, value: Number(value) })) }
}

function pause(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, 100)
  })
}

async function findFreePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
