import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard'
import { page } from './page.ts'
import { graph, rows, states, tile, UNIT } from './panels.ts'

const HERE = 'instance=~"$instance",group=~"$group"'
const IN_TOPIC = `${HERE},topic=~"$topic"`

/** The states of groups of both kinds, from left to right as a group goes through them; each is a number in the panel. */
const STATES = [
  { names: ['Empty'], word: 'no members', color: 'blue' },
  { names: ['PreparingRebalance', 'Assigning'], word: 'members join', color: 'orange' },
  { names: ['CompletingRebalance', 'Reconciling'], word: 'partitions move', color: 'yellow' },
  { names: ['Stable'], word: 'stable', color: 'green' },
] as const

/** Consumer Groups: who is behind, by how much, and whether it gets better. */
export function groups(): Dashboard {
  const perLine = 6
  const lag = `sum(cafelog_consumer_lag{${IN_TOPIC}})`
  const trend = `sum(deriv(cafelog_consumer_lag{${IN_TOPIC}}[5m]))`
  const stateNumber = STATES.map(
    ({ names }, index) => `cafelog_consumer_group_state{state=~"${names.join('|')}",${HERE}} * ${index + 1}`,
  )
  return page('cafelog-groups', 'CafeLog / Consumer Groups', 'Who is behind, by how much, and whether it gets better', [
    { name: 'group', label: 'Group', metric: 'cafelog_consumer_group_members' },
    { name: 'topic', label: 'Topic', metric: 'cafelog_partitions' },
  ])
    .withPanel(
      tile({
        title: 'Lag',
        description: 'Records between what groups have committed and the end of the log.',
        unit: UNIT.number,
        perLine,
        queries: [[lag]],
        steps: [
          [0, 'green'],
          [1_000, 'yellow'],
          [10_000, 'red'],
        ],
      }),
    )
    .withPanel(
      tile({
        title: 'Lag in time',
        description: 'Age of the oldest record that a group has not committed. From five minutes on there is an alert.',
        unit: UNIT.seconds,
        perLine,
        decimals: 1,
        queries: [[`max(cafelog_consumer_lag_seconds{${IN_TOPIC}})`]],
        steps: [
          [0, 'green'],
          [60, 'yellow'],
          [300, 'red'],
        ],
      }),
    )
    .withPanel(
      tile({
        title: 'Members',
        description: 'Consumers that share the work. Groups that only commit offsets have none.',
        unit: UNIT.number,
        perLine,
        queries: [[`sum(cafelog_consumer_group_members{${HERE}})`]],
        steps: [[0, 'blue']],
      }),
    )
    .withPanel(
      tile({
        title: 'Lag grows by',
        description: 'Records each second, over five minutes. Below zero they catch up.',
        unit: UNIT.recordsPerSecond,
        perLine,
        decimals: 1,
        queries: [[trend]],
        steps: [
          [0, 'green'],
          [1, 'yellow'],
        ],
      }),
    )
    .withPanel(
      tile({
        title: 'Caught up in',
        description: 'At the speed of the last five minutes; empty while the lag does not get smaller.',
        unit: UNIT.seconds,
        perLine,
        queries: [[`${lag} / (-${trend} > 0)`]],
        steps: [[0, 'blue']],
      }),
    )
    .withPanel(
      tile({
        title: 'Commits refused',
        description: 'Share of offset commits, of all groups, that were answered with an error.',
        unit: UNIT.share,
        perLine,
        decimals: 1,
        queries: [
          [
            'sum(rate(cafelog_offset_commits_total{result="error",instance=~"$instance"}[$__rate_interval])) / clamp_min(sum(rate(cafelog_offset_commits_total{instance=~"$instance"}[$__rate_interval])), 0.000001)',
          ],
        ],
        steps: [
          [0, 'green'],
          [0.01, 'yellow'],
          [0.1, 'red'],
        ],
      }),
    )
    .withPanel(
      graph({
        title: 'Lag',
        description:
          'Records, by group and topic. HighConsumerLag looks at single partitions: above 10,000 for 5 minutes.',
        unit: UNIT.number,
        redFrom: 10_000,
        queries: [[`sum by (group, topic) (cafelog_consumer_lag{${IN_TOPIC}})`, '{{group}} of {{topic}}']],
      }),
    )
    .withPanel(
      graph({
        title: 'Lag in time',
        description: 'Age of the oldest record that is not committed.',
        unit: UNIT.seconds,
        redFrom: 300,
        queries: [[`max by (group, topic) (cafelog_consumer_lag_seconds{${IN_TOPIC}})`, '{{group}} of {{topic}}']],
      }),
    )
    .withPanel(
      graph({
        title: 'Produced and consumed',
        description: 'How fast the logs grow, and how fast each group commits. A group that keeps up goes along.',
        perLine: 3,
        unit: UNIT.recordsPerSecond,
        queries: [
          [
            'sum by (topic) (rate(cafelog_messages_total{direction="in",instance=~"$instance",topic=~"$topic"}[$__rate_interval]))',
            '{{topic}}: produced',
          ],
          [
            `sum by (group, topic) (deriv(cafelog_consumer_committed_offset{${IN_TOPIC}}[$__rate_interval]))`,
            '{{topic}}: {{group}}',
          ],
        ],
        isSigned: true,
      }),
    )
    .withPanel(
      graph({
        title: 'Rebalances',
        description: 'How often partitions were shared out anew, in five minutes. A few are normal at a deployment.',
        unit: UNIT.number,
        perLine: 3,
        queries: [[`sum by (group) (increase(cafelog_consumer_rebalances_total{${HERE}}[5m]))`, '{{group}}']],
      }),
    )
    .withPanel(
      graph({
        title: 'Deleted unread',
        description:
          'Records that were deleted before a group had committed them. Anything but 0 is a loss for that group.',
        unit: UNIT.number,
        perLine: 3,
        redFrom: 1,
        queries: [[`sum by (group, topic) (cafelog_consumer_skipped_records{${IN_TOPIC}})`, '{{group}} of {{topic}}']],
      }),
    )
    .withPanel(
      states({
        title: 'State of groups',
        description: 'While members join or partitions move, a group of the classic kind does not consume.',
        queries: [[`max by (group) (${stateNumber.join(' or ')})`, '{{group}}']],
        words: Object.fromEntries(STATES.map(({ word, color }, index) => [String(index + 1), [word, color]])),
      }),
    )
    .withPanel(
      rows({
        title: 'Partitions',
        description: 'What each group has committed, and how far that is from the end.',
        labels: { group: 'group', topic: 'topic', partition: 'partition' },
        sortedBy: 'lag',
        columns: [
          [
            'committed',
            UNIT.number,
            `sum by (group, topic, partition) (cafelog_consumer_committed_offset{${IN_TOPIC}})`,
          ],
          ['lag', UNIT.number, `sum by (group, topic, partition) (cafelog_consumer_lag{${IN_TOPIC}})`],
        ],
      }),
    )
    .build()
}
