import { setImmediate } from 'node:timers/promises'
import type { Registry } from 'prom-client'
import { systemClock } from '../base/clock.ts'
import type { Family } from './instruments.ts'
import { Histogram } from './instruments.ts'
import type { Metrics } from './metrics.ts'
import type { Sample } from './series-guard.ts'
import { SeriesGuard } from './series-guard.ts'

/** The media type of what `Exposition` writes: Prometheus' text format, version 0.0.4. */
export const EXPOSITION_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

/** These three break the naming rules that `promtool check metrics` holds us to; the same facts are there without them. */
const UNFIT_RUNTIME_METRICS = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
]

/** Lines that are written in one piece: about a millisecond. */
const LINES_AT_ONCE = 1000

/**
 * Writes all metrics as Prometheus text: ours, and those of the process and of Node.js by the names that community
 * dashboards expect, which prom-client brings.
 *
 * Ours are written here and not by prom-client: 10,000 partitions are 60,000 lines, which it takes 150 to 270 ms for and
 * this 50 to 80, and it would spend them in one piece. Here everything else gets its turn again and again.
 */
export class Exposition {
  readonly #metrics: Metrics
  readonly #runtime: Registry
  readonly #guard: SeriesGuard
  #last: Promise<unknown> = Promise.resolve()

  private constructor(metrics: Metrics, runtime: Registry) {
    this.#metrics = metrics
    this.#runtime = runtime
    this.#guard = new SeriesGuard(metrics)
  }

  /** Begins to observe the process. Loads prom-client, which takes some 30 ms: not before the doors are open. */
  static async start(metrics: Metrics): Promise<Exposition> {
    const { collectDefaultMetrics, Registry } = await import('prom-client')
    const runtime = new Registry()
    collectDefaultMetrics({ register: runtime })
    for (const name of UNFIT_RUNTIME_METRICS) runtime.removeSingleMetric(name)
    return new Exposition(metrics, runtime)
  }

  /** One scrape, in UTF-8. Those that come at the same time are answered one after the other. */
  write(): Promise<Buffer> {
    const text = this.#last.then(() => this.#write())
    this.#last = text.catch(() => {})
    return text
  }

  async #write(): Promise<Buffer> {
    const startedAt = systemClock.monotonic()
    const pieces: Buffer[] = []
    this.#guard.look()
    await setImmediate()
    for (const family of this.#metrics.families) {
      for (const piece of writeFamily(family, this.#guard)) {
        // As bytes, since a text of so many parts would have to be put together in one long piece of work.
        if (piece !== '') pieces.push(Buffer.from(piece))
        await setImmediate()
      }
    }
    pieces.push(Buffer.from(await this.#runtime.metrics()))
    const { scrapeDurationSeconds } = this.#metrics
    scrapeDurationSeconds.set((systemClock.monotonic() - startedAt) / 1000)
    return Buffer.concat(pieces)
  }
}

/** One metric name with all its series as Prometheus text, in pieces. */
export function* writeFamily(family: Family, guard?: SeriesGuard): Generator<string, void> {
  const { name, labelNames } = family
  // `{topic="` and `",partition="`: what stands before each label value.
  const openings = labelNames.map((label, index) => (index === 0 ? `{${label}="` : `",${label}="`))
  let text = `# HELP ${name} ${family.help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${name} ${family.type}\n`

  const samples: Sample[] = []
  for (const [labelValues, instrument] of family.children()) {
    if (instrument instanceof Histogram) text += writeHistogram(name, labelNames, labelValues, instrument)
    else samples.push({ value: instrument.value, labelValues })
  }
  for (const _ of readLive(family, guard, samples)) yield ''

  for (const [count, { value, labelValues }] of samples.entries()) {
    text += name
    for (let index = 0; index < openings.length; index++) text += openings[index] + escapeLabelValue(labelValues[index])
    text += openings.length === 0 ? ` ${formatNumber(value)}\n` : `"} ${formatNumber(value)}\n`
    if ((count + 1) % LINES_AT_ONCE !== 0) continue
    yield text
    text = ''
  }
  yield text
}

/** Yields where the family does. */
function* readLive(family: Family, guard: SeriesGuard | undefined, into: Sample[]): Generator<void, void> {
  if (guard !== undefined) return yield* guard.read(family, into)
  const pieces = family.collect?.((value, ...labelValues) => into.push({ value, labelValues }))
  if (pieces !== undefined) yield* pieces
}

function writeHistogram(
  name: string,
  labelNames: readonly string[],
  labelValues: readonly string[],
  histogram: Histogram,
): string {
  const labels = labelNames.map((label, index) => `${label}="${escapeLabelValue(labelValues[index])}"`)
  const ownLabels = labels.length === 0 ? '' : `{${labels.join(',')}}`
  let text = ''
  let cumulative = 0
  for (const [bucket, count] of histogram.counts.entries()) {
    cumulative += count
    const bound = bucket < histogram.bounds.length ? String(histogram.bounds[bucket]) : '+Inf'
    text += `${name}_bucket{${[...labels, `le="${bound}"`].join(',')}} ${cumulative}\n`
  }
  return `${text}${name}_sum${ownLabels} ${formatNumber(histogram.sum)}\n${name}_count${ownLabels} ${histogram.count}\n`
}

function escapeLabelValue(value: string): string {
  if (!/[\\"\n]/.test(value)) return value
  return value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"')
}

function formatNumber(value: number): string {
  if (value === Infinity) return '+Inf'
  return value === -Infinity ? '-Inf' : String(value)
}
