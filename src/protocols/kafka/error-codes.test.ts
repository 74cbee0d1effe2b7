import { expect, test } from 'vitest'
import { BrokerError } from '../../base/broker-error.ts'
import { ERROR_CODES, errorCodeOf } from './error-codes.ts'

test('every error has a number of its own', () => {
  const codes = Object.values(ERROR_CODES)
  expect(new Set(codes).size).toBe(codes.length)
  expect(codes).toEqual(codes.toSorted((one, other) => one - other))
})

test('a refusal has the number of its name, anything else is a mistake of ours', () => {
  expect(errorCodeOf(new BrokerError('OFFSET_OUT_OF_RANGE', 'x'))).toBe(1)
  expect(errorCodeOf(new BrokerError('KAFKA_STORAGE_ERROR', 'x'))).toBe(56)
  expect(errorCodeOf(new Error('x'))).toBe(-1)
  expect(errorCodeOf('x')).toBe(-1)
})
