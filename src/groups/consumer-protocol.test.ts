import * as fc from 'fast-check'
import { expect, test } from 'vitest'

import { checkProperty } from '../../test/support/property.ts'
import { toPlain } from './assignment.ts'
import { readAssignment, readSubscribedTopics } from './consumer-protocol.ts'

// Written by kafkajs 2.2.4 (AssignerProtocol): version 1, topics orders and ñ; version 1, partitions 0 and 2 of orders.
const SUBSCRIPTION = Buffer.from('00010000000200066f72646572730002c3b100000000', 'hex')
const ASSIGNMENT = Buffer.from('00010000000100066f726465727300000002000000000000000200000000', 'hex')

test('subscriptions and assignments of consumers are read', () => {
  expect(readSubscribedTopics(SUBSCRIPTION)).toEqual(['orders', 'ñ'])
  expect(toPlain(readAssignment(ASSIGNMENT) ?? new Map())).toEqual({ orders: [0, 2] })
})

test('what is cut short, counts too high, or is something else is not read', () => {
  expect(readSubscribedTopics(Buffer.alloc(0))).toBeUndefined()
  expect(readAssignment(Buffer.alloc(0))).toBeUndefined()
  for (let end = 0; end < 17; end++) expect(readSubscribedTopics(SUBSCRIPTION.subarray(0, end))).toBeUndefined()
  expect(readSubscribedTopics(Buffer.from('00017fffffff0000', 'hex'))).toBeUndefined()
  expect(readSubscribedTopics(Buffer.from('0001ffffffff', 'hex'))).toBeUndefined()
  expect(readAssignment(Buffer.from('00010000000100017400ffffff', 'hex'))).toBeUndefined()
  checkProperty(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      const buffer = Buffer.from(bytes)
      const topics = readSubscribedTopics(buffer)
      expect(topics === undefined || topics.length <= buffer.length).toBe(true)
      expect(() => readAssignment(buffer)).not.toThrow()
    }),
    300,
  )
})
