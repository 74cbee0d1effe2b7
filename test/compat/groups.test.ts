// Groups of each foreign client: twelve partitions, and members that come, leave and die. With COMPAT_GROUPS=all every
// assignor of every client has its turn, otherwise one of each kind.
import type { TestContext } from 'vitest'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BrokerProcess } from '../support/broker-process.ts'
import { BrokerHome } from '../support/broker-process.ts'
import { CREATE_TOPIC } from '../support/frame-types.ts'
import { playGroup } from '../support/group-scenario.ts'
import { GroupWatch } from '../support/group-watch.ts'
import { SteadyWriter } from '../support/steady-writer.ts'
import { AgentMember } from './agent-member.ts'
import type { MemberOptions } from './agent-member.ts'
import type { Agent, GroupProtocol } from './agents.ts'
import { AGENTS } from './agents.ts'

const PARTITIONS = 12
const CLASSIC_SESSION_MS = 6000
/** Of all members of groups in which the broker assigns. */
const CONSUMER_SESSION_MS = 12_000
/** In it, a static member is back: a JVM takes its time to start. */
const STATIC_SESSION_MS = 20_000
/** @platformatic/kafka 1.35 has static members in the new protocol too, but they never go only for a while. */
const LEAVES_FOR_GOOD = 'platformatic'
const TEST_MS_MAX = 120_000

/** How the members of a group agree. */
interface Way {
  readonly protocol: GroupProtocol
  readonly assignor: string
}

const clients = AGENTS.filter(({ commands }) => commands.includes('join'))
const present = clients.filter(({ missing }) => missing === undefined)
for (const { name, missing } of clients) {
  if (missing !== undefined) test(name, ({ skip }) => skip(missing))
}

let home: BrokerHome
let broker: BrokerProcess
beforeAll(async () => {
  home = new BrokerHome()
  const environment = {
    CAFELOG_FLUSH_POLICY: 'interval:10ms',
    CAFELOG_GROUP_CONSUMER_SESSION_TIMEOUT: `${CONSUMER_SESSION_MS}ms`,
  }
  broker = await home.start({ environment })
})
afterAll(() => home.remove())

/** Most of the time members wait for each other, so the ways of a client are tried at once; JVMs start one after the other. */
function testsOf({ name }: Agent) {
  return name === 'java' ? test : test.concurrent
}

/** A way of each kind that the client has: eager, cooperative, and with the broker's assignors. */
function waysOf({ protocols, assignors }: Agent): Way[] {
  const classic = assignors.map((assignor): Way => ({ protocol: 'classic', assignor }))
  const consumer = protocols.includes('consumer') ? ['uniform', 'range'] : []
  const served = consumer.map((assignor): Way => ({ protocol: 'consumer', assignor }))
  const all = [...classic, ...served]
  if (process.env['COMPAT_GROUPS'] === 'all') return all
  const isChosen = ({ assignor, protocol }: Way, index: number) =>
    index === 0 || assignor === 'cooperative-sticky' || (protocol === 'consumer' && assignor === 'uniform')
  return all.filter(isChosen)
}

describe.each(present)('a group of $name', (agent) => {
  testsOf(agent).for(waysOf(agent))(
    'shares partitions: $protocol, $assignor',
    { timeout: TEST_MS_MAX },
    async (way, context) => {
      const { topic, watch, writer } = await prepare(`${agent.name}-${way.protocol}-${way.assignor}`)
      const sessionMs = way.protocol === 'classic' ? CLASSIC_SESSION_MS : CONSUMER_SESSION_MS
      const join = (name: string) => joinAs(context, agent, watch, name, { ...way, topic, sessionMs })
      await playGroup({ expect: context.expect, watch, writer, join, sessionMs, settleMs: 8000 })
    },
  )
})

describe.each(present.filter(({ hasStaticMembers }) => hasStaticMembers))('a static member of $name', (agent) => {
  testsOf(agent).for(agent.protocols.filter((protocol) => protocol === 'classic' || agent.name !== LEAVES_FOR_GOOD))(
    'comes back to its partitions, and nobody else notices: %s',
    { timeout: TEST_MS_MAX },
    async (protocol, context) => {
      const { expect } = context
      const { topic, watch, writer } = await prepare(`static-${agent.name}-${protocol}`)
      const [assignor = 'range'] = protocol === 'classic' ? agent.assignors : ['uniform']
      const join = (name: string, instanceId: string) =>
        joinAs(context, agent, watch, name, { protocol, assignor, topic, instanceId, sessionMs: STATIC_SESSION_MS })
      const shares = (counts: Readonly<Record<string, number>>) =>
        expect.poll(() => watch.count(), { timeout: 20_000, interval: 100 }).toEqual(counts)
      const one = join('one', 'till-1')
      await shares({ one: 12 })
      const two = join('two', 'till-2')
      await shares({ one: 6, two: 6 })
      const before = watch.partitionsOf('two')
      const changes = watch.changesOf('one')

      // A classic one may die. In the new protocol its place is only free once it has said that it goes for a while.
      await (protocol === 'classic' ? two.die() : two.leave())
      const again = join('two again', 'till-2')
      await shares({ one: 6, 'two again': 6 })
      expect(watch.partitionsOf('two again')).toEqual(before)
      expect(watch.changesOf('one')).toBe(changes)

      const perPartition = await writer.stop()
      await expect.poll(() => watch.recordCount, { timeout: 10_000, interval: 100 }).toBe(perPartition * PARTITIONS)
      expect(watch.findFaults(perPartition)).toEqual([])
      expect([one, two, again].map(({ complaints }) => complaints)).toEqual(['', '', ''])
    },
  )
})

function joinAs(
  context: TestContext,
  agent: Agent,
  watch: GroupWatch,
  name: string,
  options: Omit<MemberOptions, 'bootstrap' | 'runMsMax'>,
): AgentMember {
  const bootstrap = `127.0.0.1:${broker.kafkaPort}`
  const member = new AgentMember(agent, watch, name, { ...options, bootstrap, runMsMax: TEST_MS_MAX })
  context.onTestFinished(() => member.kill())
  return member
}

async function prepare(topic: string) {
  const json = await broker.connect()
  const { json: answer } = await json.ask(CREATE_TOPIC, { topic, partitions: PARTITIONS })
  expect(answer).toMatchObject({ ok: true })
  json.close()
  const watch = new GroupWatch(PARTITIONS)
  return { topic, watch, writer: await SteadyWriter.start(broker.port, topic, PARTITIONS) }
}
