import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'

import { appendAs } from '../../test/support/producer-batches.ts'
import { startTestBroker } from '../../test/support/start-broker.ts'

const OPEN = { sequence: 0, isTransactional: true }

test('after a start, a transaction is aborted that only a log knows, and one that is going to be ended is not', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cafelog-'))
  try {
    const before = await startTestBroker({ directory })
    await before.broker.topics.create({ name: 'orders', partitionCount: 2 })
    const { transactions } = before.broker
    const producer = await transactions.initProducer({ transactionalId: 't', timeoutMs: 60_000 })
    const partition = { topic: 'orders', partition: 1 }
    await transactions.addPartitions({ transactionalId: 't', ...producer }, [partition])
    for (const producerId of [producer.producerId, 999]) {
      await appendAs(before.broker.getLog('orders', 1), { producerId, ...OPEN }, ['a'])
    }
    await appendAs(before.broker.getLog('orders', 0), { producerId: producer.producerId, ...OPEN }, ['b'])
    expect(before.broker.getLog('orders', 1).lastStableOffset).toBe(0)
    await before.stop()

    const after = await startTestBroker({ directory })
    const [orphaned, open] = [after.broker.getLog('orders', 0), after.broker.getLog('orders', 1)]
    await expect.poll(() => orphaned.lastStableOffset).toBe(2)
    await expect.poll(() => open.hasOpenTransaction(999)).toBe(false)
    expect(open.hasOpenTransaction(producer.producerId)).toBe(true)
    await after.broker.transactions.end({ transactionalId: 't', ...producer }, true)
    expect(open.lastStableOffset).toBe(open.logEndOffset)
    expect(open.abortedTransactions(0, open.logEndOffset)).toEqual([{ producerId: 999, firstOffset: 1 }])
    await after.stop()
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
