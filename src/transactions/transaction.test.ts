import { expect, test } from 'vitest'

import { decide, EPOCH_MAX } from './transaction.ts'
import type { Decision, ProducerIdentity, Transaction, TransactionEvent, TransactionState } from './transaction.ts'
import { decodeTransaction, toStoreChange } from './transaction-rows.ts'

const NOW = 5_000
const PRODUCER = { producerId: 7, producerEpoch: 3 }

function make(state: TransactionState, more: Partial<Transaction> = {}): Transaction {
  const isOpen = state === 'Ongoing' || state.startsWith('Prepare')
  return {
    transactionalId: 't',
    state,
    ...PRODUCER,
    previous: undefined,
    timeoutMs: 60_000,
    partitions: new Map(isOpen ? [['a', new Set([0])]] : []),
    groups: new Set(isOpen ? ['g'] : []),
    startedAtMs: isOpen ? 1_000 : undefined,
    changedAtMs: 2_000,
    ...more,
  }
}

const init = (more: Partial<Extract<TransactionEvent, { kind: 'init' }>> = {}): TransactionEvent => {
  return { kind: 'init', transactionalId: 't', timeoutMs: 60_000, expected: undefined, ...more }
}
const EVENTS: Record<string, TransactionEvent> = {
  init: init(),
  add: { kind: 'add partitions', producer: PRODUCER, partitions: [{ topic: 'a', partition: 1 }] },
  'add same': { kind: 'add partitions', producer: PRODUCER, partitions: [{ topic: 'a', partition: 0 }] },
  group: { kind: 'add group', producer: PRODUCER, group: 'h' },
  commit: { kind: 'end', producer: PRODUCER, isCommit: true },
  abort: { kind: 'end', producer: PRODUCER, isCommit: false },
  timeout: { kind: 'timeout' },
  ended: { kind: 'ended' },
}

/** What comes of it, as a short text: `→ Ongoing 7/3 a:0,1 g` is a change that is answered, with `…` once it has ended. */
function show(decision: Decision): string {
  if (decision.kind === 'refuse') return decision.error
  if (decision.kind !== 'change') return decision.kind
  const { next } = decision
  if (next === undefined) return '→ nothing'
  const { state, producerId, producerEpoch, partitions, groups } = next
  const parts = [
    `→ ${state} ${producerId}/${producerEpoch}`,
    ...Array.from(partitions, ([topic, numbers]) => `${topic}:${[...numbers].join(',')}`),
    ...groups,
  ]
  return parts.join(' ') + (decision.reply === 'once ended' ? ' …' : '')
}

test.each<[state: TransactionState, expected: Record<string, string>]>([
  [
    'Empty',
    {
      init: '→ Empty 7/4',
      add: '→ Ongoing 7/3 a:1',
      'add same': '→ Ongoing 7/3 a:0',
      group: '→ Ongoing 7/3 h',
      commit: 'INVALID_TXN_STATE',
      abort: 'INVALID_TXN_STATE',
      timeout: 'answer',
      ended: 'answer',
    },
  ],
  [
    'Ongoing',
    {
      init: '→ PrepareAbort 7/4 a:0 g …',
      add: '→ Ongoing 7/3 a:0,1 g',
      'add same': 'answer',
      group: '→ Ongoing 7/3 a:0 g h',
      commit: '→ PrepareCommit 7/3 a:0 g …',
      abort: '→ PrepareAbort 7/3 a:0 g …',
      timeout: '→ PrepareAbort 7/4 a:0 g',
      ended: 'answer',
    },
  ],
  [
    'PrepareCommit',
    {
      init: 'wait',
      add: 'wait',
      'add same': 'wait',
      group: 'wait',
      commit: 'wait',
      abort: 'INVALID_TXN_STATE',
      timeout: 'answer',
      ended: '→ CompleteCommit 7/3',
    },
  ],
  [
    'PrepareAbort',
    {
      init: 'wait',
      add: 'wait',
      'add same': 'wait',
      group: 'wait',
      commit: 'INVALID_TXN_STATE',
      abort: 'wait',
      timeout: 'answer',
      ended: '→ CompleteAbort 7/3',
    },
  ],
  [
    'CompleteCommit',
    {
      init: '→ Empty 7/4',
      add: '→ Ongoing 7/3 a:1',
      'add same': '→ Ongoing 7/3 a:0',
      group: '→ Ongoing 7/3 h',
      commit: 'answer',
      abort: 'INVALID_TXN_STATE',
      timeout: 'answer',
      ended: 'answer',
    },
  ],
  [
    'CompleteAbort',
    {
      init: '→ Empty 7/4',
      add: '→ Ongoing 7/3 a:1',
      'add same': '→ Ongoing 7/3 a:0',
      group: '→ Ongoing 7/3 h',
      commit: 'INVALID_TXN_STATE',
      abort: 'answer',
      timeout: 'answer',
      ended: 'answer',
    },
  ],
])('what comes of each event in %s', (state, expected) => {
  const found = Object.entries(EVENTS).map(([name, event]) => [name, show(decide(make(state), event, NOW))])
  expect(Object.fromEntries(found)).toEqual(expected)
})

