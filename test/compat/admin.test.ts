// What foreign clients have for administration, each call with the same result whoever makes it. The Java client's and
// its tools' have tests of their own.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { BrokerProcess } from '../support/broker-process.ts'
import { BrokerHome } from '../support/broker-process.ts'
import { AGENTS, askAgent } from './agents.ts'

const RUN_MS_MAX = 60_000
const CREATE_TOPIC = 1
const PRODUCE = 2
const COMMIT = 4

/** The calls of the command `admin` and their results, as clients/README.md describes them. */
function resultsFor(topic: string): Record<string, unknown> {
  return {
    createTopic: 'ok',
    createTopicAgain: 'TOPIC_ALREADY_EXISTS',
    listTopics: [topic, `${topic}-made`],
    describeTopic: 3,
    createPartitions: 5,
    describeConfigs: ['3600000', '1048576'],
    alterConfigs: ['7200000', '1048576'],
    incrementalAlterConfigs: ['7200000', '2097152'],
    listOffsets: [
      [0, 10],
      [0, 10],
      [0, 10],
    ],
    deleteRecords: 5,
    listGroups: true,
    describeGroup: 'Empty',
    groupOffsets: 4,
    alterGroupOffsets: 6,
    describeCluster: 1,
    deleteGroup: false,
    deleteTopics: [],
  }
}

/** Calls that a library has not got. */
const LACKS: Record<string, readonly string[]> = {
  kafkajs: ['incrementalAlterConfigs'],
  'confluent-javascript': [
    'describeConfigs',
    'alterConfigs',
    'incrementalAlterConfigs',
    'alterGroupOffsets',
    'describeCluster',
  ],
}

let home: BrokerHome
let broker: BrokerProcess
beforeAll(async () => {
  home = new BrokerHome()
  broker = await home.start()
})
afterAll(() => home.remove())

const managers = AGENTS.filter(({ commands }) => commands.includes('admin'))

for (const { name, missing } of managers) {
  if (missing !== undefined) test(name, ({ skip }) => skip(missing))
}

test.each(managers.filter(({ missing }) => missing === undefined))(
  '$name manages topics, settings, records and groups',
  async (agent) => {
    const topic = `managed-${agent.name}`
    const group = `group-${agent.name}`
    await fill(topic, group)
    const parameters = { bootstrap: `127.0.0.1:${broker.kafkaPort}`, topic, group }
    const answers = await askAgent(agent, { command: 'admin', parameters, runMsMax: RUN_MS_MAX })
    const lacks = LACKS[agent.name] ?? []
    const expected = Object.entries(resultsFor(topic)).filter(([call]) => !lacks.includes(call))
    expect(answers).toEqual(expected.map(([call, result]) => ({ call, result })))
  },
  RUN_MS_MAX,
)

/** A topic with three partitions of ten records, and a group that has read four of them. */
async function fill(topic: string, group: string): Promise<void> {
  const json = await broker.connect()
  await json.ask(CREATE_TOPIC, { topic, partitions: 3 })
  const records = Array.from({ length: 10 }, (_, index) => ({ value: Buffer.from(`${index}`).toString('base64') }))
  for (const partition of [0, 1, 2]) await json.ask(PRODUCE, { topic, partition, records })
  const { json: committed } = await json.ask(COMMIT, { topic, partition: 0, group, offset: 4 })
  expect(committed).toMatchObject({ ok: true })
  json.close()
}
