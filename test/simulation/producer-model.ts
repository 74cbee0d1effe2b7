import type { PartitionLog } from '../../src/log/log-engine.ts'
import { endOf, type SentBatch } from './batches.ts'
import type { PartitionModel } from './partition-model.ts'

/** What a partition must know of a producer. */
export interface ExpectedProducer {
  readonly producerId: number
  epoch: number
  /** -1 as long as nothing came under this epoch. */
  lastSequence: number
  /** Where its open transaction begins, -1 without one. */
  openSince: number
  coordinatorEpoch: number
  /** Those of this epoch, the oldest first, at most five. */
  recent: SentBatch[]
}

interface Transaction {
  readonly producerId: number
  readonly firstOffset: number
  lastOffset: number
  markerOffset: number
  isAborted: boolean
}

/** What follows for producers and transactions from the batches of a log. Told from the beginning each time. */
export class ProducerModel {
  readonly producers = new Map<number, ExpectedProducer>()
  readonly transactions: Transaction[] = []

  constructor(batches: readonly SentBatch[]) {
    for (const batch of batches) {
      if (batch.marker) this.#end(batch)
      else if (batch.numbering) this.#add(batch)
    }
  }

  /** Where consumers of committed records have to stop. */
  lastStableOffset(highWatermark: number, logStart: number): number {
    const unstable = this.transactions.filter(({ markerOffset }) => markerOffset < 0 || markerOffset >= highWatermark)
    const first = Math.min(highWatermark, ...unstable.map(({ firstOffset }) => firstOffset))
    return Math.min(highWatermark, Math.max(first, logStart))
  }

  /** The aborted transactions with records in a range. */
  aborted(from: number, to: number): string {
    return this.transactions
      .filter(({ isAborted, firstOffset, lastOffset }) => isAborted && firstOffset < to && lastOffset >= from)
      .map(({ producerId, firstOffset }) => `${producerId}@${firstOffset}`)
      .join(' ')
  }

  describe(): string {
    return [...this.producers.values()]
      .map((one) => [one.producerId, one.epoch, one.lastSequence, one.openSince, one.coordinatorEpoch].join(':'))
      .toSorted()
      .join(' ')
  }

  #add(batch: SentBatch): void {
    if (!batch.numbering) return
    const { producerId, epoch, sequence, isTransactional } = batch.numbering
    const known = this.#producer(producerId, epoch)
    known.lastSequence = sequence + batch.recordCount - 1
    known.recent = [...known.recent, batch].slice(-5)
    if (!isTransactional) return
    const open = this.transactions.find((one) => one.producerId === producerId && one.markerOffset < 0)
    const lastOffset = endOf(batch) - 1
    if (open) open.lastOffset = lastOffset
    else {
      const firstOffset = batch.baseOffset
      this.transactions.push({ producerId, firstOffset, lastOffset, markerOffset: -1, isAborted: false })
      known.openSince = firstOffset
    }
  }

  #end(batch: SentBatch): void {
    if (!batch.marker) return
    const { producerId, epoch, coordinatorEpoch, isCommit } = batch.marker
    const known = this.#producer(producerId, epoch)
    known.coordinatorEpoch = coordinatorEpoch
    known.openSince = -1
    const open = this.transactions.find((one) => one.producerId === producerId && one.markerOffset < 0)
    if (!open) return
    open.markerOffset = batch.baseOffset
    open.isAborted = !isCommit
  }

  #producer(producerId: number, epoch: number): ExpectedProducer {
    let known = this.producers.get(producerId)
    if (!known) {
      known = { producerId, epoch, lastSequence: -1, openSince: -1, coordinatorEpoch: -1, recent: [] }
      this.producers.set(producerId, known)
    }
    if (known.epoch !== epoch) Object.assign(known, { epoch, lastSequence: -1, recent: [] })
    return known
  }
}

/** Compares what the engine says of producers and transactions with what follows from the log. */
export function checkProducers(model: PartitionModel, log: PartitionLog): void {
  const expected = new ProducerModel(model.history())
  const found = log
    .describeProducers()
    .map((one) => {
      const { producerId, producerEpoch, lastSequence, currentTransactionStartOffset, coordinatorEpoch } = one
      return [producerId, producerEpoch, lastSequence, currentTransactionStartOffset, coordinatorEpoch].join(':')
    })
    .toSorted()
    .join(' ')
  if (found !== expected.describe()) {
    model.fail('producers', `the engine has ${found || 'none'}, the log says ${expected.describe() || 'none'}`)
  }
  const stable = expected.lastStableOffset(log.highWatermark, log.logStartOffset)
  if (log.lastStableOffset !== stable) {
    model.fail('last stable offset', `is ${log.lastStableOffset}, the log says ${stable}`)
  }
  const middle = Math.floor((log.logStartOffset + stable) / 2)
  for (const [from, to] of [
    [log.logStartOffset, stable],
    [middle, stable],
    [log.logStartOffset, middle],
  ]) {
    const aborted = log
      .abortedTransactions(from, to)
      .map(({ producerId, firstOffset }) => `${producerId}@${firstOffset}`)
      .join(' ')
    if (aborted !== expected.aborted(from, to)) {
      const said = expected.aborted(from, to)
      model.fail(
        'aborted transactions',
        `${from} to ${to}: the engine has ${aborted || 'none'}, the log says ${said || 'none'}`,
      )
    }
  }
}
