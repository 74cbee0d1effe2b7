/** What happened in one or many lives. */
export interface LifeReport {
  lives: number
  cleanStops: number
  kills: number
  powerCuts: number
  /** Starts that were themselves cut short or met a fault. */
  interruptedStarts: number
  /** Recoveries that were done a second time and compared with the first. */
  repeatedRecoveries: number
  steps: number
  operations: number
  batchesSent: number
  /** Batches that a producer sent again. */
  duplicates: number
  recordsAcked: number
  /** Records compared byte for byte after a restart. */
  recordsChecked: number
  reads: number
  timeLookups: number
  faults: number
  disksFilled: number
  /** Bits turned over in segments, and indexes or checkpoints lost or spoilt. */
  damages: number
  /** Reads that met damage and said so. */
  corruptReads: number
  topicsDeleted: number
  /** How often the cleaner was asked to look for work, and records that it took. */
  compactions: number
  recordsCompacted: number
  /** Digest of every operation of every process: the same seed gives the same. */
  traceHash: number
}

/** A report of nothing yet. */
export function newReport(): LifeReport {
  return {
    lives: 0,
    cleanStops: 0,
    kills: 0,
    powerCuts: 0,
    interruptedStarts: 0,
    repeatedRecoveries: 0,
    steps: 0,
    operations: 0,
    batchesSent: 0,
    duplicates: 0,
    recordsAcked: 0,
    recordsChecked: 0,
    reads: 0,
    timeLookups: 0,
    faults: 0,
    disksFilled: 0,
    damages: 0,
    corruptReads: 0,
    topicsDeleted: 0,
    compactions: 0,
    recordsCompacted: 0,
    traceHash: 0,
  }
}

const LABELS: Readonly<Record<keyof LifeReport, string>> = {
  lives: 'schedules',
  cleanStops: 'clean stops',
  kills: 'kills',
  powerCuts: 'power cuts',
  interruptedStarts: 'starts cut short',
  repeatedRecoveries: 'recoveries repeated and compared',
  steps: 'steps',
  operations: 'file system operations',
  batchesSent: 'batches sent',
  duplicates: 'batches sent again',
  recordsAcked: 'records acknowledged',
  recordsChecked: 'records compared after a restart',
  reads: 'reads while running',
  timeLookups: 'lookups by time',
  faults: 'disk faults met',
  disksFilled: 'disks filled',
  damages: 'bits, indexes and checkpoints spoilt',
  corruptReads: 'reads that reported damage',
  compactions: 'compactions',
  recordsCompacted: 'records compacted away',
  topicsDeleted: 'topics deleted',
  traceHash: 'trace',
}

/** The report as text, one fact a line. */
export function formatReport(report: LifeReport): string {
  return (Object.keys(LABELS) as (keyof LifeReport)[])
    .map((key) => {
      const value = key === 'traceHash' ? report[key].toString(16).padStart(8, '0') : report[key].toLocaleString('en')
      return `  ${value.padStart(13)}  ${LABELS[key]}`
    })
    .join('\n')
}