test.each<[string, ProducerIdentity, string]>([
  ['another producer id', { producerId: 8, producerEpoch: 3 }, 'INVALID_PRODUCER_ID_MAPPING'],
  ['the epoch before', { producerId: 7, producerEpoch: 2 }, 'PRODUCER_FENCED'],
  ['an epoch that nobody has', { producerId: 7, producerEpoch: 4 }, 'PRODUCER_FENCED'],
])('%s is refused in every state', (_name, producer, error) => {
  const states = ['Empty', 'Ongoing', 'PrepareCommit', 'PrepareAbort', 'CompleteCommit', 'CompleteAbort'] as const
  for (const state of states) {
    for (const name of ['add', 'group', 'commit', 'abort']) {
      const event = { ...EVENTS[name], producer } as TransactionEvent
      expect(show(decide(make(state), event, NOW)), `${name} in ${state}`).toBe(error)
    }
  }
})

test('an unknown transactional id gets a new producer, and knows no other event', () => {
  expect(show(decide(undefined, init(), NOW))).toBe('new producer id')
  expect(show(decide(undefined, init({ newProducerId: 9 }), NOW))).toBe('→ Empty 9/0')
  expect(show(decide(undefined, init({ newProducerId: 9, expected: PRODUCER }), NOW))).toBe('→ Empty 9/0')
  for (const name of ['add', 'group', 'commit', 'abort']) {
    expect(show(decide(undefined, EVENTS[name], NOW)), name).toBe('INVALID_PRODUCER_ID_MAPPING')
  }
})

test('a producer that says who it was must be the last one', () => {
  const stale = init({ expected: { producerId: 7, producerEpoch: 2 } })
  for (const state of ['Empty', 'Ongoing', 'PrepareAbort', 'CompleteCommit'] as const) {
    expect(show(decide(make(state), stale, NOW)), state).toBe('PRODUCER_FENCED')
  }
  expect(show(decide(make('Empty'), init({ expected: { producerId: 8, producerEpoch: 3 } }), NOW))).toBe(
    'PRODUCER_FENCED',
  )
})

test('a producer that says who it was and does not get the answer may ask again', () => {
  const again = init({ expected: PRODUCER })
  const first = decide(make('CompleteCommit'), again, NOW)
  expect(show(first)).toBe('→ Empty 7/4')
  const after = first.kind === 'change' ? first.next : undefined
  expect(show(decide(after, again, NOW))).toBe('answer')
  expect(show(decide(after, { ...again, timeoutMs: 1 } as TransactionEvent, NOW))).toBe('→ Empty 7/4')
  // Once the new one has begun to write, the old one is locked out.
  const begun = decide(
    after,
    { ...EVENTS['add'], producer: { producerId: 7, producerEpoch: 4 } } as TransactionEvent,
    NOW,
  )
  expect(show(begun)).toBe('→ Ongoing 7/4 a:1')
  expect(show(decide(begun.kind === 'change' ? begun.next : undefined, again, NOW))).toBe('PRODUCER_FENCED')
})

