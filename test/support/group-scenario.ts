import type { ExpectStatic } from 'vitest'
import type { GroupWatch } from './group-watch.ts'
import type { SteadyWriter } from './steady-writer.ts'

/** A member of a group, which tells a watch what it does. */
export interface GroupMember {
  /** Leaves in order; resolves when it is gone. */
  leave(): Promise<void>
  /** Dies without a word. */
  die(): Promise<void>
  /** What it has said that it should not have. */
  readonly complaints: string
}

/** What it takes to play the scenario below. */
export interface GroupScenario {
  /** The test's own: several are played at once. */
  readonly expect: ExpectStatic
  readonly watch: GroupWatch
  readonly writer: SteadyWriter
  join(name: string): GroupMember
  /** Without a word for so long, a member is given up. */
  readonly sessionMs: number
  /** How long it may take until everybody has its partitions after somebody has come or gone in order. */
  readonly settleMs: number
  /** Whether nothing is written while a member leaves. */
  readonly isQuietWhileLeaving?: boolean
}

/** Beyond the session timeout; the bound. */
const PAUSE_MS_MAX = 3000

/**
 * Three members come one after the other, one leaves, one dies, while records are written into twelve partitions. Each
 * partition has one owner at a time, nobody waits for long, and every record is read.
 */
export async function playGroup(scenario: GroupScenario): Promise<void> {
  const { expect, watch, writer, sessionMs, settleMs } = scenario
  const members: GroupMember[] = []
  const join = (name: string) => {
    const member = scenario.join(name)
    members.push(member)
    return member
  }
  const complaints = () => members.map((member) => member.complaints).filter((text) => text !== '')
  const shares = (counts: Readonly<Record<string, number>>, withinMs: number) =>
    expect.poll(() => [watch.count(), ...complaints()], { timeout: withinMs, interval: 100 }).toEqual([counts])
  const allRead = () =>
    expect.poll(() => watch.describeMissing(writer.perPartition), { timeout: settleMs, interval: 100 }).toEqual([])

  // The first one may take its time: a JVM starts.
  const one = join('one')
  await shares({ one: 12 }, 20_000)
  const two = join('two')
  await shares({ one: 6, two: 6 }, 20_000)
  const three = join('three')
  await shares({ one: 4, two: 4, three: 4 }, 20_000)
  await watch.flows(expect)

  if (scenario.isQuietWhileLeaving === true) {
    await writer.rest()
    await allRead()
  }
  const leftMs = performance.now()
  await two.leave()
  if (scenario.isQuietWhileLeaving === true) writer.goOn()
  await shares({ one: 6, three: 6 }, settleMs)
  await watch.flows(expect)
  expect(watch.longestPauseMs(leftMs)).toBeLessThan(PAUSE_MS_MAX)

  const diedMs = performance.now()
  await three.die()
  await shares({ one: 12 }, sessionMs + settleMs)
  await watch.flows(expect)
  expect(watch.longestPauseMs(diedMs)).toBeLessThan(sessionMs + PAUSE_MS_MAX)
  const perPartition = await writer.stop()
  await allRead()
  await one.leave()
  expect(watch.findFaults(perPartition)).toEqual([])
  expect(complaints()).toEqual([])
}
