import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { page } from './page.ts'
import { graph, rows, tile, UNIT } from './panels.ts'

const HERE = 'instance=~"$instance"'
/** Those that every program has: the job tells ours apart. */
const OF_PROCESS = `job="cafelog",${HERE}`

/** System Health: does the machine cope? Memory, CPU, network, storage. */
export function system(): Dashboard {
  const perLine = 6
  const syncs = (quantile: number) =>
    `histogram_quantile(${quantile}, sum by (le) (rate(cafelog_fsync_duration_seconds_bucket{${HERE}}[$__rate_interval])))`
  return page('cafelog-system', 'CafeLog / System Health', 'Does the machine cope: memory, CPU, network, storage')
    .withPanel(
      tile({
        title: 'Disk free',
        description: 'Of the file system with the data. Below 15 % there is an alert; a full disk refuses records.',
        unit: UNIT.share,
        perLine,
        decimals: 1,
        queries: [[`min(cafelog_disk_free_bytes{${HERE}} / cafelog_disk_total_bytes{${HERE}})`]],
        steps: [
          [0, 'red'],
          [0.05, 'yellow'],
          [0.15, 'green'],
        ],
      }),
    )
    .withPanel(
      tile({
        title: 'Running for',
        description: 'Since the last start.',
        unit: UNIT.seconds,
        perLine,
        queries: [[`min(time() - process_start_time_seconds{${OF_PROCESS}})`]],
        steps: [[0, 'blue']],
      }),
    )
    .withPanel(
      tile({
        title: 'Open files',
        description: 'Share of the file descriptors that the process may have: connections and segments.',
        unit: UNIT.share,
        perLine,
        decimals: 1,
        queries: [[`max(process_open_fds{${OF_PROCESS}} / process_max_fds{${OF_PROCESS}})`]],
        steps: [
          [0, 'green'],
          [0.7, 'yellow'],
          [0.9, 'red'],
        ],
      }),
    )
    .withPanel(
      tile({
        title: 'Partitions offline',
        description: 'Closed for writes by a failed write or sync, until a restart.',
        unit: UNIT.number,
        perLine,
        queries: [[`sum(cafelog_partitions_offline{${HERE}})`]],
        steps: [
          [0, 'green'],
          [1, 'red'],
        ],
      }),
    )
    .withPanel(
      tile({
        title: 'Damaged batches',
        description: 'Record batches that did not match their checksum, since the last start.',
        unit: UNIT.number,
        perLine,
        queries: [[`sum(cafelog_corrupt_batches_total{${HERE}})`]],
        steps: [
          [0, 'green'],
          [1, 'red'],
        ],
      }),
    )
    .withPanel(
      tile({
        title: 'Last recovery',
        description: 'How long opening the log took at the last start.',
        unit: UNIT.seconds,
        perLine,
        decimals: 2,
        queries: [[`max(cafelog_recovery_duration_seconds{${HERE}})`]],
        steps: [[0, 'blue']],
      }),
    )
    .withPanel(
      graph({
        title: 'CPU',
        description: 'Cores in use. One thread does the work: near 1 it is the limit.',
        unit: UNIT.number,
        redFrom: 1,
        queries: [[`rate(process_cpu_seconds_total{${OF_PROCESS}}[$__rate_interval])`, '{{instance}}']],
      }),
    )
    .withPanel(
      graph({
        title: 'Memory',
        description: 'resident: what the process has of the machine. heap: what JavaScript objects take of that.',
        unit: UNIT.bytes,
        queries: [
          [`process_resident_memory_bytes{${OF_PROCESS}}`, '{{instance}} resident'],
          [`nodejs_heap_size_used_bytes{${OF_PROCESS}}`, '{{instance}} heap'],
        ],
      }),
    )
    .withPanel(
      graph({
        title: 'Event loop',
        description: 'How late the one thread comes to its work, 99 of 100 times. Above 0.2 s for long is an alert.',
        unit: UNIT.seconds,
        redFrom: 0.2,
        queries: [[`nodejs_eventloop_lag_p99_seconds{${OF_PROCESS}}`, '{{instance}} p99']],
      }),
    )
    .withPanel(
      graph({
        title: 'Garbage collection',
        description: 'Share of time that is spent on it, by kind.',
        unit: UNIT.share,
        isStacked: true,
        queries: [
          [`sum by (kind) (rate(nodejs_gc_duration_seconds_sum{${OF_PROCESS}}[$__rate_interval]))`, '{{kind}}'],
        ],
      }),
    )
    .withPanel(
      graph({
        title: 'Syncs',
        description: 'How long the disk takes to keep what was written. Publishing with acks=all waits for it.',
        unit: UNIT.seconds,
        queries: [
          [syncs(0.5), 'p50'],
          [syncs(0.99), 'p99'],
        ],
      }),
    )
    .withPanel(
      graph({
        title: 'Disk',
        description: 'Free bytes, and what will be free in four hours if the last hour goes on.',
        unit: UNIT.bytes,
        queries: [
          [`cafelog_disk_free_bytes{${HERE}}`, '{{instance}} free'],
          [
            `clamp_min(predict_linear(cafelog_disk_free_bytes{${HERE}}[1h], 4 * 3600), 0)`,
            '{{instance}} in four hours',
          ],
        ],
      }),
    )
    .withPanel(
      graph({
        title: 'Network',
        description: 'Bytes received (in) and sent (out) by all doors.',
        unit: UNIT.bytesPerSecond,
        queries: [[`sum by (direction) (rate(cafelog_bytes_total{${HERE}}[$__rate_interval]))`, '{{direction}}']],
      }),
    )
    .withPanel(
      graph({
        title: 'Connections',
        description: 'Open connections of clients, and fetches that wait for data.',
        unit: UNIT.number,
        queries: [
          [`sum by (protocol) (cafelog_tcp_connections_current{${HERE}})`, '{{protocol}}'],
          [`sum(cafelog_fetch_waiting{${HERE}})`, 'fetches waiting'],
        ],
      }),
    )
    .withPanel(
      graph({
        title: 'Slowed down or refused',
        description: 'How often senders were held back, and connections rejected.',
        unit: UNIT.eventsPerSecond,
        perLine: 3,
        queries: [
          [`sum by (reason) (rate(cafelog_throttled_total{${HERE}}[$__rate_interval]))`, 'held back: {{reason}}'],
          [
            `sum(rate(cafelog_connections_total{result="rejected",${HERE}}[$__rate_interval])) or vector(0)`,
            'connections rejected',
          ],
        ],
      }),
    )
    .withPanel(
      graph({
        title: 'Series without a place of their own',
        description:
          'What topics and groups beyond CAFELOG_METRICS_MAX_SERIES would have; they are added up under __other__.',
        unit: UNIT.number,
        perLine: 3,
        queries: [[`sum by (instance) (cafelog_metrics_folded_series{${HERE}})`, '{{instance}}']],
      }),
    )
    .withPanel(
      rows({
        title: 'Readiness',
        description: 'The checks of /readyz: 1 passes, 0 fails. /readyz?verbose says why.',
        perLine: 3,
        labels: { instance: 'broker', check: 'check' },
        sortedBy: 'passes',
        columns: [['passes', UNIT.number, `min by (instance, check) (cafelog_ready{${HERE}})`]],
      }),
    )
    .build()
}
