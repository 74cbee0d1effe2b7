import { expect, test } from 'vitest'

import type { SentBatch } from './ledger.ts'
import { Ledger } from './ledger.ts'

// Whoever finds nothing must be able to find something: every kind of broken promise, planted one by one.

const log = (text: string, partition = 0, logStartOffset = 0) => ({
  topic: 't',
  partition,
  logStartOffset,
  highWatermark: logStartOffset + text.length,
  records: Array.from(text, (digest, index) => ({ offset: logStartOffset + index, digest })),
})

function send(ledger: Ledger, digests: string, firstSequence: number, producer = 1): SentBatch {
  const batch: SentBatch = { topic: 't', producer, firstSequence, digests: digests.split(''), outcome: 'unknown' }
  ledger.sending(batch)
  return batch
}

/** One producer has sent abc, which is stored at 0, and de and f, which have no answer. */
function makeLedger(retained: readonly string[] = []): Ledger {
  const ledger = new Ledger(retained)
  ledger.stored(send(ledger, 'abc', 0), { partition: 0, baseOffset: 0 })
  send(ledger, 'de', 3)
  send(ledger, 'f', 5)
  return ledger
}

test.each(['abc', 'abcde', 'abcdef', 'abcf'])('what may be there is not complained of: %s', (found) => {
  const ledger = makeLedger()
  ledger.checkLogs([log(found)])
  expect(ledger.violations).toEqual([])
  expect(ledger.survivors).toBe(found.length - 3)
})

test.each<[what: string, found: ReturnType<typeof log>[], violation: string]>([
  ['loss', [log('ab')], 't-0: offset 2 is lost'],
  ['another record', [log('abd')], 't-0: offset 2 has other bytes than before'],
  ['a phantom', [log('abcx')], 't-0: offset 3 has a record that nobody sent'],
  ['a record twice', [log('abca')], 't-0: offset 3 is there twice'],
  ['a record in two partitions', [log('abc'), log('f', 1), log('f', 2)], 't-2: offset 0 is there twice'],
  ['another order', [log('abcfde')], 't-0: offset 4 is not in the order in which it was sent'],
  ['half a batch', [log('abcd')], 't-0: of 1.3 1 of 2 are there'],
  ['a start that nobody asked for', [log('bc', 0, 1)], 't-0: offset 1 begins it, though nothing is ever removed'],
  ['an end that is not the end', [{ ...log('abc'), highWatermark: 4 }], 't-0: offset 3 ends it, not 4'],
  [
    'a gap',
    [
      {
        ...log('abc'),
        records: [
          { offset: 0, digest: 'a' },
          { offset: 2, digest: 'c' },
        ],
      },
    ],
    't-0: offset 2 comes where 1 should',
  ],
])('%s is found', (_what, found, violation) => {
  const ledger = makeLedger()
  ledger.checkLogs(found)
  expect(ledger.violations).toContain(violation)
})

test('what was refused must not be there, unless the refusal does not know', () => {
  const ledger = new Ledger()
  ledger.refused(send(ledger, 'a', 0), 'whether the records are stored is not known until the next start')
  ledger.refused(send(ledger, 'b', 1), 'the disk is full')
  ledger.checkLogs([log('ab')])
  expect(ledger.violations).toEqual(['t-0: offset 1 was refused'])
})

test('what was seen once must stay, though nobody had acknowledged it', () => {
  const ledger = makeLedger()
  ledger.checkLogs([log('abcde')])
  ledger.checkLogs([log('abcf')])
  expect(ledger.violations.slice(0, 2)).toEqual(['t-0: offset 3 has other bytes than before', 't-0: offset 4 is lost'])
})

test('what retention has taken is not lost', () => {
  const ledger = makeLedger(['t'])
  ledger.checkLogs([log('f', 0, 3)])
  expect(ledger.violations).toEqual([])
})

test('a group may be ahead of its last acknowledged commit, and not behind it', () => {
  const at = (offset: number) => ({ group: 'g', topic: 't', partition: 0, offset })
  const ledger = new Ledger()
  for (const offset of [1, 2, 3]) ledger.committing(at(offset))
  ledger.checkCommits([])
  expect(ledger.violations).toEqual([])
  ledger.committed(at(2))
  ledger.checkCommits([at(3)])
  expect(ledger.violations).toEqual([])
  ledger.checkCommits([at(2)])
  ledger.checkCommits([])
  ledger.checkCommits([at(7)])
  expect(ledger.violations).toEqual([
    'g in t-0 is at 2, which was never sent',
    'g in t-0 is at 2, and 3 was acknowledged',
    'g in t-0 is at undefined, and 2 was acknowledged',
    'g in t-0 is at 7, which was never sent',
    'g in t-0 is at 7, and 2 was acknowledged',
  ])
})
