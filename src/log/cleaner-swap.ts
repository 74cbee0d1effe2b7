import { done } from './checkpoint.ts'
import type { LogContext } from './log-context.ts'
import type { SegmentPartitionLog } from './partition-log.ts'

/**
 * Has a cleaned segment take its place, or goes on where that was broken off, step by step as SegmentSwap says. Does nothing
 * more once the log has failed; the next start finishes it then.
 *
 * Rejects with the system's error; the swap waits for the next try.
 */
export async function finishSwap(context: LogContext, log: SegmentPartitionLog): Promise<void> {
  const { swap } = log
  if (swap === undefined) return
  if (swap.stage === 'offered') {
    await context.saveCheckpoint()
    await context.untilReleased()
    if (log.failure !== undefined) return
    log.placeSwap()
  }
  await done((finish) => context.fileSystem.syncDirectory(log.directory, finish))
  await context.untilReleased()
  if (log.failure !== undefined) return
  log.removeSwallowed()
  // After a stop in order nobody looks for what has come back.
  await done((finish) => context.fileSystem.syncDirectory(log.directory, finish))
  log.endSwap()
}
