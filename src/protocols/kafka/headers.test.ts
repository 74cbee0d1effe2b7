import { expect, test } from 'vitest'
import { ApiVersions } from './apis/18-api-versions.ts'
import { Heartbeat } from './apis/12-heartbeat.ts'
import { beginRequest, beginResponse, readRequestHeader, readResponseHeader, skipHeaderTags } from './headers.ts'
import { MalformedMessageError, Reader } from './reader.ts'

const header = (apiKey: number, apiVersion: number) => ({ apiKey, apiVersion, correlationId: 5, clientId: 'me' })
const hexOf = (pieces: readonly Buffer[]) => Buffer.concat(pieces).toString('hex')

test.each<[what: string, version: number, hex: string]>([
  ['ends with the client id', 3, '0000000c 000c 0003 00000005 0002 6d65'],
  [
    'has tagged fields in flexible versions, and still the classic client id',
    4,
    '0000000d 000c 0004 00000005 0002 6d65 00',
  ],
])('the header of a request %s', (_what, version, hex) => {
  expect(hexOf(beginRequest(Heartbeat, header(12, version)).finishFrame())).toBe(hex.replaceAll(' ', ''))
  const reader = new Reader(Buffer.from(`${hex}07`.replaceAll(' ', ''), 'hex'), 4)
  expect(readRequestHeader(reader)).toEqual(header(12, version))
  skipHeaderTags(reader, Heartbeat, version)
  expect(reader.int8()).toBe(7)
})

test('the client id may be null', () => {
  const bytes = Buffer.from('000c000300000005ffff', 'hex')
  expect(readRequestHeader(new Reader(bytes))).toEqual({ ...header(12, 3), clientId: null })
  for (let end = 0; end < bytes.length; end++) {
    expect(() => readRequestHeader(new Reader(bytes, 0, end))).toThrow(MalformedMessageError)
  }
})

test.each([
  ['is the correlation id', Heartbeat, 3, '00000004 00000005'],
  ['has tagged fields in flexible versions', Heartbeat, 4, '00000005 00000005 00'],
  ['never has any for ApiVersions', ApiVersions, 4, '00000004 00000005'],
] as const)('the header of a response %s', (_what, api, version, hex) => {
  expect(hexOf(beginResponse(api, header(api.key, version)).finishFrame())).toBe(hex.replaceAll(' ', ''))
  const reader = new Reader(Buffer.from(`${hex}07`.replaceAll(' ', ''), 'hex'), 4)
  expect(readResponseHeader(reader, api, version)).toBe(5)
  expect(reader.int8()).toBe(7)
})
