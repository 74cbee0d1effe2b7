import { expect, test } from 'vitest'
import { parseBrokerAddress, parseHttpUrl } from './addresses.ts'
import { CliFailure } from './failure.ts'

test.each([
  [undefined, {}, 'localhost', 7070],
  ['broker:9000', {}, 'broker', 9000],
  ['broker', {}, 'broker', 7070],
  [':9000', {}, 'localhost', 9000],
  ['[::1]:9000', {}, '::1', 9000],
  [undefined, { CAFELOG_BROKER: 'a:1' }, 'a', 1],
  ['b:2', { CAFELOG_BROKER: 'a:1' }, 'b', 2],
  [undefined, { CAFELOG_TCP_ADDR: ':7171' }, 'localhost', 7171],
  [undefined, { CAFELOG_TCP_ADDR: '0.0.0.0:7171' }, 'localhost', 7171],
  [undefined, { CAFELOG_TCP_ADDR: '10.0.0.1:7171' }, '10.0.0.1', 7171],
  [undefined, { CAFELOG_TCP_ADDR: '127.0.0.1:0' }, 'localhost', 7070],
  [undefined, { CAFELOG_BROKER: 'a:1', CAFELOG_TCP_ADDR: ':7171' }, 'a', 1],
  [undefined, { CAFELOG_BROKER: '' }, 'localhost', 7070],
])('the broker by flag %j and environment %j', (flag, env, host, port) => {
  expect(parseBrokerAddress(flag, env)).toEqual({ host, port })
})

test.each(['', 'a:b', 'a:70000', 'a:0', 'http://a:1', 'a b:1'])('the address %j is refused', (flag) => {
  expect(() => parseBrokerAddress(flag, {})).toThrow(CliFailure)
})

test.each([
  [undefined, {}, 'http://localhost:8080'],
  ['http://b:1/', {}, 'http://b:1'],
  ['b:1', {}, 'http://b:1'],
  [undefined, { CAFELOG_HTTP: 'http://c:2' }, 'http://c:2'],
  [undefined, { CAFELOG_HTTP_ADDR: ':8181' }, 'http://localhost:8181'],
])('HTTP by flag %j and environment %j', (flag, env, expected) => {
  expect(parseHttpUrl(flag, env)).toBe(expected)
})

test('HTTPS is refused: the broker does not speak it', () => {
  expect(() => parseHttpUrl('https://b:1', {})).toThrow(CliFailure)
})
