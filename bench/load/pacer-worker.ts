// Runs in a worker: sleeps from tick to tick and wakes the main thread. Timers of the event loop count in whole
// milliseconds and may come one late, which would be most of a latency of half a millisecond.
import { parentPort, workerData } from 'node:worker_threads'

const { periodMs, cell, startMs }: { periodMs: number; cell: Int32Array; startMs: Float64Array } = workerData
const TICK_PENDING = 0
const IS_STOPPED = 1
const IS_STARTED = 2

tellMain()
Atomics.wait(cell, IS_STARTED, 0)
const firstMs = startMs[0]
for (let tick = 0; Atomics.load(cell, IS_STOPPED) === 0; tick++) {
  const waitMs = firstMs + tick * periodMs - Number(process.hrtime.bigint()) / 1e6
  if (waitMs > 0) Atomics.wait(cell, IS_STOPPED, 0, waitMs)
  // Late by whole ticks, on a machine that slept: go on from now.
  else tick += Math.floor(-waitMs / periodMs)
  if (Atomics.exchange(cell, TICK_PENDING, 1) === 0) tellMain()
}

function tellMain(): void {
  parentPort?.postMessage(null)
}
