import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { page } from './page.ts'
import { graph, rows, tile, UNIT } from './panels.ts'

const HERE = 'instance=~"$instance"'

function publishLatency(quantile: number): string {
  const buckets = `sum by (le) (rate(cafelog_publish_latency_ms_bucket{${HERE}}[$__rate_interval]))`
  return `histogram_quantile(${quantile}, ${buckets})`
}

/** Broker Overview: does the service do its job? Rate, errors, duration. */
export function overview(): Dashboard {
  const perLine = 8
  return page(
    'cafelog-overview',
    'CafeLog / Broker Overview',
    'Does the broker do its job: throughput, latency, errors',
  )
    .withPanel(
      tile({
        title: 'Up',
        description: 'Whether Prometheus reaches the broker.',
        unit: UNIT.number,
        perLine,
        queries: [[`min(up{job="cafelog",${HERE}})`]],
        steps: [
          [0, 'red'],
          [1, 'green'],
        ],
        words: { 0: 'no', 1: 'yes' },
      }),
    )
    .withPanel(
      tile({
        title: 'Ready',
        description: 'Whether it takes work: every check of /readyz passes. System Health says which one does not.',
        unit: UNIT.number,
        perLine,
        queries: [[`min(cafelog_ready{${HERE}})`]],
        steps: [
          [0, 'red'],
          [1, 'green'],
        ],
        words: { 0: 'no', 1: 'yes' },
      }),
    )
    .withPanel(
      tile({
        title: 'Records in',
        description: 'Records appended to partitions, all topics.',
        unit: UNIT.recordsPerSecond,
        perLine,
        queries: [[`sum(rate(cafelog_messages_total{direction="in",${HERE}}[$__rate_interval]))`]],
        steps: [[0, 'blue']],
      }),
    )
    .withPanel(
      tile({
        title: 'Records out',
        description: 'Records delivered from partitions, all topics and consumers.',
        unit: UNIT.recordsPerSecond,
        perLine,
        queries: [[`sum(rate(cafelog_messages_total{direction="out",${HERE}}[$__rate_interval]))`]],
        steps: [[0, 'blue']],
      }),
    )
    .withPanel(
      tile({
        title: 'Server errors',
        description: 'Share of requests that failed by the fault of the broker. From 1 % on there is an alert.',
        unit: UNIT.share,
        perLine,
        decimals: 2,
        queries: [
          [
            `sum(rate(cafelog_requests_total{result="server_error",${HERE}}[$__rate_interval])) / clamp_min(sum(rate(cafelog_requests_total{${HERE}}[$__rate_interval])), 0.001)`,
          ],
        ],
        steps: [
          [0, 'green'],
          [0.001, 'yellow'],
          [0.01, 'red'],
        ],
      }),
    )
    .withPanel(
      tile({
        title: 'Worst lag',
        description: 'Records that wait for the group and topic that are furthest behind.',
        unit: UNIT.number,
        perLine,
        queries: [[`max(sum by (group, topic) (cafelog_consumer_lag{${HERE}})) or vector(0)`]],
        steps: [
          [0, 'green'],
          [1_000, 'yellow'],
          [10_000, 'red'],
        ],
      }),
    )
    .withPanel(
      tile({
        title: 'Delayed',
        description: 'Delayed records that wait for their time, and those that are due for more than a second.',
        unit: UNIT.number,
        perLine,
        queries: [
          [`sum(cafelog_scheduled_inflight{${HERE}}) or vector(0)`, 'waiting'],
          [`sum(cafelog_scheduled_overdue{${HERE}}) or vector(0)`, 'overdue'],
        ],
        steps: [[0, 'blue']],
      }),
    )
    .withPanel(
      tile({
        title: 'Open dead letters',
        description: 'Records that were put aside and that nobody has sent again or discarded.',
        unit: UNIT.number,
        perLine,
        queries: [[`sum(cafelog_dlq_depth{${HERE}}) or vector(0)`]],
        steps: [
          [0, 'green'],
          [1, 'yellow'],
        ],
      }),
    )
    .withPanel(
      graph({
        title: 'Records in and out',
        description: 'in: appended to partitions. out: delivered; with several groups that is a multiple of in.',
        unit: UNIT.recordsPerSecond,
        queries: [[`sum by (direction) (rate(cafelog_messages_total{${HERE}}[$__rate_interval]))`, '{{direction}}']],
      }),
    )
    .withPanel(
      graph({
        title: 'Publish latency',
        description:
          'From receiving a produce request to acknowledging it, syncs included. p95 above 100 ms is an alert.',
        unit: UNIT.milliseconds,
        redFrom: 100,
        queries: [
          [publishLatency(0.5), 'p50'],
          [publishLatency(0.95), 'p95'],
          [publishLatency(0.99), 'p99'],
        ],
      }),
    )
    .withPanel(
      graph({
        title: 'Errors by type',
        description: 'Error answers by their code on the wire. docs/errors.md has each of them.',
        unit: UNIT.eventsPerSecond,
        isStacked: true,
        queries: [[`sum by (type) (rate(cafelog_errors_total{${HERE}}[$__rate_interval])) > 0`, '{{type}}']],
      }),
    )
    .withPanel(
      graph({
        title: 'Requests by operation',
        description: 'Requests answered, well or with an error.',
        unit: UNIT.requestsPerSecond,
        isStacked: true,
        queries: [
          [`sum by (operation) (rate(cafelog_requests_total{${HERE}}[$__rate_interval])) > 0`, '{{operation}}'],
        ],
      }),
    )
    .withPanel(
      graph({
        title: 'Bytes by protocol',
        description: 'Bytes received (in) and sent (out), by door.',
        unit: UNIT.bytesPerSecond,
        queries: [
          [
            `sum by (protocol, direction) (rate(cafelog_bytes_total{${HERE}}[$__rate_interval]))`,
            '{{protocol}} {{direction}}',
          ],
        ],
      }),
    )
    .withPanel(
      rows({
        title: 'Busiest topics',
        description: 'The ten topics that get most records.',
        perLine: 2,
        labels: { topic: 'topic' },
        sortedBy: 'records in',
        columns: [
          [
            'records in',
            UNIT.recordsPerSecond,
            `topk(10, sum by (topic) (rate(cafelog_messages_total{direction="in",${HERE}}[$__rate_interval])))`,
          ],
        ],
      }),
    )
    .build()
}
