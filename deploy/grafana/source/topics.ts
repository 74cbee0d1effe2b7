import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { RowBuilder } from '@grafana/grafana-foundation-sdk/dashboard'
import { page } from './page.ts'
import { graph, rows, tile, UNIT } from './panels.ts'

const HERE = 'instance=~"$instance",topic=~"$topic"'

/** Topic Details: what is in the topics, by partition, and what happens to records on their way there. */
export function topics(): Dashboard {
  const perLine = 6
  const recordsIn = (window: string) =>
    `sum by (topic, partition) (rate(cafelog_messages_total{direction="in",${HERE}}[${window}]))`
  return page('cafelog-topics', 'CafeLog / Topic Details', 'What is in the topics, by partition', [
    { name: 'topic', label: 'Topic', metric: 'cafelog_partitions' },
  ])
    .withPanel(
      tile({
        title: 'Records stored',
        description: 'Offsets between the oldest record kept and the end of the log; compaction leaves gaps in them.',
        unit: UNIT.number,
        perLine,
        queries: [[`sum(cafelog_log_end_offset{${HERE}} - cafelog_log_start_offset{${HERE}})`]],
        steps: [[0, 'blue']],
      }),
    )
    .withPanel(
      tile({
        title: 'Size on disk',
        description: 'Bytes of all segments.',
        unit: UNIT.bytes,
        perLine,
        queries: [[`sum(cafelog_log_size_bytes{${HERE}})`]],
        steps: [[0, 'blue']],
      }),
    )
    .withPanel(
      tile({
        title: 'Partitions',
        description: 'Partitions of the chosen topics, and the segments of their logs.',
        unit: UNIT.number,
        perLine,
        queries: [
          [`sum(cafelog_partitions{${HERE}})`, 'partitions'],
          [`sum(cafelog_log_segments{${HERE}})`, 'segments'],
        ],
        steps: [[0, 'blue']],
      }),
    )
    .withPanel(
      tile({
        title: 'Partition skew',
        description:
          'How many times the mean the busiest partition gets, over 15 minutes. 1 is even; much more is a hot key.',
        unit: UNIT.number,
        perLine,
        decimals: 2,
        queries: [[`max(${recordsIn('15m')}) / clamp_min(avg(${recordsIn('15m')}), 0.000001)`]],
        steps: [
          [0, 'green'],
          [2, 'yellow'],
          [5, 'red'],
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
        title: 'Do not fit their schema',
        description:
          'Share of checked records that did not fit the schema of their topic. From 5 % on there is an alert.',
        unit: UNIT.share,
        perLine,
        decimals: 1,
        queries: [
          [
            `sum(rate(cafelog_schema_validations_total{result="invalid",${HERE}}[$__rate_interval])) / clamp_min(sum(rate(cafelog_schema_validations_total{${HERE}}[$__rate_interval])), 0.000001) or vector(0)`,
          ],
        ],
        steps: [
          [0, 'green'],
          [0.01, 'yellow'],
          [0.05, 'red'],
        ],
      }),
    )
    .withPanel(
      graph({
        title: 'Records in, by partition',
        description: 'Records appended to each partition.',
        unit: UNIT.recordsPerSecond,
        queries: [[recordsIn('$__rate_interval'), '{{topic}} / {{partition}}']],
      }),
    )
    .withPanel(
      graph({
        title: 'Records in and out',
        description: 'in: appended. out: delivered to consumers of all groups.',
        unit: UNIT.recordsPerSecond,
        queries: [
          [
            `sum by (topic, direction) (rate(cafelog_messages_total{${HERE}}[$__rate_interval]))`,
            '{{topic}} {{direction}}',
          ],
        ],
      }),
    )
    .withPanel(
      rows({
        title: 'Partitions',
        description: 'The offsets of each partition.',
        labels: { topic: 'topic', partition: 'partition' },
        sortedBy: 'offsets kept',
        columns: [
          ['log start offset', UNIT.number, `sum by (topic, partition) (cafelog_log_start_offset{${HERE}})`],
          ['log end offset', UNIT.number, `sum by (topic, partition) (cafelog_log_end_offset{${HERE}})`],
          [
            'offsets kept',
            UNIT.number,
            `sum by (topic, partition) (cafelog_log_end_offset{${HERE}} - cafelog_log_start_offset{${HERE}})`,
          ],
          ['records in', UNIT.recordsPerSecond, recordsIn('5m')],
        ],
      }),
    )
    .withRow(new RowBuilder('Schemas and dead letters'))
    .withPanel(
      graph({
        title: 'Checks against schemas',
        description: 'Records checked against the schema of their topic, by whether they fit.',
        unit: UNIT.recordsPerSecond,
        perLine: 3,
        isStacked: true,
        queries: [
          [
            `sum by (topic, result) (rate(cafelog_schema_validations_total{${HERE}}[$__rate_interval]))`,
            '{{topic}} {{result}}',
          ],
        ],
      }),
    )
    .withPanel(
      graph({
        title: 'Dead letters by reason',
        description: 'Records put aside, by the keyword of JSON Schema that they broke.',
        unit: UNIT.recordsPerSecond,
        perLine: 3,
        isStacked: true,
        queries: [
          [
            `sum by (topic, reason) (rate(cafelog_dlq_messages_total{${HERE}}[$__rate_interval]))`,
            '{{topic}} {{reason}}',
          ],
        ],
      }),
    )
    .withPanel(
      graph({
        title: 'Open dead letters',
        description:
          'Those that nobody has sent again or discarded, by the topic that they wait in, such as orders.dlq.',
        unit: UNIT.number,
        perLine: 3,
        isStacked: true,
        queries: [[`sum by (topic) (cafelog_dlq_depth{${HERE}})`, '{{topic}}']],
      }),
    )
    .withRow(new RowBuilder('Delayed records'))
    .withPanel(
      graph({
        title: 'What becomes of delayed records',
        description: 'Accepted, delivered, cancelled, rescheduled; failed: not taken by their topic for now.',
        unit: UNIT.recordsPerSecond,
        queries: [[`sum by (event) (rate(cafelog_scheduled_total{${HERE}}[$__rate_interval]))`, '{{event}}']],
      }),
    )
    .withPanel(
      graph({
        title: 'How late delayed records are',
        description: 'From when a record was due until it was stored in its partition, all topics.',
        unit: UNIT.seconds,
        redFrom: 1,
        queries: [0.5, 0.99].map((quantile) => [
          `histogram_quantile(${quantile}, sum by (le) (rate(cafelog_scheduled_delivery_delay_seconds_bucket{instance=~"$instance"}[$__rate_interval])))`,
          `p${quantile * 100}`,
        ]),
      }),
    )
    .withRow(new RowBuilder('Storage'))
    .withPanel(
      graph({
        title: 'Size by topic',
        description: 'Bytes of all segments of each topic.',
        unit: UNIT.bytes,
        isStacked: true,
        queries: [[`sum by (topic) (cafelog_log_size_bytes{${HERE}})`, '{{topic}}']],
      }),
    )
    .withPanel(
      graph({
        title: 'Deleted by retention',
        description: 'Bytes of segments deleted, by what asked for it: age, size, or somebody.',
        unit: UNIT.bytesPerSecond,
        isStacked: true,
        queries: [
          [`sum by (reason) (rate(cafelog_retention_deleted_bytes_total{${HERE}}[$__rate_interval]))`, '{{reason}}'],
        ],
      }),
    )
    .build()
}
