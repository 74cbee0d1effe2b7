import { compileReader, compileWriter } from './compile.ts'
import type { MessageForm } from './layout.ts'
import type { Reader } from './reader.ts'
import type { Fields, ReadMessage, VersionRange, WrittenMessage } from './schema.ts'
import { parseVersions } from './schema.ts'
import type { Writer } from './writer.ts'

/** What is to be said about an API besides its messages. */
export interface ApiOptions {
  /** The versions that are served. */
  readonly versions: string
  /** The lowest version that ApiVersions names, where that is not the lowest one served. */
  readonly advertiseMin?: number
  /** The first version with compact lengths and tagged fields; none when left out. */
  readonly flexible?: number
  /** Whether the header of a response stays without tagged fields even in flexible versions. */
  readonly hasPlainResponseHeader?: boolean
}

/** What there is to know about an API without its messages. */
export interface ApiFacts {
  readonly key: number
  readonly name: string
  /** The versions that are served. */
  readonly versions: VersionRange
  /** The lowest version that ApiVersions names. */
  readonly advertiseMin: number
  readonly hasPlainResponseHeader: boolean
  /** Whether requests of this version are served. */
  serves(version: number): boolean
  /** Whether this version has compact lengths and tagged fields. */
  isFlexible(version: number): boolean
}

/** A request and its response: what Kafka calls an API, known on the wire by its key. */
export class Api<Request extends Fields, Response extends Fields> implements ApiFacts {
  readonly key: number
  readonly name: string
  readonly versions: VersionRange
  readonly advertiseMin: number
  readonly hasPlainResponseHeader: boolean
  readonly request: Request
  readonly response: Response
  readonly #flexibleSince: number
  // By version, each made when it is needed first.
  readonly #requestReaders: ((reader: Reader) => ReadMessage<Request>)[] = []
  readonly #requestWriters: ((writer: Writer, message: WrittenMessage<Request>) => void)[] = []
  readonly #responseReaders: ((reader: Reader) => ReadMessage<Response>)[] = []
  readonly #responseWriters: ((writer: Writer, message: WrittenMessage<Response>) => void)[] = []

  constructor(key: number, name: string, options: ApiOptions, messages: { request: Request; response: Response }) {
    this.key = key
    this.name = name
    this.versions = parseVersions(options.versions)
    this.advertiseMin = options.advertiseMin ?? this.versions.first
    this.hasPlainResponseHeader = options.hasPlainResponseHeader ?? false
    this.#flexibleSince = options.flexible ?? Infinity
    this.request = messages.request
    this.response = messages.response
  }

  serves(version: number): boolean {
    return version >= this.versions.first && version <= this.versions.last
  }

  isFlexible(version: number): boolean {
    return version >= this.#flexibleSince
  }

  /**
   * Reads a request of a version that is served.
   *
   * @throws MalformedMessageError
   */
  readRequest(reader: Reader, version: number): ReadMessage<Request> {
    this.#requestReaders[version] ??= compileReader(this.request, this.#form('Request', version))
    return this.#requestReaders[version](reader)
  }

  /** Writes a response of a version that is served. */
  writeResponse(writer: Writer, version: number, response: WrittenMessage<Response>): void {
    this.#responseWriters[version] ??= compileWriter(this.response, this.#form('Response', version))
    this.#responseWriters[version](writer, response)
  }

  /** The client's side of `readRequest`. */
  writeRequest(writer: Writer, version: number, request: WrittenMessage<Request>): void {
    this.#requestWriters[version] ??= compileWriter(this.request, this.#form('Request', version))
    this.#requestWriters[version](writer, request)
  }

  /**
   * The client's side of `writeResponse`.
   *
   * @throws MalformedMessageError
   */
  readResponse(reader: Reader, version: number): ReadMessage<Response> {
    this.#responseReaders[version] ??= compileReader(this.response, this.#form('Response', version))
    return this.#responseReaders[version](reader)
  }

  #form(direction: 'Request' | 'Response', version: number): MessageForm {
    return { name: `${this.name}${direction}V${version}`, version, isFlexible: this.isFlexible(version) }
  }
}

/** Describes an API by its key, name and messages. Its versions are a range such as `'3-11'`. */
export function api<Request extends Fields, Response extends Fields>(
  key: number,
  name: string,
  options: ApiOptions,
  messages: { request: Request; response: Response },
): Api<Request, Response> {
  return new Api(key, name, options, messages)
}

/** A request as its handler gets it: the fields of all versions, the missing ones with their defaults. */
export type RequestOf<A> = A extends Api<infer Request, infer _> ? ReadMessage<Request> : never

/** A response as its handler makes it: fields with a default may be left out. */
export type ResponseOf<A> = A extends Api<infer _, infer Response> ? WrittenMessage<Response> : never