test('a producer that says who it was and has an open transaction gets the epoch that fenced it', () => {
  const again = init({ expected: PRODUCER })
  const first = decide(make('Ongoing'), again, NOW)
  expect(show(first)).toBe('→ PrepareAbort 7/4 a:0 g …')
  const fenced = first.kind === 'change' ? first.next : undefined
  expect(show(decide(fenced, again, NOW))).toBe('wait')
  const ended = decide(fenced, { kind: 'ended' }, NOW)
  expect(show(decide(ended.kind === 'change' ? ended.next : undefined, again, NOW))).toBe('answer')
})

test('when the epochs of a producer id are used up there is a new one', () => {
  const last = make('CompleteCommit', { producerEpoch: EPOCH_MAX - 1 })
  expect(show(decide(make('Empty', { producerEpoch: EPOCH_MAX - 2 }), init(), NOW))).toBe(`→ Empty 7/${EPOCH_MAX - 1}`)
  expect(show(decide(last, init(), NOW))).toBe('new producer id')
  expect(show(decide(last, init({ newProducerId: 9 }), NOW))).toBe('→ Empty 9/0')

  const expected = { producerId: 7, producerEpoch: EPOCH_MAX - 1 }
  const rotated = decide(last, init({ newProducerId: 9, expected }), NOW)
  expect(show(decide(rotated.kind === 'change' ? rotated.next : undefined, init({ expected }), NOW))).toBe('answer')

  // Fencing takes the one that is left, and whoever comes then gets the new id, also when it says who it was.
  const fenced = decide(make('Ongoing', { producerEpoch: EPOCH_MAX - 1 }), init({ expected }), NOW)
  expect(show(fenced)).toBe(`→ PrepareAbort 7/${EPOCH_MAX} a:0 g …`)
  const ended = decide(fenced.kind === 'change' ? fenced.next : undefined, { kind: 'ended' }, NOW)
  const idle = ended.kind === 'change' ? ended.next : undefined
  expect(show(decide(idle, init({ expected }), NOW))).toBe('new producer id')
  expect(show(decide(idle, init({ expected, newProducerId: 9 }), NOW))).toBe('→ Empty 9/0')
})

test('a transactional id is forgotten when nobody has used it for long, unless it is in use', () => {
  const expire = (unusedSinceMs: number): TransactionEvent => ({ kind: 'expire', unusedSinceMs })
  for (const state of ['Empty', 'CompleteCommit', 'CompleteAbort'] as const) {
    expect(show(decide(make(state), expire(1_999), NOW)), state).toBe('answer')
    expect(show(decide(make(state), expire(2_000), NOW)), state).toBe('→ nothing')
  }
  for (const state of ['Ongoing', 'PrepareCommit', 'PrepareAbort'] as const) {
    expect(show(decide(make(state), expire(2_000), NOW)), state).toBe('answer')
  }
})

test('a row comes back from the store as it was', () => {
  const transaction = make('Ongoing', {
    previous: { producerId: 6, producerEpoch: 9 },
    partitions: new Map([
      ['a', new Set([0, 5])],
      ['__proto__', new Set([1])],
    ]),
  })
  const { key, value } = toStoreChange('t', transaction)
  expect(decodeTransaction(key, value ?? Buffer.alloc(0))).toEqual(transaction)
  expect(toStoreChange('t', undefined).value).toBeUndefined()
})

test.each([
  ['not JSON', 'x'],
  ['another version', '{"version":2}'],
  ['a state that nobody knows', '{"version":1,"state":"Lost"}'],
])('a row that is %s is refused by name', (_name, text) => {
  expect(() => decodeTransaction('orders', Buffer.from(text))).toThrow(/"orders" of transactions in the store/)
})
