import { setTimeout as sleep } from 'node:timers/promises'

import { afterEach, expect, test } from 'vitest'

import { BrokerHome } from '../support/broker-process.ts'
import type { BrokerProcess } from '../support/broker-process.ts'
import { BrokerProgram } from '../support/broker-program.ts'
import { runCli } from '../system/cli-harness.ts'
import { checkEverything, createLedger, createTopics, Load } from './load.ts'

// kill -9 of the real program under full load, again and again on one growing data directory, with clients that write
// down everything they were told. A kill takes the process and leaves what it had written: nothing acknowledged may go,
// whatever the flush policy.

/** Requests that are acknowledged before the kill: it falls early, late, and in the middle of a start. */
const KILL_AFTER = [800, 1, 4_000, 40, 1_500, 300]
/** In the life with this number the process is stopped for a while under load. */
const PAUSED_LIFE = 2
const PAUSE_MS = 300

let home: BrokerHome | undefined
afterEach(async () => {
  await home?.remove()
})

/** Starts a broker that is killed before it is ready, or just after: a recovery must stand being interrupted. */
async function killDuringStart(afterMs: number, environment: Record<string, string>): Promise<void> {
  const starting = new BrokerProgram(environment)
  await sleep(afterMs)
  await starting.stop('SIGKILL')
}

test.each(['always', 'interval:10ms'])(
  'kill -9 under load loses nothing, flush policy %s',
  async (policy) => {
    home = new BrokerHome()
    const environment = { CAFELOG_FLUSH_POLICY: policy, CAFELOG_DATA_DIR: home.dataDirectory }
    const ledger = createLedger()
    const readyMs: number[] = []
    let broker: BrokerProcess = await home.start({ environment })
    await createTopics(broker)
    for (const [life, killAfter] of KILL_AFTER.entries()) {
      const load = await Load.start(broker, ledger, { life, promised: ['all', 1] })
      await load.acknowledged(killAfter)
      if (life === PAUSED_LIFE) {
        process.kill(broker.pid, 'SIGSTOP')
        await sleep(PAUSE_MS)
        process.kill(broker.pid, 'SIGCONT')
        await load.acknowledged(load.acknowledgedRequests + 200)
      }
      await broker.kill()
      await load.ended()
      if (life % 2 === 0) await killDuringStart(150 + 50 * life, environment)

      broker = await home.start({ environment })
      readyMs.push(Math.round(broker.readyMs))
      await checkEverything(broker, ledger)
      expect({ life, violations: ledger.violations.slice(0, 20), refusals: ledger.refusals }).toEqual({
        life,
        violations: [],
        refusals: [],
      })
    }
    expect(await broker.stop()).toBe(0)
    const verified = await runCli(['log', 'verify', '--data-dir', home.dataDirectory], {})
    expect({ code: verified.code, stderr: verified.stderr }).toEqual({ code: 0, stderr: '' })
    console.info(
      `kill -9, ${policy}: ${KILL_AFTER.length} kills, ${ledger.acknowledgedRecords} records and ` +
        `${ledger.acknowledgedCommits} commits acknowledged, 0 lost, ${ledger.survivors} without an answer were there; ` +
        `ready again after ${readyMs.join(', ')} ms`,
    )
  },
  120_000,
)
