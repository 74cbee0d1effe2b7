import { join } from 'node:path'
import type { FileSystem } from '../base/file-system.ts'
import { parseTopicName, type TopicName } from '../base/topic-name.ts'
import type { CheckpointState, PartitionEntry } from './checkpoint.ts'
import { assumeFacts } from './recovery.ts'

/**
 * What to go by when there are logs and no checkpoint: someone has removed it, or both of its files are damaged. Every
 * partition that is found counts as stopped in disorder, and the leader epoch goes on from the largest in any log.
 * Undefined for a data directory without topics. Reads all logs.
 */
export function assumeState(fileSystem: FileSystem, directory: string, now: number): CheckpointState | undefined {
  const partitions: PartitionEntry[] = []
  let leaderEpoch = 0
  for (const topic of listTopics(fileSystem, directory)) {
    for (const { name } of fileSystem.list(join(directory, topic))) {
      const partition = Number(/^partition-(\d+)$/.exec(name)?.[1] ?? Number.NaN)
      if (!Number.isSafeInteger(partition)) continue
      const facts = assumeFacts(fileSystem, join(directory, topic, name), now, (epoch) => {
        leaderEpoch = Math.max(leaderEpoch, epoch)
      })
      partitions.push({ topic, partition, facts })
    }
    // The names may have been made a moment before the stop; what is in a checkpoint must not vanish.
    fileSystem.syncDirectoryNow(join(directory, topic))
  }
  fileSystem.syncDirectoryNow(directory)
  return partitions.length === 0 ? undefined : { isClean: false, leaderEpoch, partitions }
}

function listTopics(fileSystem: FileSystem, directory: string): TopicName[] {
  const topics: TopicName[] = []
  for (const { name, isDirectory } of fileSystem.list(directory)) {
    if (!isDirectory || name.startsWith('@')) continue
    try {
      topics.push(parseTopicName(name))
    } catch {
      // Not ours.
    }
  }
  return topics
}
