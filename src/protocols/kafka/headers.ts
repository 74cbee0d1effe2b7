import type { ApiFacts } from './api.ts'
import type { Reader } from './reader.ts'
import { Writer } from './writer.ts'

// A frame is its length as int32, then a header, then the message.
//
//   request    api key i16 │ api version i16 │ correlation id i32 │ client id nullable string │ tagged fields *
//   response   correlation id i32 │ tagged fields *
//
// * Only in versions of an API that are flexible (header versions 2 and 1; without them 1 and 0). The client id has the
//   classic form even then, and the response of ApiVersions never has tagged fields, so that both can be read before it
//   is known which version the other side speaks.

/** Bytes of the length before a frame. */
export const FRAME_LENGTH_BYTES = 4

/** What comes before a request. */
export interface RequestHeader {
  readonly apiKey: number
  readonly apiVersion: number
  /** Given back in the response. */
  readonly correlationId: number
  /** What the client calls itself. */
  readonly clientId: string | null
}

/**
 * Reads the part of the header that is the same for all requests. `skipHeaderTags` is for the rest, once the API is known
 * to serve the version.
 *
 * @throws MalformedMessageError
 */
export function readRequestHeader(reader: Reader): RequestHeader {
  return {
    apiKey: reader.int16(),
    apiVersion: reader.int16(),
    correlationId: reader.int32(),
    clientId: reader.nullableString(),
  }
}

/**
 * Passes over the end of a request's header; the message follows.
 *
 * @throws MalformedMessageError
 */
export function skipHeaderTags(reader: Reader, api: ApiFacts, version: number): void {
  if (api.isFlexible(version)) reader.skipTaggedFields()
}

/** Begins the frame of a response: its length, to be filled in by `Writer.finishFrame`, and its header. */
export function beginResponse(api: ApiFacts, header: RequestHeader): Writer {
  const writer = new Writer()
  writer.int32(0)
  writer.int32(header.correlationId)
  if (hasResponseTags(api, header.apiVersion)) writer.uvarint(0)
  return writer
}

/** The client's side of `readRequestHeader` and `skipHeaderTags`. */
export function beginRequest(api: ApiFacts, header: RequestHeader): Writer {
  const writer = new Writer()
  writer.int32(0)
  writer.int16(header.apiKey)
  writer.int16(header.apiVersion)
  writer.int32(header.correlationId)
  writer.nullableString(header.clientId)
  if (api.isFlexible(header.apiVersion)) writer.uvarint(0)
  return writer
}

/**
 * The client's side of `beginResponse`: reads the header, without the length, and returns the correlation id.
 *
 * @throws MalformedMessageError
 */
export function readResponseHeader(reader: Reader, api: ApiFacts, version: number): number {
  const correlationId = reader.int32()
  if (hasResponseTags(api, version)) reader.skipTaggedFields()
  return correlationId
}

function hasResponseTags(api: ApiFacts, version: number): boolean {
  return api.isFlexible(version) && !api.hasPlainResponseHeader
}
