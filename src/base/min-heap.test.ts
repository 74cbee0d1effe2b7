import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { MinHeap } from './min-heap.ts'

test('a heap gives what was put into it, the smallest first, however puts and takes are mixed', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constant('take' as const))), (steps) => {
      const heap = new MinHeap<{ at: number }>(({ at }) => at)
      const expected: number[] = []
      for (const step of steps) {
        if (step === 'take') expect(heap.pop()?.at).toBe(expected.shift())
        else {
          heap.push({ at: step })
          expected.push(step)
          expected.sort((a, b) => a - b)
        }
        expect(heap.first?.at).toBe(expected.at(0))
        expect(heap.size).toBe(expected.length)
      }
      expect([...heap.values()].map(({ at }) => at).toSorted((a, b) => a - b)).toEqual(expected)
      heap.clear()
      expect(heap.pop()).toBeUndefined()
    }),
  )
})
