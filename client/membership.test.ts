import { EventEmitter } from 'node:events'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { CafeLog } from '../src/start-cafelog.ts'
import { startCafeLog } from '../src/start-cafelog.ts'
import { CLIENT_DEFAULTS } from './client.ts'
import { Circuit, Link } from './link.ts'
import type { MembershipOptions } from './membership.ts'
import { Membership } from './membership.ts'
import type { PartitionSet } from './partitions.ts'

let broker: CafeLog
const members: Member[] = []
beforeEach(async () => {
  // Heartbeats that come soon make tests that end soon.
  broker = await startCafeLog({
    topics: [{ name: 't', partitions: 4 }],
    settings: { CAFELOG_GROUP_CONSUMER_HEARTBEAT_INTERVAL: '20ms' },
  })
})
afterEach(async () => {
  await Promise.all(members.splice(0).map((member) => member.stop()))
  await broker.close()
})

/** A member that keeps what it is told. */
class Member {
  readonly membership: Membership
  readonly link: Link
  readonly told: string[] = []
  owned: string[] = []
  /** What giving away waits for. */
  mayRevoke: Promise<void> = Promise.resolve()

  constructor(options: Partial<MembershipOptions> = {}) {
    const events = new EventEmitter() as ConstructorParameters<typeof Link>[2]
    const address = { host: '127.0.0.1', port: broker.ports.json }
    const linkOptions = { ...CLIENT_DEFAULTS, ...address, retryDelayMs: 5, retryDelayMsMax: 50 }
    this.link = new Link(linkOptions, new Circuit(linkOptions, events), events)
    const note = (what: string, partitions: PartitionSet) =>
      this.told.push(`${what} ${[...partitions.keys()].join(' ')}`)
    this.membership = new Membership(
      this.link,
      { group: 'g', topics: ['t'], ...options },
      {
        assigned: (partitions) => {
          note('assigned', partitions)
          this.owned = [...this.owned, ...partitions.keys()]
        },
        revoke: async (partitions) => {
          await this.mayRevoke
          note('revoked', partitions)
          this.owned = this.owned.filter((name) => !partitions.has(name))
        },
        lost: (partitions, error) => {
          note(`lost by ${(error as { code?: string }).code ?? error.name}`, partitions)
          this.owned = []
        },
        failed: (error) => this.told.push(`failed: ${error.message}`),
      },
    )
    members.push(this)
    this.membership.start()
  }

  async stop() {
    await this.membership.leave()
    this.link.close()
  }
}

const ALL = ['t/0', 't/1', 't/2', 't/3']
const soon = (check: () => void) => vi.waitFor(check, { timeout: 5_000, interval: 5 })

test('members share what there is, and who leaves gives it back', async () => {
  const one = new Member()
  await soon(() => expect(one.owned).toEqual(ALL))
  expect(one.membership.identity).toEqual({ memberId: expect.any(String), generation: 1 })
  const two = new Member()
  await soon(() => expect([one.owned.length, two.owned.length]).toEqual([2, 2]))
  expect([...one.owned, ...two.owned].toSorted()).toEqual(ALL)
  await one.stop()
  expect(one.owned).toEqual([])
  await soon(() => expect(two.owned.toSorted()).toEqual(ALL))
  expect(one.membership.identity).toBeUndefined()
})

test('nobody gets what another is still busy with', async () => {
  const one = new Member()
  await soon(() => expect(one.owned).toEqual(ALL))
  let release: () => void = () => {}
  one.mayRevoke = new Promise((resolve) => (release = resolve))
  const two = new Member()
  await soon(() => expect(two.membership.identity).toBeDefined())
  await new Promise((resolve) => setTimeout(resolve, 200))
  expect([one.owned, two.owned]).toEqual([ALL, []])
  release()
  await soon(() => expect([one.owned.length, two.owned.length]).toEqual([2, 2]))
})

test('who was silent for too long has lost everything, and joins again', async () => {
  const one = new Member()
  await soon(() => expect(one.owned).toEqual(ALL))
  await broker.clock.advance('10m')
  await soon(() => expect(one.told).toContain(`lost by UNKNOWN_MEMBER_ID ${ALL.join(' ')}`))
  await soon(() => expect(one.owned).toEqual(ALL))
})

test('a lost connection is nothing that a member is told of', async () => {
  const one = new Member()
  await soon(() => expect(one.owned).toEqual(ALL))
  broker.faults.dropNext('HEARTBEAT', { when: 'after', times: 3 })
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(one.told).toEqual([`assigned ${ALL.join(' ')}`])
})

test('a static member finds its partitions again', async () => {
  const one = new Member({ instanceId: 'a' })
  await soon(() => expect(one.owned).toEqual(ALL))
  const two = new Member()
  await soon(() => expect(two.owned).toHaveLength(2))
  const { owned } = one
  await one.stop()
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(two.owned).toHaveLength(2)
  const again = new Member({ instanceId: 'a' })
  await soon(() => expect(again.owned).toEqual(owned))
})

test('a group that cannot be joined says why', async () => {
  const one = new Member({ topics: [], topicPattern: '(' })
  await soon(() => expect(one.told).toEqual([expect.stringMatching(/^failed: .*"\("/)]))
})
