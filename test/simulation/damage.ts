import { endOf, splitBatches } from './batches.ts'
import type { World } from './world.ts'

/**
 * Turns over one bit of a batch that lies below the recovery point for certain, as a disk does that ages. Three times in
 * four it hits what the checksum covers; then that batch alone is lost. Otherwise it hits the header in front, by which
 * a reader finds its way: then those behind it in the same file may be out of reach too.
 */
export function damageSegment(world: World): void {
  const { disk, random } = world
  const segments = disk.files().filter(({ path, inode }) => {
    const model = world.modelOf(path)
    return model !== undefined && path.endsWith('.log') && inode.live.size > 0 && baseOf(path) < model.safeEnd
  })
  if (segments.length === 0) return
  const { path, inode } = random.pick(segments)
  const model = world.modelOf(path)
  const batches = splitBatches(inode.live.view())
  if (!model || !batches) return
  const safe = batches.filter((batch) => endOf(batch) <= model.safeEnd)
  if (safe.length === 0) return
  const index = random.below(safe.length)
  const batch = batches[index]
  const start = batches.slice(0, index).reduce((sum, { bytes }) => sum + bytes.length, 0)
  const isInHeader = random.chance(0.25)
  const within = isInHeader ? random.pick([0, 7, 8, 11, 16, 23, 26]) : 27 + random.below(batch.bytes.length - 27)
  disk.flipBit(inode, start + within, random.below(8))
  world.report.damages += 1
  world.isDamaged = true
  world.say(`a bit of ${path} at ${start + within} is turned over, offset ${batch.baseOffset}`)
  if (isInHeader) world.damagedHeaders.push({ path, offset: batch.baseOffset })
  for (const hit of isInHeader ? batches.slice(index) : [batch]) {
    const sent = model.batchAt(hit.baseOffset)
    if (sent) sent.isDamaged = true
  }
}

/** Loses, cuts or spoils index files: caches, of which nothing may depend. */
export function damageIndexes({ disk, random, report }: World): void {
  for (const { path, inode } of disk.files()) {
    if (!path.endsWith('.idx') || random.chance(0.5)) continue
    report.damages += 1
    const size = inode.live.size
    switch (random.below(6)) {
      case 0:
        disk.erase(path)
        break
      case 1:
        disk.overwrite(inode, Buffer.from(inode.live.view().subarray(0, random.below(size + 1))))
        break
      case 2:
      case 3:
      case 4:
        if (size > 0) disk.flipBit(inode, random.below(size), random.below(8))
        break
      default: {
        const noise = Buffer.alloc(random.below(200))
        random.fill(noise)
        disk.overwrite(inode, noise)
      }
    }
  }
}

/** Loses or spoils the checkpoint, one of its files or all. Returns whether anything was done. */
export function damageCheckpoint({ disk, random, report }: World): boolean {
  const slots = disk.files().filter(({ path }) => path.includes('@checkpoint'))
  if (slots.length === 0) return false
  const hit = random.chance(0.5) ? slots : [random.pick(slots)]
  for (const { path, inode } of hit) {
    report.damages += 1
    if (random.chance(0.5) || inode.live.size === 0) disk.erase(path)
    else disk.flipBit(inode, random.below(inode.live.size), random.below(8))
  }
  return true
}

/** Does what the manual says when a damaged checkpoint keeps a partition closed: removes it, so that the logs are read. */
export function removeCheckpoint({ disk }: World): void {
  for (const { path } of disk.files()) if (path.includes('@checkpoint')) disk.erase(path)
}

function baseOf(path: string): number {
  return Number(/(\d+)\.log$/.exec(path)?.[1] ?? Number.NaN)
}
