import type { GroupLag } from './groups.ts'
import { groupDigits } from './numbers.ts'

/** How many of the last samples count. */
const SAMPLES_MAX = 6
const BARS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']

interface Sample {
  readonly atMs: number
  readonly total: number
  readonly partitions: ReadonlyMap<string, number>
}

/** Whether a group falls behind or catches up, from what was seen of it last. */
export class LagTrend {
  readonly #samples: Sample[] = []

  /** Takes what was seen at a time in milliseconds. */
  add({ totalLag, partitions }: GroupLag, atMs: number): void {
    const lags = partitions.map(({ topic, partition, lag }) => [`${topic}/${partition}`, lag ?? 0] as const)
    this.#samples.push({ atMs, total: totalLag, partitions: new Map(lags) })
    if (this.#samples.length > SAMPLES_MAX) this.#samples.shift()
  }

  /** `▲ growing (+38/s)`, `▼ shrinking (-12/s)`, `steady`; nothing before there are two samples. */
  get summary(): string {
    const [first, last] = [this.#samples[0], this.#samples.at(-1)]
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return ''
    const change = last.total - first.total
    if (change === 0) return 'steady'
    const rate = Math.abs((change * 1_000) / (last.atMs - first.atMs))
    const digits = rate < 10 ? rate.toFixed(1) : groupDigits(Math.round(rate))
    return change > 0 ? `▲ growing (+${digits}/s)` : `▼ shrinking (-${digits}/s)`
  }

  /** `▁▂▃▅▆█`: the lag of one partition, the highest bar being the most that it was. */
  sparkline(topic: string, partition: number): string {
    const key = `${topic}/${partition}`
    const lags = this.#samples.map(({ partitions }) => partitions.get(key) ?? 0)
    const most = Math.max(1, ...lags)
    return lags.map((lag) => BARS[Math.ceil((lag / most) * (BARS.length - 1))]).join('')
  }
}
