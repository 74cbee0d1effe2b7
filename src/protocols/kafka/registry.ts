import { assert } from '../../base/assert.ts'
import type { Api, ApiFacts } from './api.ts'
import { makeErrorResponse } from './error-response.ts'
import type { RequestHeader } from './headers.ts'
import { beginResponse, skipHeaderTags } from './headers.ts'
import type { Reader } from './reader.ts'
import type { Fields, ReadMessage, WrittenMessage } from './schema.ts'

/** What a handler returns when the client expects nothing. */
export const NO_RESPONSE = 'no response' as const

/**
 * Does what a request asks for: `Handler<typeof Produce, Context>`. Records in the request point into the frame that it
 * came in, and are only good as long as that; records in the response must stay as they are until they are sent.
 */
export type Handler<A, Context> =
  A extends Api<infer Request, infer Response> ? Handle<Request, Response, Context> : never

type Handle<Request extends Fields, Response extends Fields, Context> = (
  request: ReadMessage<Request>,
  context: Context,
) => Outcome<WrittenMessage<Response>>

/** Now or later: a response, or that there is none. */
type Outcome<Response> = Response | typeof NO_RESPONSE | Promise<Response | typeof NO_RESPONSE>

/** The pieces of a response's frame, in order. Records among them are those that the handler returned, not copies. */
export type ResponseFrame = readonly Buffer[]

/** An API with its handler. */
export interface ServedApi<Context> {
  readonly api: ApiFacts
  /**
   * Reads the request, from behind what `readRequestHeader` has read, and answers it. Bytes after the request are
   * ignored, since clients send some.
   *
   * @throws MalformedMessageError, and whatever the handler throws
   */
  answer(header: RequestHeader, reader: Reader, context: Context): Outcome<ResponseFrame>
  /**
   * The response that refuses all that the request asks for, for whoever does not let it come to its handler.
   *
   * @throws MalformedMessageError
   */
  refuse(header: RequestHeader, reader: Reader, errorCode: number): ResponseFrame
}

/** One row of the answer to ApiVersions. */
export interface AdvertisedVersions {
  readonly apiKey: number
  readonly minVersion: number
  readonly maxVersion: number
}

/** The APIs that are served. What is not here is not advertised, and what is advertised is here. */
export class Registry<Context> {
  readonly #served = new Map<number, ServedApi<Context>>()

  /** Serves all versions of an API with one handler; the context tells it the version where that matters. */
  serve<Request extends Fields, Response extends Fields>(
    api: Api<Request, Response>,
    handler: Handle<Request, Response, Context>,
  ): void {
    assert(!this.#served.has(api.key), `${api.name} is served twice`)
    this.#served.set(api.key, new Service(api, handler))
  }

  /** What answers a request of this key and version; undefined if nothing does. */
  find(apiKey: number, apiVersion: number): ServedApi<Context> | undefined {
    const served = this.#served.get(apiKey)
    return served?.api.serves(apiVersion) === true ? served : undefined
  }

  /** The names of all that is served. */
  get names(): readonly string[] {
    return Array.from(this.#served.values(), ({ api }) => api.name)
  }

  /** What ApiVersions answers, by key. */
  advertise(): AdvertisedVersions[] {
    const apis = [...this.#served.values()].map((served) => served.api)
    return apis
      .toSorted((one, other) => one.key - other.key)
      .map(({ key, advertiseMin, versions }) => ({ apiKey: key, minVersion: advertiseMin, maxVersion: versions.last }))
  }
}

class Service<Request extends Fields, Response extends Fields, Context> implements ServedApi<Context> {
  readonly api: Api<Request, Response>
  readonly #handler: Handle<Request, Response, Context>

  constructor(api: Api<Request, Response>, handler: Handle<Request, Response, Context>) {
    this.api = api
    this.#handler = handler
  }

  answer(header: RequestHeader, reader: Reader, context: Context): Outcome<ResponseFrame> {
    skipHeaderTags(reader, this.api, header.apiVersion)
    const request = this.api.readRequest(reader, header.apiVersion)
    const response = this.#handler(request, context)
    if (response instanceof Promise) return response.then((settled) => this.#encode(header, settled))
    return this.#encode(header, response)
  }

  refuse(header: RequestHeader, reader: Reader, errorCode: number): ResponseFrame {
    skipHeaderTags(reader, this.api, header.apiVersion)
    const request = this.api.readRequest(reader, header.apiVersion)
    const response = makeErrorResponse(this.api.response, request, errorCode)
    const writer = beginResponse(this.api, header)
    this.api.writeResponse(writer, header.apiVersion, response as WrittenMessage<Response>)
    return writer.finishFrame()
  }

  #encode(
    header: RequestHeader,
    response: WrittenMessage<Response> | typeof NO_RESPONSE,
  ): ResponseFrame | typeof NO_RESPONSE {
    if (response === NO_RESPONSE) return NO_RESPONSE
    const writer = beginResponse(this.api, header)
    this.api.writeResponse(writer, header.apiVersion, response)
    return writer.finishFrame()
  }
}
