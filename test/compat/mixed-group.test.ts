// One group of three consumers of the JSON door and one of Kafka's, each its own process: members come, leave and are killed,
// and the broker is killed and started again. With COMPAT_GROUPS=all every client of the new group protocol has its turn.
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import type { BrokerProcess } from '../support/broker-process.ts'
import { BrokerHome } from '../support/broker-process.ts'
import { CREATE_TOPIC } from '../support/frame-types.ts'
import { GroupWatch } from '../support/group-watch.ts'
import { SteadyWriter } from '../support/steady-writer.ts'
import { AgentMember } from './agent-member.ts'
import type { Agent } from './agents.ts'
import { AGENTS, JSON_DOOR } from './agents.ts'

const PARTITIONS = 12
const SESSION_MS = 6_000
const HEARTBEAT_MS = 500
/** From the session's end until the others have the partitions of one that died. */
const REBALANCED_WITHIN_MS = 2_000
const SETTLE_MS = 20_000
const TEST_MS_MAX = 150_000

const clients = AGENTS.filter(({ commands, protocols }) => commands.includes('join') && protocols.includes('consumer'))
const present = clients.filter(({ missing }) => missing === undefined)
const chosen = process.env['COMPAT_GROUPS'] === 'all' ? present : present.slice(0, 1)
if (chosen.length === 0) {
  const reasons = clients.map(({ missing }) => missing).join('; ')
  test('a client of the new group protocol', ({ skip }) => skip(reasons))
}

const members: AgentMember[] = []
let home: BrokerHome
let broker: BrokerProcess
let environment: Record<string, string>
beforeAll(async () => {
  home = new BrokerHome()
  environment = {
    CAFELOG_GROUP_CONSUMER_SESSION_TIMEOUT: `${SESSION_MS}ms`,
    CAFELOG_GROUP_CONSUMER_HEARTBEAT_INTERVAL: `${HEARTBEAT_MS}ms`,
  }
  broker = await home.start({ environment })
  // Clients look for it where it was.
  environment['CAFELOG_TCP_ADDR'] = `127.0.0.1:${broker.port}`
  environment['CAFELOG_KAFKA_ADDR'] = `127.0.0.1:${broker.kafkaPort}`
})
afterEach(() => {
  for (const member of members.splice(0)) member.kill()
})
afterAll(() => home.remove())

function join(agent: Agent, watch: GroupWatch, name: string, topic: string): AgentMember {
  const bootstrap = `127.0.0.1:${agent === JSON_DOOR ? broker.port : broker.kafkaPort}`
  const options = { bootstrap, topic, protocol: 'consumer', assignor: 'uniform', sessionMs: SESSION_MS } as const
  const member = new AgentMember(agent, watch, name, { ...options, runMsMax: TEST_MS_MAX })
  members.push(member)
  return member
}

test.each(chosen.map((agent) => ({ agent, name: agent.name })))(
  'three consumers of the JSON door and $name share partitions through all of it',
  async ({ agent, name }) => {
    const topic = `mixed-${name}`
    const json = await broker.connect()
    expect((await json.ask(CREATE_TOPIC, { topic, partitions: PARTITIONS })).json).toMatchObject({ ok: true })
    json.close()
    const watch = new GroupWatch(PARTITIONS)
    const writer = await SteadyWriter.start(broker.port, topic, PARTITIONS)
    const complaints = () => members.map((member) => member.complaints).filter((text) => text !== '')
    const shares = (counts: Readonly<Record<string, number>>, timeout = SETTLE_MS) =>
      expect.poll(() => [watch.count(), ...complaints()], { timeout, interval: 20 }).toEqual([counts])

    join(JSON_DOOR, watch, 'one', topic)
    await shares({ one: 12 })
    join(agent, watch, 'kafka', topic)
    await shares({ one: 6, kafka: 6 })
    const two = join(JSON_DOOR, watch, 'two', topic)
    await shares({ one: 4, kafka: 4, two: 4 })
    const three = join(JSON_DOOR, watch, 'three', topic)
    await shares({ one: 3, kafka: 3, two: 3, three: 3 })
    await watch.flows(expect)

    await two.leave()
    await shares({ one: 4, kafka: 4, three: 4 })
    await watch.flows(expect)

    const diedMs = performance.now()
    await three.die()
    await shares({ one: 6, kafka: 6 }, SESSION_MS + REBALANCED_WITHIN_MS)
    const goneMs = performance.now() - diedMs
    expect(goneMs).toBeLessThan(SESSION_MS + REBALANCED_WITHIN_MS)
    await watch.flows(expect)

    await writer.rest()
    await broker.kill()
    broker = await home.start({ environment })
    await writer.reconnect(broker.port)
    writer.goOn()
    join(JSON_DOOR, watch, 'four', topic)
    await shares({ one: 4, kafka: 4, four: 4 })
    await watch.flows(expect)

    const perPartition = await writer.stop()
    await expect.poll(() => watch.describeMissing(perPartition), { timeout: SETTLE_MS, interval: 100 }).toEqual([])
    expect(watch.findFaults(perPartition)).toEqual([])
    expect(complaints()).toEqual([])
  },
  TEST_MS_MAX,
)
