import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, test } from 'vitest'
import type { ConsumerHeartbeat, ConsumerHeartbeatAnswer } from '../../src/groups/consumer-messages.ts'
import { isRefusal } from '../../src/groups/outcome.ts'
import { ALTER_TOPIC, COMMIT, CREATE_TOPIC, DELETE_TOPIC, FETCH_OFFSETS } from '../support/frame-types.ts'
import { RawClient } from '../support/raw-client.ts'
import type { TestBroker } from '../support/start-broker.ts'
import { startTestBroker } from '../support/start-broker.ts'

// Groups that have members, as the JSON door sees them. The members come through the coordinator itself.

const [LIST_GROUPS, DELETE_OFFSETS] = [11, 12]

function heartbeat(broker: TestBroker, request: Partial<ConsumerHeartbeat>): Promise<ConsumerHeartbeatAnswer> {
  const member = { group: 'g', memberId: 'm', memberEpoch: 0, clientId: 'app', clientHost: '10.0.0.1' }
  return new Promise((resolve, reject) => {
    broker.broker.groups.consumerHeartbeat({ ...member, ...request }, (answer) => {
      if (isRefusal(answer)) reject(new Error(answer.message))
      else resolve(answer)
    })
  })
}

const JOIN = { rebalanceTimeoutMs: 10_000, subscribedTopics: ['orders'], owned: new Map<string, ReadonlySet<number>>() }

test('a group with members shows them, and commits for itself; all of it survives a restart', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cafelog-'))
  let broker = await startTestBroker({ directory })
  let client = await RawClient.connect(broker.port)
  const ask = async (type: number, payload: object) => (await client.ask(type, payload)).json
  try {
    await ask(CREATE_TOPIC, { topic: 'orders', partitions: 2 })
    await ask(COMMIT, { topic: 'orders', partition: 1, group: 'g', offset: 0 })
    expect((await heartbeat(broker, JOIN)).assignment).toEqual(new Map([['orders', new Set([0, 1])]]))

    const refused = await ask(COMMIT, { topic: 'orders', partition: 1, group: 'g', offset: 0 })
    expect(refused.error.code).toBe('INVALID_REQUEST')
    expect((await ask(DELETE_OFFSETS, { group: 'g' })).error.code).toBe('NON_EMPTY_GROUP')

    client.close()
    await broker.stop()
    broker = await startTestBroker({ directory })
    client = await RawClient.connect(broker.port)
    expect(await ask(LIST_GROUPS, {})).toEqual({
      groups: [{ group: 'g', state: 'Stable', members: 1, topics: ['orders'], partitions: 1, lag: 0 }],
    })
    const partitions = [0, 1].map((partition) => ({ topic: 'orders', partition }))
    expect(await ask(FETCH_OFFSETS, { group: 'g' })).toMatchObject({
      state: 'Stable',
      members: [{ member: 'm', client: 'app', host: '10.0.0.1', partitions }],
      offsets: [{ topic: 'orders', partition: 1, offset: 0 }],
    })

    await ask(ALTER_TOPIC, { topic: 'orders', partitions: 3 })
    expect((await heartbeat(broker, { memberEpoch: 1 })).assignment?.get('orders')?.size).toBe(3)
    await ask(DELETE_TOPIC, { topic: 'orders' })
    expect((await heartbeat(broker, { memberEpoch: 2 })).assignment).toEqual(new Map())
    await heartbeat(broker, { memberEpoch: -1 })
    expect(await ask(FETCH_OFFSETS, { group: 'g' })).toEqual({ group: 'g', state: 'Empty', members: [], offsets: [] })
    expect(await ask(DELETE_OFFSETS, { group: 'g' })).toEqual({ ok: true, deleted: 0 })
    expect((await ask(FETCH_OFFSETS, { group: 'g' })).error.code).toBe('GROUP_ID_NOT_FOUND')
  } finally {
    client.close()
    await broker.stop()
    rmSync(directory, { recursive: true, force: true })
  }
})
