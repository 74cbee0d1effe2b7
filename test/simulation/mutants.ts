import type { HabitName } from './habits.ts'

/** A mistake that could be made in src/log, and that the simulation must find. */
export interface Mutant {
  readonly name: string
  /** The compiled file in which it is made, below src/log. */
  readonly file: string
  /** Text that is in that file exactly once. */
  readonly find: string
  readonly replace: string
  /** The lives in which it shows best; any, when undefined. */
  readonly habit?: HabitName
  /** What it would do to users. */
  readonly why: string
}

const LOG = 'partition-log.js'
const RECOVERY = 'recovery.js'
const ENGINE = 'segment-log-engine.js'
const PRODUCERS = 'partition-producers.js'
const CHECKPOINT = 'checkpoint.js'
const WRITE = 'write-batches.js'

/**
 * The bug bank: what goes wrong in storage engines, most of it found in famous ones, some of it by this simulation in this
 * one. Each is made in a copy of the compiled broker; one that survives its seeds means that the simulation has gone
 * blind. When the text to replace is not there any more, the code has changed: find the place where the mistake can be
 * made now, or say why it no longer can.
 */
export const MUTANTS: readonly Mutant[] = [
  {
    name: 'no sync at all',
    file: LOG,
    find: 'open.file.sync((error) => {',
    replace: 'setImmediate(() => undefined); ((call) => queueMicrotask(() => call(null)))((error) => {',
    why: 'acks=all says nothing about the disk',
  },
  {
    name: 'acknowledged before the sync',
    file: LOG,
    find: "return acks === 'all' && this.#config.flushPolicy.kind === 'always';",
    replace: 'return false;',
    why: 'acknowledged records vanish in a power cut',
  },
  {
    name: 'high watermark before the sync',
    file: LOG,
    find: "const hasRisen = this.#config.flushPolicy.kind !== 'always' && this.#raiseHighWatermark(this.#writtenOffset);",
    replace: 'const hasRisen = this.#raiseHighWatermark(this.#writtenOffset);',
    why: 'consumers read what vanishes afterwards',
  },
  {
    name: 'a sync counts for what was written after it began',
    file: LOG,
    find: 'this.#durableUpTo(nextOffset);',
    replace: 'this.#durableUpTo(segment.nextOffset);',
    why: 'acknowledged records vanish in a power cut, seldom',
  },
  {
    name: 'a sync error is ignored',
    file: LOG,
    find: 'const finish = (error) => {',
    replace: 'const finish = () => {\n            const error = null;',
    habit: 'failingDisk',
    why: 'acknowledged records were never on the disk',
  },
  {
    name: 'a failed sync is tried again',
    file: LOG,
    find: "if (error !== null)\n                this.#fail(this.#refusal('a sync failed', error));",
    replace: 'if (error !== null)\n                this.#sync(true);',
    habit: 'failingDisk',
    why: 'the second one succeeds without having written anything',
  },
  {
    name: 'a new segment is used before its name is durable',
    file: LOG,
    find: 'if (error !== null || segment.isNameSynced)',
    replace: 'if (error !== undefined)',
    why: 'the whole segment vanishes in a power cut',
  },
  {
    name: 'the newest segment is synced first',
    file: LOG,
    find: 'found = this.#segments[i];',
    replace: 'found ??= this.#segments[i];',
    why: 'a roll leaves the end of the old segment unsynced, and acknowledged',
  },
  {
    name: 'the flush interval is not kept',
    file: LOG,
    find: 'this.#context.clock.setTimer(policy.intervalMs,',
    replace: 'this.#context.clock.setTimer(policy.intervalMs * 50,',
    habit: 'lateSyncs',
    why: 'more is lost than flush.policy promises',
  },
  {
    name: 'only the first unsynced segment is synced when the interval is over',
    file: LOG,
    find: 'this.#syncTimer = undefined;\n                this.#syncDueOffset = this.#writtenOffset;',
    replace: 'this.#syncTimer = undefined;',
    habit: 'lateSyncs',
    why: 'each further segment waits a whole interval more',
  },
  {
    name: 'a failed partition goes on taking records',
    file: LOG,
    find: 'this.producers.tryLoad();\n        if (this.failure !== undefined)\n            throw this.failure;\n        if (batch.length >',
    replace: 'this.producers.tryLoad();\n        if (batch.length >',
    habit: 'failingDisk',
    why: 'records are written behind bytes of unknown state',
  },
  {
    name: 'offsets are not taken back from what was refused',
    file: LOG,
    find: 'this.#context.noteDiskFull(error);\n        this.#nextOffset = this.#writtenOffset;',
    replace: 'this.#context.noteDiskFull(error);',
    habit: 'fullDisk',
    why: 'a hole in the offsets after a full disk',
  },
  {
    name: 'a full disk fails the partition',
    file: LOG,
    find: 'const isFull = FULL_CODES.has(code);',
    replace: 'const isFull = false;',
    habit: 'fullDisk',
    why: 'produce does not go on by itself when there is room again',
  },
  {
    name: 'the recovery point is ahead of what is durable',
    file: LOG,
    find: 'segments.push(isLast ? this.#durableFacts(segment) : segment.facts);',
    replace: 'segments.push(segment.facts);',
    why: 'what a power cut has taken counts as damage, and the partition stays closed',
  },
  {
    name: 'bytes and offset of the recovery point move apart',
    file: LOG,
    find: `if (error === null && this.failure === undefined) {
                segment.syncedBytes = sizeBytes;
                segment.syncedMaxTimestamp = maxTimestamp;
                segment.syncedCuts = cuts;
                segment.isNameSynced = true;
                this.#durableOffset = nextOffset;`,
    replace: `if (error === null) {
                segment.syncedBytes = sizeBytes;
                segment.syncedMaxTimestamp = maxTimestamp;
                segment.syncedCuts = cuts;
                segment.isNameSynced = true;`,
    habit: 'failingDisk',
    why: 'after a failure the log goes on with offsets that do not fit its bytes',
  },
  {
    name: 'segments are removed before the log start is saved',
    file: ENGINE,
    find: 'async saveLogStart(log) {\n        await this.#saveInBoth();',
    replace: `async saveLogStart(log) {
        log.noteSaved(log.logStartOffset);
        log.noteSaved(log.logStartOffset);
        log.removeDoomed();
        await this.#saveInBoth();`,
    habit: 'expiry',
    why: 'after a power cut the start of the log is missing',
  },
  {
    name: 'the segment that takes the appends can be removed',
    file: LOG,
    find: 'i < this.#segments.length - 1 && this.#segments[i].nextOffset <= logStartOffset',
    replace: 'i < this.#segments.length && this.#segments[i].nextOffset <= logStartOffset',
    habit: 'expiry',
    why: 'offsets begin anew',
  },
  {
    name: 'a log start ahead of the durable end is saved',
    file: LOG,
    find: 'Math.min(this.logStartOffset, this.#durableOffset)',
    replace: 'this.logStartOffset',
    habit: 'expiry',
    why: 'the broker does not start after a power cut',
  },
  {
    name: 'a short write counts as a whole one',
    file: WRITE,
    find: 'if (taken === bytes)',
    replace: 'if (taken > 0)',
    why: 'acknowledged records are cut in half',
  },
  {
    name: 'half a batch stays when the disk is full',
    file: WRITE,
    find: 'file.truncate(position + whole);',
    replace: '',
    habit: 'fullDisk',
    why: 'the next start finds more bytes than it should and closes the partition',
  },
  {
    name: 'whole batches are refused together with the torn one',
    file: WRITE,
    find: 'while (whole + batches[count].length <= taken)',
    replace: 'while (taken < 0)',
    habit: 'fullDisk',
    why: 'a power cut brings back what was refused',
  },
  {
    name: 'no checksum in recovery',
    file: RECOVERY,
    find: 'while (at + BATCH_HEADER_BYTES <= count && findBatchFault(buffer, at, count) === undefined) {',
    replace:
      'while (at + BATCH_HEADER_BYTES <= count && getBatchBytes(buffer, at) >= BATCH_HEADER_BYTES && at + getBatchBytes(buffer, at) <= count) {',
    why: 'torn batches are served',
  },
  {
    name: 'a torn tail is not cut',
    file: RECOVERY,
    find: 'file.truncate(found.sizeBytes);',
    replace: '',
    why: 'the next records lie behind rubbish',
  },
  {
    name: 'recovery looks below the recovery point',
    file: RECOVERY,
    find: 'scanBatches(file, segment, size,',
    replace: 'scanBatches(file, emptySegment(segment.baseOffset), size,',
    habit: 'lookups',
    why: 'one damaged batch makes it cut everything behind it, silently',
  },
  {
    name: 'recovery trusts the page cache',
    file: RECOVERY,
    find: 'rewrite(file, segment.sizeBytes, found.sizeBytes);',
    replace: '',
    habit: 'failingDisk',
    why: 'after a failed sync it keeps what is on no disk',
  },
  {
    name: 'recovery does not sync what it keeps',
    file: RECOVERY,
    find: 'file.truncate(found.sizeBytes);\n            file.syncNow();',
    replace: 'file.truncate(found.sizeBytes);',
    why: 'a second power cut takes what had been recovered and read',
  },
  {
    name: 'an empty segment that is found counts as durable',
    file: RECOVERY,
    find: 'if (size === 0)',
    replace: 'if (size < 0)',
    habit: 'shortLives',
    why: 'it vanishes in a power cut with what was acknowledged into it',
  },
  {
    name: 'segments behind a gap are kept',
    file: RECOVERY,
    find: 'if (isLastKnown || base === this.#nextOffset) {',
    replace: 'if (isLastKnown || base >= this.#nextOffset) {',
    why: 'offsets are missing in the middle of the log',
  },
  {
    name: 'no checksum on reading',
    file: 'log-reader.js',
    find: 'fault = findBatchFault(buffer, at, count);',
    replace: 'fault = undefined;',
    habit: 'lookups',
    why: 'damaged records are served',
  },
  {
    name: 'reads go beyond the high watermark',
    file: 'log-reader.js',
    find: 'while (at + BATCH_HEADER_BYTES <= count && offset < endOffset) {',
    replace: 'while (at + BATCH_HEADER_BYTES <= count) {',
    why: 'consumers read what is not durable yet',
  },
  {
    name: 'the index forgets how late the records before an entry are',
    file: 'segment.js',
    find: 'index.add(this.nextOffset - this.baseOffset, this.sizeBytes, this.maxTimestamp);',
    replace: 'index.add(this.nextOffset - this.baseOffset, this.sizeBytes, -1);',
    habit: 'lookups',
    why: 'a lookup by time passes over records',
  },
  {
    name: 'the checkpoint is not synced',
    file: CHECKPOINT,
    find: 'await done((finish) => file.sync(finish));',
    replace: '',
    why: 'segments are removed by a log start that a power cut takes back',
  },
  {
    name: 'the checkpoint is read without its checksum',
    file: CHECKPOINT,
    find: 'crc32c(bytes, 8, end) !== bytes.readUInt32BE(4)',
    replace: 'end < 0',
    why: 'a torn checkpoint is believed',
  },
  {
    name: 'the checkpoint overwrites its only copy',
    file: CHECKPOINT,
    find: 'SLOT_NAMES[sequence % SLOT_NAMES.length]',
    replace: 'SLOT_NAMES[0]',
    habit: 'troubledStarts',
    why: 'a power cut while it is written loses it',
  },
  {
    name: 'the name of a checkpoint file is not made durable',
    file: CHECKPOINT,
    find: 'if (!this.#durableNames.has(path)) {',
    replace: 'if (path === undefined) {',
    habit: 'shortLives',
    why: 'the first checkpoints vanish in a power cut',
  },
  {
    name: 'the mark of a clean stop is not taken back at the start',
    file: ENGINE,
    find: 'await engine.#saveInBoth();',
    replace: '',
    why: 'after a crash nothing is recovered',
  },
  {
    name: 'the leader epoch stays the same after a crash',
    file: ENGINE,
    find: '+ (wasClean ? 0 : 1)',
    replace: '+ 0',
    why: 'clients cannot see that records were lost',
  },
  {
    name: 'the directories of a new topic are not made durable',
    file: ENGINE,
    find: 'isNew ||= mustMake || entry === undefined;',
    replace: 'isNew ||= false;',
    why: 'the whole topic vanishes in a power cut',
  },
  {
    name: 'directories that are found count as durable',
    file: ENGINE,
    find: 'isNew ||= mustMake || entry === undefined;',
    replace: 'isNew ||= mustMake;',
    habit: 'shortLives',
    why: 'a topic made by a broker that was killed a moment later vanishes in a power cut',
  },
  {
    name: 'the name of the data directory is not made durable',
    file: ENGINE,
    find: 'await syncNameOf(parts.fileSystem, parts.directory);',
    replace: '',
    why: 'everything vanishes in a power cut',
  },
  {
    name: 'one checkpoint file is enough',
    file: ENGINE,
    find: 'async #saveInBoth() {\n        await this.#save();\n        await this.#save();',
    replace: 'async #saveInBoth() {\n        await this.#save();',
    habit: 'spoiltFiles',
    why: 'when the newer one is damaged, a start with the older one loses records',
  },
  {
    name: 'a topic that is being deleted is forgotten at once',
    file: ENGINE,
    find: 'this.#known.set(keyOf(topic, partition), { topic, partition, facts: log.facts() });',
    replace: '',
    habit: 'manyTopics',
    why: 'a crash in between leaves a log that is taken for a new one',
  },
  {
    name: 'a deletion cut short is not remembered',
    file: ENGINE,
    find: 'deleted.some((name) => name.startsWith(deletedPrefix(topic)))',
    replace: 'deleted.length < 0',
    habit: 'manyTopics',
    why: 'a topic of the same name cannot be written to',
  },
  {
    name: 'the checkpoint may know a deleted topic',
    file: ENGINE,
    find: 'if (entry.topic === topic)\n                this.#known.delete(key);',
    replace: 'if (entry.topic === undefined)\n                this.#known.delete(key);',
    why: 'a topic of the same name begins with the facts of the old one',
  },
  {
    name: 'a cleaned segment takes its place before the checkpoint knows it',
    file: 'cleaner-swap.js',
    find: 'await context.saveCheckpoint();',
    replace: '',
    habit: 'compaction',
    why: 'after a crash the segments are not those that the checkpoint describes, and the partition is closed',
  },
  {
    name: 'the name of a cleaned file is not made durable',
    file: 'cleaning.js',
    find: 'await done((finish) => context.fileSystem.syncDirectory(log.directory, finish));',
    replace: '',
    habit: 'compaction',
    why: 'after a power cut the checkpoint speaks of a segment that is nowhere',
  },
  {
    name: 'a cleaned file is not synced',
    file: 'cleaned-file.js',
    find: 'this.#flush();\n        await this.sync();',
    replace: 'this.#flush();',
    habit: 'compaction',
    why: 'a power cut takes records that were durable for years',
  },
  {
    name: 'records that are not durable yet overtake older ones',
    file: 'cleaner-plan.js',
    find: '!segment.isDurable || segment.nextOffset > lastStableOffset ||',
    replace: '',
    habit: 'compaction',
    why: 'a power cut takes the newer record of a key after compaction has taken the older one',
  },
  {
    name: 'tombstones go with the first cleaning',
    file: 'cleaning.js',
    find: 'this.#batchHorizon !== undefined && this.#batchHorizon <= this.#now',
    replace: 'true',
    habit: 'compaction',
    why: 'a consumer that is behind never learns that a key was deleted',
  },
  {
    name: 'the older record of a key stays',
    file: 'cleaning.js',
    find: 'record.keyEnd) > record.offset',
    replace: 'record.keyEnd) === record.offset',
    habit: 'compaction',
    why: 'the newest values are lost',
  },
  {
    name: 'what was to take its place at the crash is thrown away',
    file: 'cleaner-leftovers.js',
    find: 'if (!left.delete(name))',
    replace: 'if (name !== undefined)',
    habit: 'compaction',
    why: 'the records of that segment are lost',
  },
  {
    name: 'a work that was broken off is taken for finished',
    file: 'cleaner-leftovers.js',
    find: 'const name = cleanedFileName(baseOffset, cleanings);',
    replace:
      "const name = names.find((other) => other.startsWith(cleanedFileName(baseOffset, 0).slice(0, 21)) && left.has(other)) ?? '';",
    habit: 'compaction',
    why: 'half a segment takes the place of a whole one',
  },
  {
    name: 'the end of the cleaned part is not kept',
    file: 'cleaned-file.js',
    find: 'if (left !== undefined)\n            this.add(left, 0, left.length);',
    replace: '',
    habit: 'compaction',
    why: 'a consumer cannot get over the end of a segment',
  },
  {
    name: 'a cleaned segment may have no gaps',
    file: 'segment.js',
    find: 'const mayHaveGaps = this.cleanings > 0;',
    replace: 'const mayHaveGaps = false;',
    habit: 'compaction',
    why: 'compacted topics cannot be read',
  },
  {
    name: 'what a producer sent is not taken back when it is refused',
    file: LOG,
    find: 'this.producers.rollBack(this.#writtenOffset);\n        while (',
    replace: 'while (',
    habit: 'fullDisk',
    why: 'a retry of what a full disk refused is taken for a duplicate, and never stored',
  },
  {
    name: 'a duplicate is answered before the first one is safe',
    file: LOG,
    find: 'if (lastOffset < (isForSync ? this.#durableOffset : this.#writtenOffset)) {',
    replace: 'if (lastOffset >= 0) {',
    why: 'a record that was acknowledged to a retry vanishes in a power cut',
  },
  {
    name: 'a batch that is sent again is appended again',
    file: LOG,
    find: 'if (original !== undefined)',
    replace: 'if (false)',
    why: 'a retry stores its records twice',
  },
  {
    name: 'a snapshot is believed to be of the end of the log',
    file: PRODUCERS,
    find: 'return snapshot.offset;',
    replace: 'return logEndOffset;',
    why: 'after a start, sequences and transactions are those of some time ago',
  },
  {
    name: 'a transaction that was open before the start is forgotten',
    file: 'producer-state.js',
    find: 'this.#transactions.push({ producerId, firstOffset, markerOffset: NONE, isAborted: false });',
    replace: '',
    why: 'consumers of committed records see an open transaction after a restart',
  },
  {
    name: 'the aborted transactions of a snapshot are lost',
    file: 'producer-state.js',
    find: 'this.aborted.restore(aborted);',
    replace: '',
    why: 'consumers of committed records see aborted ones after a restart',
  },
  {
    name: 'a transaction is over before its marker may be read',
    file: 'producer-state.js',
    find: 'markerOffset !== NONE && markerOffset < highWatermark',
    replace: 'markerOffset !== NONE',
    why: 'a transaction that was read as aborted is open again after a power cut',
  },
  {
    name: 'retention does not wait for a snapshot',
    file: PRODUCERS,
    find: 'return this.#snapshots.hadNoRoom;',
    replace: 'return true;',
    habit: 'expiry',
    why: 'producers are forgotten with the segments that they wrote',
  },
  {
    name: 'the checkpoint says that there was nothing to remember',
    file: PRODUCERS,
    find: 'if (this.#isLoaded && this.#states === undefined)',
    replace: 'if (this.#isLoaded)',
    why: 'a start forgets producers and transactions',
  },
  {
    name: 'a snapshot that was found is taken for durable',
    file: 'snapshot-files.js',
    find: 'this.#offsets = found.slice(i).toReversed();',
    replace: 'this.#offsets = found.slice(i).toReversed();\n                this.#newestOffset = offset;',
    habit: 'troubledStarts',
    why: 'retention relies on what a process wrote that was killed before its sync, and a power cut takes it',
  },
]
