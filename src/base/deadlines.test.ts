import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { checkProperty } from '../../test/support/property.ts'
import { Deadlines } from './deadlines.ts'

test('what is due comes in order of time, whatever was moved or forgotten before', () => {
  const change = fc.record({ thing: fc.nat(20), at: fc.option(fc.nat(50), { nil: undefined }) })
  checkProperty(
    fc.property(fc.array(change, { maxLength: 100 }), (changes) => {
      const deadlines = new Deadlines<number>()
      const model = new Map<number, number>()
      for (const { thing, at } of changes) {
        if (at === undefined) deadlines.delete(thing)
        else deadlines.set(thing, at)
        if (at === undefined) model.delete(thing)
        else model.set(thing, at)
        expect(deadlines.get(thing)).toBe(at)
        expect(deadlines.first?.at).toBe(model.size === 0 ? undefined : Math.min(...model.values()))
      }
      const taken: [thing: number, at: number][] = []
      for (let now = 0; now <= 50; now++) {
        for (let thing = deadlines.takeDue(now); thing !== undefined; thing = deadlines.takeDue(now)) {
          taken.push([thing, now])
        }
      }
      expect(deadlines.first).toBeUndefined()
      expect(new Map(taken)).toEqual(model)
      expect(taken).toHaveLength(model.size)
    }),
    200,
  )
})
